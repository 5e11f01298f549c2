"""Output imitation (Murugesan et al., KD-MRI, MIDL 2020, https://arxiv.org/abs/2004.05319)."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor

from pipeline_src.distillation.base import DistillationLoss, Summary, register_loss
from pipeline_src.models.taps import Features, Tap


@register_loss("imitation")
class OutputImitation(DistillationLoss):
    """Mean |x_S - x_T| of the reconstructions, KD-MRI's imitation loss; both forms are the same.

    With other cascades than the last, of the images after these.
    """

    @classmethod
    def default_cascades(cls, count: int) -> list[int]:
        """The last, whose image is the reconstruction."""
        return [count]

    def taps(self) -> list[Tap]:
        """Images after data fidelity."""
        return [Tap("image", k) for k in self.cascades]

    def summarise(self, features: Features) -> Summary:
        """The images `(batch, 1, rows, columns)` themselves."""
        return tuple(features[tap] for tap in self.taps())

    def compare(self, student: Summary, teacher: Summary) -> Tensor:
        """Mean over the cascades."""
        return self.mean([F.l1_loss(s, t) for s, t in zip(student, teacher, strict=True)])
