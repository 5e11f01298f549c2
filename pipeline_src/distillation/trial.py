"""Tries a loss on slices of random numbers, before anything is trained with it."""

from __future__ import annotations

import torch
from torch import Tensor

from pipeline_src.config.networks import Network, Networks, OtherNetwork
from pipeline_src.distillation.base import DistillationLoss, Summary
from pipeline_src.errors import InputError
from pipeline_src.models.registry import make_network
from pipeline_src.models.taps import Tap, tapped
from pipeline_src.models.trial import SIDE, Counted
from pipeline_src.modules import running_others

#: A loss of equal summaries may differ from zero by rounding.
ROUNDING = 1e-3


def try_loss(loss: DistillationLoss, networks: Networks, what: str) -> None:
    """Compute a loss as a training does: of a batch of two slices, and of one slice, such as the
    last batch of an epoch may have.

    Args:
        loss: as built for the networks.
        networks: teacher and student.
        what: names the loss; the message begins with it.

    Raises:
        InputError: a value is not one finite number with gradients, or, of a loss without parts
            of its own, not zero for a student whose features are the teacher's.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        student, of_student = _summary(loss, networks.student)
        with torch.no_grad():
            teacher, of_teacher = _summary(loss, networks.teacher)
        loss.parts = loss.make_parts(of_teacher, of_student)
        value = loss.compare(student, teacher)
        one = [tuple(part[:1] for part in summary) for summary in (student, teacher)]
        with running_others(f"{what}, a batch of one slice", type(loss).__module__):
            alone = loss.compare(*one)
        same = loss.compare(student, tuple(part.detach() for part in student))
        parts, loss.parts = loss.parts, None
    _require_number(value, what, "")
    _require_number(alone, what, " (batch of one slice)")
    if parts is None and not abs(same.item()) <= ROUNDING * max(1.0, abs(value.item())):
        raise InputError(
            f"{what}: compare returns {same.item():.3g} for a student whose features are the "
            "teacher's, where a loss is zero"
        )


def _require_number(value: object, what: str, batch: str) -> None:
    """Refuse what is not one finite number with gradients; ``batch`` says what it was made of."""
    if not isinstance(value, Tensor) or value.shape != () or not value.is_floating_point():
        shape = f"of shape {tuple(value.shape)}" if isinstance(value, Tensor) else repr(value)
        raise InputError(
            f"{what}: compare returns {shape:.60}, where one number as a tensor is due{batch}"
        )
    if not value.requires_grad:
        raise InputError(
            f"{what}: compare returns a number without gradients; keep the student's tensors "
            f"attached{batch}"
        )
    if not value.isfinite():
        raise InputError(
            f"{what}: compare returns {value.item()} for features of random networks{batch}"
        )


def _summary(
    loss: DistillationLoss, network: Network | OtherNetwork
) -> tuple[Summary, dict[Tap, int]]:
    """What a loss needs of a network with new weights, and the channels of its features."""
    made = make_network(network)
    with tapped(made, loss.taps()) as features:
        made(torch.rand(2, 1, SIDE, SIDE), Counted())
    return loss.summarise(features), {tap: found.shape[1] for tap, found in features.items()}
