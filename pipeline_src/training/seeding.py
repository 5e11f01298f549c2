"""Every random draw of a training comes from a named seed."""

from __future__ import annotations

import hashlib

import torch


def derived_seed(seed: int, *names: str | int) -> int:
    """A seed for one purpose, such as ``derived_seed(0, "order", "student", 12)``."""
    text = "/".join(map(str, (seed, *names)))
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:7], "big")


def batch_order(seed: int, stage: int, epoch: int, slices: int) -> torch.Tensor:
    """The order of slices in one epoch, `(slices,)`; it needs no state of earlier epochs.

    The order depends on the stage's number and not on the model, so that models compared with
    each other see the same batches.
    """
    generator = torch.Generator().manual_seed(derived_seed(seed, "order", stage, epoch))
    return torch.randperm(slices, generator=generator)


def seed_initial_weights(seed: int, network: str) -> None:
    """Seed the global generator before a network's weights are drawn.

    The name is `teacher` or `student`: all students of a seed start from the same draw, so that
    a difference between them is due to their training.
    """
    torch.manual_seed(derived_seed(seed, "weights", network))
