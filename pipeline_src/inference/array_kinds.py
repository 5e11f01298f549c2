"""Reads images and k-space from NumPy and HDF5 files, and writes results in the same format."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import IO, Any, Literal

import h5py
import numpy as np
from numpy.lib.format import MAGIC_PREFIX

from pipeline_src.data.hdf5_files import ReservedFile, own_dataset, reading_hdf5
from pipeline_src.data.sources.authors_hdf5 import TARGET_KEY
from pipeline_src.data.store import FORMAT as STORE_FORMAT
from pipeline_src.data.store import read_store
from pipeline_src.errors import InputError
from pipeline_src.files import open_regular
from pipeline_src.inference.bundle_files import read_tensors
from pipeline_src.inference.volumes import Allocate, Array, Volume, array_volume_shape
from pipeline_src.npz_files import NPY_HEADER_ERRORS, map_npy, reading_npz
from pipeline_src.text import one_line

#: Names of arrays in an archive or HDF5 file; the first that exists is used.
IMAGES, KSPACE, MASK = ("image", "images", TARGET_KEY), "kspace", "mask"
RESULT = "image"
NO_ARCHIVE = "is damaged or not a NumPy archive"


def npy_input(path: Path, name: Path, slice_axis: int) -> Volume:
    """Open a `.npy` file: real numbers are images, complex numbers k-space.

    Raises:
        InputError: it cannot be read, or holds something else.
    """
    array = _map_npy(path)
    _refuse_kind(array.dtype, str(path))
    return _volume(path, name, ".npy", array, slice_axis, partial(_read_npy, path), _save_npy)


def npz_input(path: Path, name: Path, slice_axis: int) -> Volume:
    """Open a `.npz` file with `image`, or with `kspace` and `mask`.

    Raises:
        InputError: it cannot be read, or holds neither.
    """
    _refuse_npy(path)
    with reading_npz(path, NO_ARCHIVE) as file:
        names = tuple(file)
        key = _key(names, str(path))
        array = file[key]
        mask = file[MASK] if key == KSPACE and MASK in names else None
    _check_domain(array.dtype, key, f"{path}: {key}")
    return _volume(
        path, name, ".npz", array, slice_axis, partial(_read_npz, path, key), _save_npz, mask
    )


def _refuse_npy(path: Path) -> None:
    """Refuse a single array that is named as an archive."""
    # A file that cannot be opened is refused by who reads it.
    with suppress(OSError), open_regular(path) as stream:
        if stream.read(len(MAGIC_PREFIX)) == MAGIC_PREFIX:
            raise InputError(
                f"{path}: is a single array and no archive; name it .npy, or save it with "
                "numpy.savez"
            )


def sample_input(path: Path, name: Path) -> Volume:
    """The drawn phantom of a bundle, whose result is a `.npy`.

    Raises:
        InputError: it cannot be read, or holds no image.
    """

    def read(_: Allocate | None = None) -> Array:
        image = read_tensors(path)[0].get("image")
        if image is None or image.ndim != 4 or image.shape[:2] != (1, 1):
            raise InputError(f"{path}: holds no image of shape (1, 1, rows, columns)")
        plane: Array = image[0, 0]
        return plane

    plane = read()
    _check_domain(plane.dtype, RESULT, str(path))
    return _volume(path, name, ".npy", plane, 2, read, _save_npy)


def hdf5_input(path: Path, name: Path, slice_axis: int) -> Volume:
    """Open an HDF5 file: with `volfs`, the authors' layout `(rows, columns, slices)`; a volume
    store of this project; `image`; or `kspace` and `mask`.

    Raises:
        InputError: it cannot be read, or holds none of these.
    """
    with reading_hdf5(path) as file:
        if np.array_equal(file.attrs.get("format"), STORE_FORMAT):
            return _store(path, name)
        key = _key(tuple(file), str(path))
        found = own_dataset(path, file, key)
        mask = None
        if key == KSPACE and MASK in file:
            mask = np.asarray(own_dataset(path, file, MASK))
        _check_domain(found.dtype, key, f"{path}: {key}")
        like = np.broadcast_to(np.zeros((), found.dtype), found.shape)
    axis = 2 if key == TARGET_KEY else slice_axis
    read = partial(_read_hdf5, path, key)
    return _volume(path, name, path.suffix, like, axis, read, partial(_save_hdf5, key), mask)


def _store(path: Path, name: Path) -> Volume:
    store = read_store(path)
    volume = _volume(
        path, name, path.suffix, store.images, 0, partial(_read_hdf5, path, "images"), _save_images
    )
    turns = int(store.description.get("display_quarter_turns", 0))
    # Its images are already divided by each volume's maximum. The evaluation uses one part.
    parts = store.slices["part"].to_numpy()
    own = {str(part): np.flatnonzero(parts == part) for part in dict.fromkeys(parts)}
    labels = tuple(
        f"{one_line(who)}\n{f'frame {one_line(frame)}, ' if frame else ''}slice {at}"
        for who, frame, at in store.slices[["patient", "frame", "slice"]].itertuples(index=False)
    )
    return replace(volume, scale=1.0, turns=turns, parts=own, labels=labels)


def _key(names: tuple[str, ...], label: str) -> str:
    found = [key for key in (*IMAGES, KSPACE) if key in names]
    if not found:
        there = ", ".join(names) or "none"
        raise InputError(
            f"{label}: holds neither images ({', '.join(IMAGES)}) nor {KSPACE} (keys: {there}); "
            "name the array so"
        )
    if KSPACE in found[1:]:
        raise InputError(
            f"{label}: holds both {found[0]} and {KSPACE}; leave out the one that is not to be "
            "reconstructed"
        )
    return found[0]


def _refuse_kind(dtype: Any, label: str) -> None:
    if dtype.kind not in "biufc":
        raise InputError(f"{label}: holds values of type {dtype}; numbers are needed")


def _check_domain(dtype: Any, key: str, label: str) -> None:
    _refuse_kind(dtype, label)
    if (dtype.kind == "c") != (key == KSPACE):
        what = "k-space is complex" if key == KSPACE else "images are real magnitudes"
        raise InputError(f"{label}: holds values of type {dtype}; {what}")


def _volume(
    path: Path,
    name: Path,
    suffix: str,
    array: Array,
    slice_axis: int,
    read: Callable[[Allocate], Array],
    save: Callable[[Array, IO[bytes]], None],
    mask: Array | None = None,
) -> Volume:
    shape = array_volume_shape(array.shape, str(path))
    domain: Literal["image", "kspace"] = "kspace" if array.dtype.kind == "c" else "image"

    def view(numbers: Array) -> Array:
        return numbers[:, :, None] if len(shape) == 2 else np.moveaxis(numbers, slice_axis, 2)

    return Volume(path, name, suffix, shape, domain, read, view, save, mask)


def _map_npy(path: Path) -> Array:
    try:
        return map_npy(path)
    except PermissionError:
        raise InputError(f"{path}: may not be read (no permission)") from None
    except (OSError, ValueError, EOFError, *NPY_HEADER_ERRORS) as error:
        raise InputError(f"{path}: is damaged or not a NumPy array ({error})") from None


def _read_npy(path: Path, _: Allocate) -> Array:
    return _map_npy(path)


def _read_npz(path: Path, key: str, _: Allocate) -> Array:
    with reading_npz(path, NO_ARCHIVE) as file:
        return file[key]


def _read_hdf5(path: Path, key: str, allocate: Allocate) -> Array:
    with reading_hdf5(path) as file:
        found = own_dataset(path, file, key)
        kind = np.complex64 if found.dtype.kind == "c" else np.float32
        numbers = allocate(found.shape, kind)
        for start in range(0, found.shape[0], 16):
            numbers[start : start + 16] = found[start : start + 16]
        return numbers


def _save_npy(numbers: Array, stream: IO[bytes]) -> None:
    # Given a real file, NumPy would write past Python, and a full disk would go unnoticed.
    plain: Any = SimpleNamespace(write=stream.write)
    np.lib.format.write_array(plain, np.asarray(numbers), allow_pickle=False)


def _save_npz(numbers: Array, stream: IO[bytes]) -> None:
    np.savez(stream, image=np.asarray(numbers))


def _save_hdf5(key: str, numbers: Array, stream: IO[bytes]) -> None:
    raw: Any = stream  # HDF5 writes at any position, which a buffer does not allow
    with h5py.File(ReservedFile(raw.raw, numbers.nbytes + (1 << 20)), "w") as file:
        file.create_dataset(RESULT if key == KSPACE else key, data=np.asarray(numbers))


_save_images = partial(_save_hdf5, "images")
