"""Loads one part of a store as tensors on the training device."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from pipeline_src.acceleration.host_memory import within_reach
from pipeline_src.data.store import Store
from pipeline_src.sampling.data_fidelity import DataFidelity
from pipeline_src.tensors import as_batch


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
    """All slices of a part on one device; batches are taken by index.

    On a GPU all of them lie in its memory, or in main memory that it reads where that is too small;
    on the CPU they are where the store has them, in memory or in its file.

    Attributes:
        part: `train` or `validation`.
        patients: the patient of each slice.
        device: where batches are.
        dtype: of batches; the images are in single precision.

    ``trainings`` are how many share the device's memory.

    Raises:
        InputError: the images fit into no memory that a GPU reads.
    """

    def __init__(
        self,
        store: Store,
        part: str,
        fidelity: DataFidelity,
        device: torch.device,
        dtype: torch.dtype = torch.float32,
        *,
        trainings: int = 1,
    ) -> None:
        images, rows = store.part(part)
        self.part, self.patients = part, list(rows["patient"])
        self.device, self.dtype = device, dtype
        self._store, self._fidelity = store, fidelity
        self._images = within_reach(as_batch(images), device, trainings)
        self._data_range = torch.from_numpy(store.volume_maxima(part)).to(device)

    def __len__(self) -> int:
        return len(self._images)

    @torch.no_grad()
    def batch(self, indices: Tensor) -> Batch:
        """The slices at ``indices`` `(batch,)`."""
        target = self._images[indices].to(self.dtype)
        # It takes some thousandths of a step; kept, it would take as much memory as the images.
        zero_filled = self._fidelity.zero_filled(target)
        return Batch(
            self.part, indices, target, zero_filled, self._data_range[indices].to(self.dtype)
        )

    def require_unchanged(self) -> None:
        """Check that batches are still of the images that were read at first.

        Raises:
            InputError: the store was written to meanwhile.
        """
        self._store.require_unchanged()

    def batches(self, size: int, order: Tensor | None = None) -> Iterator[Batch]:
        """Batches of up to ``size`` slices.

        The order is ``order`` `(slices,)`, by default that of the store; the last batch may be
        smaller.
        """
        if order is None:
            order = torch.arange(len(self))
        for indices in order.to(self.device).split(size):
            yield self.batch(indices)
