"""Keeps prepared slices on disk until they are written to a store."""

from __future__ import annotations

import math
import weakref
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryFile

import numpy as np
from numpy.typing import NDArray

from pipeline_src.errors import InputError
from pipeline_src.locks import nearest_folder


class SpooledSlices:
    """Slices of one size in an unnamed file, so that thousands of large ones do not fill the
    memory, and nothing is left of them when the process ends.

    Args:
        store: the store that they are for, on whose disk they are kept; its folder need not exist
            yet.
    """

    def __init__(self, store: Path) -> None:
        self._store, self._count = store, 0
        self._shape: tuple[int, ...] = ()
        try:
            there = nearest_folder(store.parent)
            self._file = TemporaryFile(dir=there, buffering=0)  # noqa: SIM115 - it lives as long as this does
        except OSError as error:
            raise self._unwritable(error) from None
        weakref.finalize(self, self._file.close)

    def append(self, image: NDArray[np.float32]) -> None:
        """Add a slice `(rows, columns)`.

        Raises:
            InputError: there is no space for it.
        """
        self._shape = image.shape
        try:
            left = np.ascontiguousarray(image, np.float32).data.cast("B")
            while left:
                left = left[self._file.write(left) :]
        except OSError as error:
            raise self._unwritable(error) from None
        self._count += 1

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[NDArray[np.float32]]:
        for number in range(self._count):
            count = math.prod(self._shape)
            self._file.seek(4 * count * number)
            yield np.fromfile(self._file, np.float32, count).reshape(self._shape)

    def _unwritable(self, error: OSError) -> InputError:
        return InputError(f"{self._store}: cannot be written ({error.strerror})")
