"""Computes the validation loss, which selects the weights, and the PSNR, over all validation
slices.
"""

from __future__ import annotations

import torch
from torch import Tensor

from pipeline_src.acceleration.graphs import Replayed
from pipeline_src.training.casts import Casts
from pipeline_src.training.data import Slices
from pipeline_src.training.objectives import Objective
from pipeline_src.training.step import EpochLosses

#: Slices per pass on a GPU, which a batch of four does not keep busy.
AT_ONCE = 32


def pass_size(objective: Objective, device: torch.device, batch_size: int) -> int:
    """Number of slices per pass: a training batch, or more on a GPU if the loss of a slice does not
    depend on the others in its batch.
    """
    alone = device.type == "cuda" and not objective.depends_on_batch
    return max(batch_size, AT_ONCE) if alone else batch_size


class Validation:
    """Validates an objective on the validation part, in the order of the store.

    On a GPU the passes are captured and replayed.

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
