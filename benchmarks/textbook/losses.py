"""Losses as from the textbook, in the authors' form and for the five cascades of the paper."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from benchmarks.textbook.networks import Features


def mean(terms: Sequence[Tensor]) -> Tensor:
    """Mean over cascades or branches."""
    return torch.stack(list(terms)).mean()


def attention(student: Tensor, teacher: Tensor) -> Tensor:
    """Mean |q_S - q_T|; q: channel sum of squares, L2-normalised over the batch at each pixel."""
    of_student = F.normalize(student.pow(2).sum(dim=1), dim=0)
    of_teacher = F.normalize(teacher.pow(2).sum(dim=1), dim=0)
    return F.l1_loss(of_student, of_teacher)


def congruence(student: Tensor, teacher: Tensor) -> Tensor:
    """Mean over neighbouring samples and pixels of the channel sum of D_b D_b+1."""
    difference = (student - teacher).abs()
    if len(difference) == 1:  # no neighbours
        return 0 * difference.sum()
    return (difference[:-1] * difference[1:]).sum(dim=1).mean()


def flow(first: Tensor, second: Tensor) -> Tensor:
    """Gram matrices `(batch, m, n)` between two features, averaged over pixels."""
    pixels = first.shape[2] * first.shape[3]
    return torch.bmm(first.flatten(2), second.flatten(2).transpose(1, 2)) / pixels


def similarity(student: Tensor, teacher: Tensor) -> Tensor:
    """Squared Frobenius distance of the row-normalised batch similarities, over B^2."""
    of_student, of_teacher = student.flatten(1), teacher.flatten(1)
    of_student = F.normalize(of_student @ of_student.T, dim=1)
    of_teacher = F.normalize(of_teacher @ of_teacher.T, dim=1)
    return (of_student - of_teacher).pow(2).sum() / len(student) ** 2


def at_loss(student: Features, teacher: Features) -> Tensor:
    """Attention transfer: mid_1..mid_5."""
    return mean([attention(s, t) for s, t in zip(student.mid, teacher.mid, strict=True)])


def fitnets_loss(student: Features, teacher: Features) -> Tensor:
    """FitNets: out_3."""
    return attention(student.out[2], teacher.out[2])


def cc_loss(student: Features, teacher: Features) -> Tensor:
    """Correlation congruence: out_1..out_5."""
    return mean([congruence(s, t) for s, t in zip(student.out, teacher.out, strict=True)])


def fsp_loss(student: Features, teacher: Features) -> Tensor:
    """Flow of solution: squares of out_k with those of out_k+1, k = 1..3."""
    of_student, of_teacher = (
        [out.pow(2).sum(dim=1, keepdim=True) for out in features.out[:4]]
        for features in (student, teacher)
    )
    return mean(
        [
            F.mse_loss(
                flow(of_student[k], of_student[k + 1]), flow(of_teacher[k], of_teacher[k + 1])
            )
            for k in range(3)
        ]
    )


def sp_loss(student: Features, teacher: Features) -> Tensor:
    """Similarity preserving: out_1..out_4."""
    return mean([similarity(student.out[k], teacher.out[k]) for k in range(4)])


FeatureLoss = Callable[[Features, Features], Tensor]
FEATURE_LOSSES: dict[str, FeatureLoss] = {
    "fitnets": fitnets_loss,
    "at": at_loss,
    "cc": cc_loss,
    "fsp": fsp_loss,
    "sp": sp_loss,
}


def sft_loss(teacher: Tensor, branches: Sequence[Tensor], target: Tensor) -> Tensor:
    """L_rec^T + L_rec^S + L_imit, the last divided once more by the elements of ``teacher``."""
    of_teacher = F.l1_loss(teacher, target)
    of_students = mean([F.l1_loss(branch, target) for branch in branches])
    imitation = mean([F.l1_loss(branch, teacher) / teacher.numel() for branch in branches])
    return of_teacher + of_students + imitation
