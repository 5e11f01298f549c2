"""Output imitation (Murugesan et al., KD-MRI, MIDL 2020, https://arxiv.org/abs/2004.05319)."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor

from pipeline_src.distillation.base import DistillationLoss, Summary, register_loss
from pipeline_src.models.taps import Tap


@register_loss("imitation")
class OutputImitation(DistillationLoss):
    """Mean |x_S - x_T| of the reconstructions, KD-MRI's imitation loss; it has no forms.

    If other cascades than the last are configured, the images after those are compared.
    """

    @classmethod
    def default_cascades(cls, count: int) -> list[int]:
        """The last cascade, whose image is the reconstruction."""
        return [count]

    def taps(self) -> list[Tap]:
        """The image after data fidelity of each cascade."""
        return [Tap("image", k) for k in self.cascades]

    def compare(self, student: Summary, teacher: Summary) -> Tensor:
        """Mean over the cascades of the mean absolute difference, a scalar, of the student's images
        `(batch, 1, rows, columns)` and the teacher's of the same shape.
        """
        return self.mean([F.l1_loss(s, t) for s, t in zip(student, teacher, strict=True)])
