"""Derives a named seed for every random draw of a training."""

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

    The name is `teacher` or `student`, or `loss` for trained parts of a loss. All students of a
    seed start from the same weights, so that differences between them come from their training.
    """
    torch.manual_seed(derived_seed(seed, "weights", network))


def random_states() -> dict[str, torch.Tensor]:
    """The states of torch's random generators; only users' own losses draw from them during
    training.
    """
    states = {"cpu": torch.get_rng_state()}
    if torch.cuda.is_initialized():
        states["cuda"] = torch.cuda.get_rng_state()
    return states


def restore_random_states(states: dict[str, torch.Tensor]) -> None:
    """Restore states returned by `random_states`."""
    torch.set_rng_state(states["cpu"])
    if "cuda" in states and torch.cuda.is_initialized():
        torch.cuda.set_rng_state(states["cuda"])
