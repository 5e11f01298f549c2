"""Reading HDF5 files of others, which can point anywhere on the disk."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import h5py

from pipeline_src.errors import InputError
from pipeline_src.files import open_regular

MOST_LINKS = 16
# What is stored takes at least this share of what is claimed: deflate packs 1032 bytes to one.
LEAST_SHARE = 1 / 2000
SMALL_BYTES = 1 << 26


@contextmanager
def reading_hdf5(
    path: Path, otherwise: str = "is truncated or no HDF5 file"
) -> Iterator[h5py.File]:
    """An HDF5 file, open for reading without a lock: data often lies on disks that have none.

    ``otherwise`` is what a message says of a file that cannot be read.

    Raises:
        InputError: it is no HDF5 file, is truncated, or may not be read; what goes wrong in the
            block with reading counts too.
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
        InputError: there is none, a link or its storage leads to another file, or it claims far
            more values than were written.
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
        raise InputError(f"{path}: {name} is no array of real numbers")
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
