"""Attention transfer (Zagoruyko & Komodakis, ICLR 2017, https://arxiv.org/abs/1612.03928)."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor

from pipeline_src.distillation.attention import batch_normalised_difference, energy_map
from pipeline_src.distillation.base import DistillationLoss, Summary, register_loss
from pipeline_src.models.taps import Features, Tap


@register_loss("at")
class AttentionTransfer(DistillationLoss):
    """Compares attention maps of the middle features of every cascade.

    original: q = channel mean of squares, flattened and L2-normalised per sample; mean (q_S -
    q_T)^2 (the paper's Eq. 2 and reference code; mean or sum over channels is the same once
    normalised). authors: q = channel sum of squares, L2-normalised over the batch; mean |q_S -
    q_T|.
    """

    forms = frozenset({"authors", "original"})

    def taps(self) -> list[Tap]:
        """The middle feature of each cascade."""
        return [Tap("mid", k) for k in self.cascades]

    def summarise(self, features: Features) -> Summary:
        """Attention maps `(batch, rows, columns)` of features `(batch, channels, rows,
        columns)`.
        """
        maps = [energy_map(features[tap]) for tap in self.taps()]
        if self.form == "original":
            maps = [F.normalize(m.flatten(1)).view_as(m) for m in maps]
        return tuple(maps)

    def compare(self, student: Summary, teacher: Summary) -> Tensor:
        """Mean over the cascades of the difference between maps `(batch, rows, columns)` of the
        student and others of the same shape of the teacher; a scalar.
        """
        pairs = zip(student, teacher, strict=True)
        if self.form == "original":
            return self.mean([(s - t).square().mean() for s, t in pairs])
        return self.mean([batch_normalised_difference(s, t) for s, t in pairs])
