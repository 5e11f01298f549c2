"""A loss of one's own that is good for some epochs and then no number."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor

from pipeline_src.distillation.base import DistillationLoss, Summary, register_loss
from pipeline_src.models.taps import Features, Tap


@register_loss("diverging")
class Diverging(DistillationLoss):
    """Drawn from torch's own generator, whose state a resumed training must have too."""

    cascades: tuple[int, ...]
    worst: ClassVar[float] = 0.99

    @classmethod
    def default_cascades(cls, count: int) -> list[int]:
        """The first."""
        return [1]

    def taps(self) -> list[Tap]:
        """The first cascade's output."""
        return [Tap("out", 1)]

    def summarise(self, features: Features) -> Summary:
        """As it is."""
        return tuple(features.values())

    def compare(self, student: Summary, teacher: Summary) -> Tensor:
        """No number whenever a draw is above a limit."""
        drawn = float(torch.rand(()))
        return (student[0] - teacher[0]).square().mean() * (
            drawn if drawn < self.worst else float("nan")
        )
