"""Looking at every validation slice once: the loss that selects the weights, and the PSNR."""

from __future__ import annotations

import torch
from torch import Tensor

from pipeline_src.acceleration.graphs import Replayed
from pipeline_src.training.casts import Casts
from pipeline_src.training.data import Slices
from pipeline_src.training.objectives import Objective
from pipeline_src.training.step import EpochLosses

#: Slices at a time on a GPU, which a batch of four leaves half idle.
AT_ONCE = 32


def pass_size(objective: Objective, device: torch.device, batch_size: int) -> int:
    """Slices of a pass: a batch of training, and more on a GPU where the loss of a slice does not
    depend on those beside it."""
    alone = device.type == "cuda" and not objective.depends_on_batch
    return max(batch_size, AT_ONCE) if alone else batch_size


class Validation:
    """The validation part under an objective, in the store's order.

    On a GPU the passes are captured and replayed.

    Attributes:
        batches: indices of the slices of each pass.
        losses: of each pass, the last time it was called.
        psnr: `(slices,)`, in dB at the data range of each slice's volume.
    """

    def __init__(self, objective: Objective, slices: Slices, batch_size: int) -> None:
        self._objective, self._slices = objective, slices
        self._casts = Casts(objective.trained)
        device = slices.target.device
        size = pass_size(objective, device, batch_size)
        self.batches = torch.arange(len(slices), device=device).split(size)
        self._losses = EpochLosses(len(self.batches), device)
        self.psnr = torch.zeros(len(slices), device=device)
        self._latest = torch.zeros(size, device=device)
        self._pass = Replayed(self._look, "validation") if device.type == "cuda" else self._look

    @property
    def losses(self) -> Tensor:
        """`(passes,)`, in double precision."""
        return self._losses.values

    @torch.no_grad()
    def __call__(self) -> None:
        """Look at all slices."""
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
        """One pass; what it finds is written where a captured one can write: always to the same
        place."""
        batch = self._slices.batch(indices)
        with self._casts:
            loss, image = self._objective.validate(batch)
        mse = (image - batch.target).square().mean(dim=(1, 2, 3))
        self._losses.latest.copy_(loss)
        self._latest[: len(indices)].copy_(10 * torch.log10(batch.data_range.square() / mse))
