"""Reads HDF5 files safely: they can refer to any other file on the disk."""

from __future__ import annotations

import os
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from io import FileIO
from pathlib import Path
from typing import TYPE_CHECKING

import h5py
import numpy as np

from pipeline_src.errors import InputError
from pipeline_src.files import open_regular, reserve

if TYPE_CHECKING:
    from typing import Any

    from _typeshed import ReadableBuffer
    from numpy.typing import NDArray

MOST_LINKS = 16
# What is stored takes at least this share of what is claimed: deflate packs 1032 bytes to one.
LEAST_SHARE = 1 / 2000
SMALL_BYTES = 1 << 26


@contextmanager
def reading_hdf5(
    path: Path, otherwise: str = "is truncated or not an HDF5 file"
) -> Iterator[h5py.File]:
    """Open an HDF5 file for reading without a lock, because data often lies on disks without locks.

    ``otherwise`` is the message for a file that cannot be read.

    Raises:
        InputError: it is not an HDF5 file, is truncated, or may not be read; this includes errors
            while reading in the block.
    """
    try:
        open_regular(path).close()
        with h5py.File(path, "r", locking=False) as file:
            yield file
    except PermissionError:
        raise InputError(f"{path}: may not be read (no permission)") from None
    except FileNotFoundError:
        raise InputError(f"{path}: does not exist") from None
    # Of a damaged file, the library raises any of these.
    except (OSError, RuntimeError, KeyError, ValueError, TypeError) as error:
        raise InputError(f"{path}: {otherwise} ({error})") from None


def own_dataset(path: Path, file: h5py.File, name: str) -> h5py.Dataset:
    """The array of that name whose values lie in ``file`` itself; ``path`` is for messages.

    Raises:
        InputError: there is none, it is empty, a link or its storage leads to another file, or it
            claims far more values than were written.
    """
    at, pending, links = file, [name], 0
    while pending:
        part = pending.pop(0)
        # Links are looked at before they are followed.
        link = at.get(part, getlink=True) if isinstance(at, h5py.Group) else None
        if isinstance(link, h5py.ExternalLink):
            raise _elsewhere(path, name, f"a link into {link.filename}")
        if isinstance(link, h5py.SoftLink) and links < MOST_LINKS:
            links += 1
            at = file if link.path.startswith("/") else at
            pending = [p for p in link.path.split("/") if p not in ("", ".")] + pending
        elif isinstance(link, h5py.HardLink):
            at = at[part]
        elif links == 0:
            keys = ", ".join(file) or "none"
            raise InputError(f"{path}: has no key {name!r} (keys: {keys})")
        else:
            raise InputError(f"{path}: {name} is a link to nowhere")
    if not isinstance(at, h5py.Dataset):
        raise InputError(f"{path}: {name} is not an array of real numbers")
    if at.shape is None:
        raise InputError(f"{path}: {name} is an empty data set, without a shape")
    if at.external:
        raise _elsewhere(path, name, f"stored in {at.external[0][0]}")
    if at.is_virtual:
        raise _elsewhere(path, name, "a virtual data set made of others")
    stored = at.id.get_storage_size()
    if (at.size or 0) * at.dtype.itemsize > max(SMALL_BYTES, stored / LEAST_SHARE):
        shape = "x".join(map(str, at.shape))
        raise InputError(
            f"{path}: {name}: claims a shape of {shape}, but only {stored} bytes of it were written"
        )
    return at


def _elsewhere(path: Path, name: str, what: str) -> InputError:
    return InputError(f"{path}: {name} is {what}; copy its values into the file itself")


class MappedArray:
    """An array that stays in its file: what is used of it is read, and the system may forget it
    again.

    Replacing the file changes nothing, as the old one lives on; writing into it changes the values.

    Attributes:
        values: the array; it cannot be written to.
    """

    def __init__(self, path: Path, file: h5py.File, dataset: h5py.Dataset) -> None:
        """Map an array whose values lie in one piece of the file, so that it has an offset.

        Raises:
            OSError, ValueError: the file cannot be mapped.
        """
        self._path = path
        # Of the file that is open, whatever has its name by now.
        self._stream = os.fdopen(os.dup(file.id.get_vfd_handle()), "rb")
        weakref.finalize(self, self._stream.close)
        self._written = self._identity()
        offset, shape = dataset.id.get_offset(), dataset.shape
        mapped: NDArray[Any] = np.memmap(self._stream, dataset.dtype, "r", offset, shape)
        self.values = np.asarray(mapped)

    def _identity(self) -> tuple[int, int]:
        status = os.fstat(self._stream.fileno())
        return status.st_size, status.st_mtime_ns

    def require_unchanged(self) -> None:
        """Check that the file was not written to since.

        Raises:
            InputError: it was.
        """
        if self._identity() != self._written:
            raise InputError(f"{self._path}: was written to while it was used; start again")


class ReservedFile(FileIO):
    """A file for writing HDF5, with space reserved on the disk before the first byte is written.

    HDF5 crashes the process when a disk gets full while it writes.

    Raises:
        OSError: there is not enough space.
    """

    def __init__(self, stream: FileIO, size: int) -> None:
        super().__init__(stream.fileno(), "r+b", closefd=False)
        self._end = 0
        reserve(stream, size)

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Go to a position; the end is that of what has been written."""
        if whence == os.SEEK_END:
            return super().seek(self._end + offset)
        return super().seek(offset, whence)

    def write(self, data: ReadableBuffer) -> int:
        """Write some bytes; returns how many."""
        written = super().write(data)
        self._end = max(self._end, self.tell())
        return written

    def truncate(self, size: int | None = None) -> int:
        """Set the length."""
        self._end = super().truncate(size)
        return self._end
