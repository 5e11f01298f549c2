"""The work of each batch, on a GPU captured once and then replayed: a training step of loss,
gradients and Adam, and the validation, whose loss selects the weights.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from pipeline_src.acceleration.graphs import Replayed
from pipeline_src.training.casts import Casts
from pipeline_src.training.data import Slices
from pipeline_src.training.objectives import Objective
from pipeline_src.training.optimiser import Adam

#: Slices per pass on a GPU, which a batch of four does not keep busy.
AT_ONCE = 32


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


def pass_size(objective: Objective, device: torch.device, batch_size: int) -> int:
    """Number of slices per pass: a training batch, or more on a GPU if the loss of a slice does not
    depend on the others in its batch.
    """
    alone = device.type == "cuda" and not objective.depends_on_batch
    return max(batch_size, AT_ONCE) if alone else batch_size


class Validation:
    """Computes the validation loss and the PSNR over all validation slices, in the order of the
    store.

    Attributes:
        batches: indices of the slices of each pass.
        losses: the loss of each pass at the last call.
        psnr: `(slices,)`, in dB at the data range of each slice's volume.
    """

    def __init__(self, objective: Objective, slices: Slices, batch_size: int) -> None:
        self._objective, self._slices = objective, slices
        self._casts = Casts(objective.trained)
        device = slices.device
        size = pass_size(objective, device, batch_size)
        self.batches = torch.arange(len(slices), device=device).split(size)
        self._losses = EpochLosses(len(self.batches), device)
        self.psnr = torch.zeros(len(slices), device=device)
        self._latest = torch.zeros(size, device=device)
        self._pass = Replayed(self._look, "validation") if device.type == "cuda" else self._look

    @property
    def losses(self) -> Tensor:
        """The loss of each pass, `(passes,)`, in double precision."""
        return self._losses.values

    @torch.no_grad()
    def __call__(self) -> None:
        """Validate all slices."""
        self._objective.trained.eval()
        self._losses.clear()
        done = 0
        for indices in self.batches:
            self._pass(indices)
            self._losses.keep()
            size = len(indices)
            self.psnr[done : done + size].copy_(self._latest[:size])
            done += size

    def _look(self, indices: Tensor) -> None:
        """Validate one pass; results are written to tensors that stay in place, as a captured graph
        needs.
        """
        batch = self._slices.batch(indices)
        with self._casts:
            loss, image = self._objective.validate(batch)
        mse = (image - batch.target).square().mean(dim=(1, 2, 3))
        self._losses.latest.copy_(loss)
        self._latest[: len(indices)].copy_(10 * torch.log10(batch.data_range.square() / mse))
