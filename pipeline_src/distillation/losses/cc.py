"""Correlation congruence (Peng et al., ICCV 2019, https://arxiv.org/abs/1904.01802)."""

from __future__ import annotations

import math

import torch.nn.functional as F
from torch import Tensor

from pipeline_src.distillation.base import DistillationLoss, Summary, register_loss
from pipeline_src.models.taps import Tap

#: Width of the Gaussian kernel and order of its Taylor expansion, Peng et al., Sec. 4.
GAMMA = 0.4
ORDER = 2


def correlation_matrix(feature: Tensor) -> Tensor:
    """Gaussian-RBF correlation between the samples of a batch, by Taylor expansion.

    With x, y the L2-normalised flattened features (Peng et al., Eq. 10): k(x, y) = exp(-2 gamma) *
    sum_{p=0..P} (2 gamma)^p / p! * (x . y)^p.

    Args:
        feature: `(batch, ...)`.

    Returns:
        `(batch, batch)`.
    """
    unit = F.normalize(feature.flatten(1))
    similarity = unit @ unit.T
    terms = [(2 * GAMMA) ** p / math.factorial(p) * similarity**p for p in range(ORDER + 1)]
    return math.exp(-2 * GAMMA) * sum(terms[1:], terms[0])


@register_loss("cc")
class CorrelationCongruence(DistillationLoss):
    """Compares relations between the samples of a batch, on the cascades' outputs.

    original: mean squared difference of the student's and the teacher's correlation matrices (the
    paper's Eq. 6).

    authors: D = |out_S - out_T|; mean over neighbouring samples b, b+1 and over pixels of the
    channel sum of D_b D_b+1. A batch of one slice has no neighbours, so its loss is zero.
    """

    forms = frozenset({"authors", "original"})

    def taps(self) -> list[Tap]:
        """The output of each cascade."""
        return [Tap("out", k) for k in self.cascades]

    def compare(self, student: Summary, teacher: Summary) -> Tensor:
        """Mean of the cascades' losses, a scalar, for outputs `(batch, channels, rows, columns)` of
        the student and others of the same shape of the teacher.
        """
        form = _congruence if self.form == "original" else _neighbour_product
        return self.mean([form(s, t) for s, t in zip(student, teacher, strict=True)])


def _congruence(student: Tensor, teacher: Tensor) -> Tensor:
    return (correlation_matrix(student) - correlation_matrix(teacher)).square().mean()


def _neighbour_product(student: Tensor, teacher: Tensor) -> Tensor:
    difference = (student - teacher).abs()
    if len(difference) < 2:
        return difference.sum() * 0
    return (difference[:-1] * difference[1:]).sum(dim=1).mean()
