"""Similarity preserving distillation (Tung & Mori, ICCV 2019, https://arxiv.org/abs/1907.09682)."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor

from pipeline_src.distillation.base import DistillationLoss, Summary, register_loss
from pipeline_src.models.taps import Tap


def similarity_matrix(feature: Tensor) -> Tensor:
    """Similarities between the samples of a batch, rows L2-normalised (Tung & Mori, Eq. 1-2).

    Args:
        feature: `(batch, ...)`.

    Returns:
        `(batch, batch)`.
    """
    flat = feature.flatten(1)
    return F.normalize(flat @ flat.T)


@register_loss("sp")
class SimilarityPreserving(DistillationLoss):
    """Squared Frobenius distance of the similarity matrices / B^2 (Tung & Mori, Eq. 4).

    original: on the middle features. authors: on the cascades' outputs.
    """

    forms = frozenset({"authors", "original"})

    @classmethod
    def default_cascades(cls, count: int) -> list[int]:
        """All cascades but the last: 1, 2, 3, 4 of 5."""
        return list(range(1, max(count, 2)))

    def taps(self) -> list[Tap]:
        """The middle feature of each cascade; in the authors' form its output."""
        return [Tap("mid" if self.form == "original" else "out", k) for k in self.cascades]

    def compare(self, student: Summary, teacher: Summary) -> Tensor:
        """Mean over the cascades of the mean squared difference of the similarity matrices, a
        scalar, for the student's features `(batch, channels, rows, columns)` and the teacher's.

        The mean over the matrix is the division by B^2. Both sides have as many slices; shapes may
        differ otherwise.
        """
        pairs = zip(student, teacher, strict=True)
        return self.mean(
            [(similarity_matrix(s) - similarity_matrix(t)).square().mean() for s, t in pairs]
        )
