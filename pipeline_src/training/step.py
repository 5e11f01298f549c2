"""One step of training: batch, loss, gradients, Adam; captured once and replayed on a GPU."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from pipeline_src.acceleration.graphs import Replayed
from pipeline_src.training.casts import Casts
from pipeline_src.training.data import Slices
from pipeline_src.training.objectives import Objective
from pipeline_src.training.optimiser import Adam


class Step:
    """Trains on the slices at the indices it is called with, and notes the loss.

    Attributes:
        graphs: what it replays by batch size; none on the CPU.
    """

    def __init__(self, work: Callable[[Tensor], None], losses: EpochLosses) -> None:
        self._work, self._losses = work, losses
        self.graphs = work.graphs if isinstance(work, Replayed) else {}

    def __call__(self, indices: Tensor) -> None:
        """Train."""
        self._work(indices)
        self._losses.keep()


class EpochLosses:
    """The losses of an epoch's batches, kept on the device: reading one would wait for it.

    A step that is captured writes to one and the same place, so it writes to ``latest``; what goes
    on from there is a copy that follows each step.

    Attributes:
        values: `(batches,)`, in double precision.
        latest: that of the last step.
        done: how many batches are in.
    """

    def __init__(self, batches: int, device: torch.device) -> None:
        self.values = torch.zeros(batches, dtype=torch.float64, device=device)
        self.latest = torch.zeros((), dtype=torch.float64, device=device)
        self.done = 0

    def clear(self) -> None:
        """Start an epoch."""
        self.values.zero_()
        self.done = 0

    def keep(self) -> None:
        """Note the last step's loss as the next batch's."""
        self.values[self.done].copy_(self.latest)
        self.done += 1


def training_step(objective: Objective, adam: Adam, slices: Slices, losses: EpochLosses) -> Step:
    """A step of a stage; on a CUDA device it is captured as a graph and replayed."""
    step = _plain(objective, adam, slices, losses)
    on_gpu = slices.target.device.type == "cuda"
    return Step(Replayed(step, "training") if on_gpu else step, losses)


def plain_step(objective: Objective, adam: Adam, slices: Slices, losses: EpochLosses) -> Step:
    """As `training_step`, and never captured."""
    return Step(_plain(objective, adam, slices, losses), losses)


def _plain(
    objective: Objective, adam: Adam, slices: Slices, losses: EpochLosses
) -> Callable[[Tensor], None]:
    parameters = list(adam.parameters.values())
    casts = Casts(objective.trained)

    def step(indices: Tensor) -> None:
        with casts:
            loss = objective.loss(slices.batch(indices))
        gradients = torch.autograd.grad(loss, parameters, allow_unused=True)
        adam.step(gradients)
        losses.latest.copy_(loss.detach())

    return step
