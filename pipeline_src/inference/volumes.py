"""Describes a volume before its numbers are read, and keeps whole volumes in a file on disk."""

from __future__ import annotations

import errno
import math
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any, Literal

import numpy as np
from numpy.typing import NDArray

from pipeline_src.errors import InputError
from pipeline_src.files import reserve

#: What a system says of a full disk, or of a user's full share of it.
NO_ROOM = (errno.ENOSPC, errno.EDQUOT)

Array = NDArray[Any]
Allocate = Callable[[tuple[int, ...], Any], Array]


@dataclass(frozen=True)
class Volume:
    """One file of images or k-space.

    Attributes:
        name: path of the output below the output folder, without a suffix.
        suffix: of the output, the same as that of the input.
        shape: of the array in the file; every array here has its order except that of `view`.
        domain: `image`, magnitudes, or `kspace`, complex numbers as in the file.
        read: reads the array; takes a function that allocates memory for it.
        view: such an array as `(rows, columns, slices)`, sharing its memory.
        save: writes a real array of that shape in the format of the input.
        mask: the file's own, as stored; None if it has none.
        scale: number by which its values are already divided; None if they are not scaled.
        turns: quarter turns to show a slice upright.
        aspect: height of a pixel divided by its width.
        parts: of a store, each with its slices; empty: all slices belong together.
        labels: of the slices, in lines, where numbers do not say whose they are.
        sides: of the body at the ends of a slice's rows and columns, such as `L` and `A`; None if
            it is not known.
        slicing: the axis along which slices were taken, of the file or of the file turned to an
            orientation.
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
    parts: Mapping[str, NDArray[np.int64]] = field(default_factory=dict)
    labels: tuple[str, ...] | None = None
    sides: tuple[str, str] | None = None
    slicing: tuple[int, str | None] = (2, None)

    @property
    def together(self) -> tuple[NDArray[np.int64], ...]:
        """The slices from which batches are taken, group by group."""
        return tuple(self.parts.values()) or (np.arange(self.size[2]),)

    @property
    def size(self) -> tuple[int, int, int]:
        """Rows, columns and slices."""
        rows, columns, slices = self.view(np.broadcast_to(np.float32(0), self.shape)).shape
        return rows, columns, slices


class Scratch:
    """Allocates whole volumes in a file in a folder, so that memory holds only a few slices.

    Nothing is left of it when the process ends, however it ends.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __call__(self, shape: tuple[int, ...], dtype: Any = np.float32) -> Array:
        """Allocate zeros of the given shape in the order of NIfTI files (the first axis fastest).

        Raises:
            InputError: the disk is full, or the folder cannot be written to.
        """
        kind = np.dtype(dtype)
        size = max(1, math.prod(shape) * kind.itemsize)
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryFile(dir=self.folder, buffering=0) as stream:
                # If the disk had no room, using the memory map would crash the process.
                reserve(stream, size)
                return np.memmap(stream, kind, mode="r+", shape=shape, order="F")
        except OSError as error:
            need = f"; {size / 1e6:.3g} MB are needed to hold a volume temporarily"
            told = f"{error.strerror}{need if error.errno in NO_ROOM else ''}"
            raise InputError(f"{self.folder}: cannot be written ({told})") from None


def array_volume_shape(shape: tuple[int, ...], label: str) -> tuple[int, ...]:
    """Check that an array is a slice `(rows, columns)` or a volume with three axes; returns its
    shape.

    Raises:
        InputError: it has another number of axes, or an axis of length zero.
    """
    told = "x".join(map(str, shape)) or "none"
    if len(shape) not in (2, 3):
        raise InputError(
            f"{label}: is {len(shape)}-D (shape {told}); a slice (rows, columns) or a volume of "
            "three axes is needed; write each volume, and each coil or contrast, as a separate "
            "file"
        )
    if min(shape) < 1:
        raise InputError(f"{label}: is empty (shape {told})")
    return shape
