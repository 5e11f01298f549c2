"""Flow of solution procedure (Yim et al., CVPR 2017)."""

from __future__ import annotations

import torch
from torch import Tensor

from pipeline_src.distillation.base import DistillationLoss, Summary, register_loss
from pipeline_src.models.taps import Features, Tap


def fsp_matrix(first: Tensor, second: Tensor) -> Tensor:
    """Gram matrix between two layers' features, averaged over pixels (Yim et al., Eq. 1).

    Args:
        first: `(batch, m, rows, columns)`.
        second: `(batch, n, rows, columns)`.

    Returns:
        `(batch, m, n)`.
    """
    pixels = first.shape[2] * first.shape[3]
    return torch.bmm(first.flatten(2), second.flatten(2).transpose(1, 2)) / pixels


@register_loss("fsp")
class FlowOfSolution(DistillationLoss):
    """FSP matrices between consecutive cascades; mean squared difference (Yim et al., Eq. 2).

    original: between the middle features. authors: between the cascades' outputs, 1 x 1 matrices.
    """

    equal_channels = frozenset({"original"})

    @classmethod
    def default_cascades(cls, count: int) -> list[int]:
        """1, 2, 3 of 5; cascade k stands for the pair k, k+1."""
        return list(range(1, max(count - 1, 2)))

    def _tap(self, cascade: int) -> Tap:
        return Tap("mid" if self.form == "original" else "out", cascade)

    def taps(self) -> list[Tap]:
        """Both ends of every pair."""
        return [self._tap(k) for k in sorted({end for k in self.cascades for end in (k, k + 1)})]

    def summarise(self, features: Features) -> Summary:
        """One FSP matrix `(batch, m, n)` a pair."""
        return tuple(
            fsp_matrix(features[self._tap(k)], features[self._tap(k + 1)]) for k in self.cascades
        )

    def compare(self, student: Summary, teacher: Summary) -> Tensor:
        """Mean over pairs."""
        pairs = zip(student, teacher, strict=True)
        return self.mean([(s - t).square().mean() for s, t in pairs])
