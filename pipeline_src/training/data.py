"""Loads one part of a store as tensors on the training device."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from pipeline_src.data.store import Store
from pipeline_src.sampling.data_fidelity import DataFidelity


@dataclass(frozen=True)
class Batch:
    """Some slices of a part.

    Attributes:
        part: `train` or `validation`.
        indices: `(batch,)` positions in the part.
        target: `(batch, 1, rows, columns)`, the fully sampled images.
        zero_filled: `(batch, 1, rows, columns)`.
        data_range: `(batch,)`, the maximum of each slice's volume.
    """

    part: str
    indices: Tensor
    target: Tensor
    zero_filled: Tensor
    data_range: Tensor


class Slices:
    """All slices of a part on one device; batches are taken by index, without reading a file.

    Attributes:
        patients: the patient of each slice.
        target, zero_filled, data_range: as in `Batch`, of all slices.
    """

    def __init__(
        self, store: Store, part: str, fidelity: DataFidelity, device: torch.device
    ) -> None:
        images, rows = store.part(part)
        self.part = part
        self.patients = list(rows["patient"])
        self.target = torch.from_numpy(images)[:, None].to(device)
        with torch.no_grad():
            self.zero_filled = fidelity.zero_filled(self.target)
        self.data_range = torch.from_numpy(store.volume_maxima(part)).to(device)

    def __len__(self) -> int:
        return len(self.target)

    def batch(self, indices: Tensor) -> Batch:
        """The slices at ``indices`` `(batch,)`."""
        return Batch(
            self.part,
            indices,
            self.target[indices],
            self.zero_filled[indices],
            self.data_range[indices],
        )

    def batches(self, size: int, order: Tensor | None = None) -> Iterator[Batch]:
        """Batches of up to ``size`` slices.

        The order is ``order`` `(slices,)`, by default that of the store; the last batch may be
        smaller.
        """
        if order is None:
            order = torch.arange(len(self))
        for indices in order.to(self.target.device).split(size):
            yield self.batch(indices)
