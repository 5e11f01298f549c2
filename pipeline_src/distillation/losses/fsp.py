"""Flow of solution procedure (Yim et al., CVPR 2017)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from pipeline_src.distillation.attention import batch_normalised, energy_map
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

    original: between the middle features. authors: between the channel sums of squares e_k of the
    cascades' outputs, 1 x 1 matrices; the validation loss that selects the weights is computed
    from e_k L2-normalised over the batch at each pixel (`train_feature_fsp.py` of the authors'
    code: `train_epoch` and `evaluate`).
    """

    forms = frozenset({"authors", "original"})
    equal_channels = frozenset({"original"})

    @classmethod
    def default_cascades(cls, count: int) -> list[int]:
        """The first cascades of all pairs k, k+1 that are compared: 1, 2, 3 of 5."""
        return list(range(1, max(count - 1, 2)))

    def _ends(self) -> list[int]:
        """The cascades at either end of a pair, each once."""
        return sorted({end for k in self.cascades for end in (k, k + 1)})

    def taps(self) -> list[Tap]:
        """The features at both ends of every pair."""
        return [Tap("mid" if self.form == "original" else "out", k) for k in self._ends()]

    def summarise(self, features: Features) -> Summary:
        """original: one FSP matrix `(batch, m, n)` per pair; authors: e_k `(batch, 1, rows,
        columns)` per cascade, since the selection looks at the batch before the matrices."""
        if self.form == "original":
            return self._matrices([features[tap] for tap in self.taps()])
        return tuple(energy_map(features[tap])[:, None] for tap in self.taps())

    def compare(self, student: Summary, teacher: Summary) -> Tensor:
        """Mean over pairs of the mean squared difference of the FSP matrices, a scalar, from the
        student's summary `(batch, ...)` and the teacher's of the same shape.
        """
        if self.form == "authors":
            student, teacher = self._matrices(student), self._matrices(teacher)
        pairs = zip(student, teacher, strict=True)
        return self.mean([(s - t).square().mean() for s, t in pairs])

    def compare_for_selection(self, student: Summary, teacher: Summary) -> Tensor:
        """As `compare`, a scalar from summaries `(batch, ...)` of the same shape; in the authors'
        form on batch-normalised e_k.
        """
        if self.form == "original":
            return self.compare(student, teacher)
        normalised = (tuple(map(batch_normalised, e)) for e in (student, teacher))
        return self.compare(*normalised)

    def _matrices(self, layers: Sequence[Tensor]) -> Summary:
        """FSP matrices of every pair, from the features of all ends."""
        by_cascade = dict(zip(self._ends(), layers, strict=True))
        return tuple(fsp_matrix(by_cascade[k], by_cascade[k + 1]) for k in self.cascades)
