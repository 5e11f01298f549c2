"""Samples as from the textbook: each read from its HDF5 file when it is asked for."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import h5py
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

TARGET_KEY, ZERO_FILLED_KEY, KSPACE_KEY = "volfs", "img_volus_4x", "kspace_volus_4x"


def write_volumes(folder: Path, images: NDArray[Any], mask: NDArray[Any]) -> list[Path]:
    """Write volumes in the authors' layout, one file `1.h5`, `2.h5`, ... each.

    Target, zero-filled image and k-space are `(rows, columns, slices)` in double precision, as
    NumPy computes them, and contiguous, as h5py writes them.

    Args:
        folder: where the files are written.
        images: `(volumes, rows, columns, slices)`.
        mask: `(rows, columns)` in FFT order.
    """
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for number, image in enumerate(np.asarray(images, dtype=np.float64), start=1):
        kspace = mask[:, :, None] * np.fft.fft2(image, axes=(0, 1), norm="ortho")
        paths.append(folder / f"{number}.h5")
        with h5py.File(paths[-1], "w") as file:
            file[TARGET_KEY] = image
            file[ZERO_FILLED_KEY] = np.fft.ifft2(kspace, axes=(0, 1), norm="ortho").real
            file[KSPACE_KEY] = kspace
    return paths


class Sample(NamedTuple):
    """A slice, or a batch of slices with the batch as the first axis.

    Attributes:
        target: `(1, rows, columns)`, the fully sampled image.
        zero_filled: `(1, rows, columns)`.
        kspace: `(rows, columns)` complex, zero where nothing was sampled.
    """

    target: Tensor
    zero_filled: Tensor
    kspace: Tensor


class VolumeSlices(Dataset[Sample]):
    """The slices of all volumes of a folder, each read from its file when it is asked for."""

    def __init__(self, folder: Path) -> None:
        self.examples: list[tuple[Path, int]] = []
        for path in sorted(folder.glob("*.h5")):
            with h5py.File(path, "r") as file:
                slices = file[TARGET_KEY].shape[2]
            self.examples += [(path, index) for index in range(slices)]

    def __len__(self) -> int:
        return len(self.examples)

    def __getitem__(self, number: int) -> Sample:
        path, index = self.examples[number]
        with h5py.File(path, "r") as file:
            target = file[TARGET_KEY][:, :, index]
            zero_filled = file[ZERO_FILLED_KEY][:, :, index]
            kspace = file[KSPACE_KEY][:, :, index]
        return Sample(
            torch.from_numpy(target).float()[None],
            torch.from_numpy(zero_filled).float()[None],
            torch.from_numpy(kspace),
        )


def slice_loader(folder: Path, batch_size: int = 4) -> DataLoader[Sample]:
    """Shuffled batches of the slices of a folder, in the process itself as in the scripts."""
    return DataLoader(VolumeSlices(folder), batch_size=batch_size, shuffle=True, num_workers=0)
