"""A volume to reconstruct, before its numbers are read, and where numbers lie meanwhile."""

from __future__ import annotations

import math
import os
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Literal

import numpy as np
from numpy.typing import NDArray

from pipeline_src.errors import InputError

Array = NDArray[Any]
Allocate = Callable[[tuple[int, ...], Any], Array]


@dataclass(frozen=True)
class Volume:
    """One file of images or k-space.

    Attributes:
        name: of the output below the output folder, without a suffix.
        suffix: of the output, that of the input.
        shape: of the array in the file, whose order every array here has but for `view`.
        domain: `image`, magnitudes, or `kspace`, complex numbers as the file has them.
        read: the array; takes what allocates room for it.
        view: of such an array, as `(rows, columns, slices)`, sharing its memory.
        save: writes a real array of that shape as the file that the input is.
        mask: the file's own, as it stands there; None where it has none.
        scale: by which its numbers are divided already; None where they are not scaled.
        turns: quarter turns that show a slice upright.
        aspect: height of a pixel over its width.
        groups: of slices, as the parts of a store; None: all are one.
    """

    path: Path
    name: Path
    suffix: str
    shape: tuple[int, ...]
    domain: Literal["image", "kspace"]
    read: Callable[[Allocate], Array]
    view: Callable[[Array], Array]
    save: Callable[[Array, IO[bytes]], None]
    mask: Array | None = None
    scale: float | None = None
    turns: int = 0
    aspect: float = 1.0
    groups: tuple[NDArray[np.int64], ...] | None = None

    @property
    def together(self) -> tuple[NDArray[np.int64], ...]:
        """Slices that batches are taken from, group by group."""
        return self.groups or (np.arange(self.size[2]),)

    @property
    def size(self) -> tuple[int, int, int]:
        """Rows, columns and slices."""
        rows, columns, slices = self.view(np.broadcast_to(np.float32(0), self.shape)).shape
        return rows, columns, slices


class Scratch:
    """Room for whole volumes on the disk of a folder, so that memory holds a few slices.

    Nothing of it is left when the process ends, however it does.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __call__(self, shape: tuple[int, ...], dtype: Any = np.float32) -> Array:
        """An array in the order of NIfTI files (the first axis fastest), of zeros.

        Raises:
            InputError: the disk has no room for it, or the folder cannot be written to.
        """
        kind = np.dtype(dtype)
        size = max(1, math.prod(shape) * kind.itemsize)
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryFile(dir=self.folder) as stream:
                # A map of a file that the disk cannot hold would end the process where it is used.
                os.posix_fallocate(stream.fileno(), 0, size)
                return np.memmap(stream, kind, mode="r+", shape=shape, order="F")
        except OSError as error:
            raise InputError(
                f"{self.folder}: cannot be written ({error.strerror}; {size / 1e6:.0f} MB are "
                "needed for a volume meanwhile)"
            ) from None


def array_volume_shape(shape: tuple[int, ...], label: str) -> tuple[int, ...]:
    """The shape of a slice `(rows, columns)` or volume of three axes.

    Raises:
        InputError: it has another number of axes, or one of no length.
    """
    told = "x".join(map(str, shape)) or "none"
    if len(shape) not in (2, 3):
        raise InputError(
            f"{label}: is {len(shape)}-D (shape {told}); a slice (rows, columns) or a volume of "
            "three axes is needed; write each volume, and each coil or contrast, as a file of its "
            "own"
        )
    if min(shape) < 1:
        raise InputError(f"{label}: is empty (shape {told})")
    return shape
