"""One training step: batch, loss, gradients, Adam; on a GPU captured once and then replayed."""

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
    """Trains on one batch per call and records its loss; called with slice indices `(batch,)`.

    Attributes:
        graphs: the captured graphs by batch size; empty on the CPU.
    """

    def __init__(self, work: Callable[[Tensor], None], losses: EpochLosses) -> None:
        self._work, self._losses = work, losses
        self.graphs = work.graphs if isinstance(work, Replayed) else {}

    def __call__(self, indices: Tensor) -> None:
        """Train on the slices at ``indices`` `(batch,)`."""
        self._work(indices)
        self._losses.keep()


class EpochLosses:
    """The losses of an epoch's batches, kept on the device, because reading one would wait for it.

    A captured step always writes to the same memory, ``latest``; from there each loss is copied to
    its place after the step.

    Attributes:
        values: `(batches,)`, in double precision.
        latest: the last step's loss, a scalar.
        done: how many batches are recorded.
    """

    def __init__(self, batches: int, device: torch.device) -> None:
        self.values = torch.zeros(batches, dtype=torch.float64, device=device)
        self.latest = torch.zeros((), dtype=torch.float64, device=device)
        self.done = 0

    def clear(self) -> None:
        """Start a new epoch."""
        self.values.zero_()
        self.done = 0

    def keep(self) -> None:
        """Record the last step's loss as that of the next batch."""
        self.values[self.done].copy_(self.latest)
        self.done += 1


def training_step(objective: Objective, adam: Adam, slices: Slices, losses: EpochLosses) -> Step:
    """The step of a stage; on a CUDA device it is captured as a graph and replayed."""
    step = _plain(objective, adam, slices, losses)
    on_gpu = slices.device.type == "cuda"
    return Step(Replayed(step, "training") if on_gpu else step, losses)


def plain_step(objective: Objective, adam: Adam, slices: Slices, losses: EpochLosses) -> Step:
    """As `training_step`, but never captured."""
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
