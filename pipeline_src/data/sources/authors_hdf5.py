"""Reads volumes as the paper's authors prepared them: one HDF5 file each."""

from __future__ import annotations

from functools import cache, partial
from pathlib import Path

import h5py
import numpy as np
from numpy.typing import NDArray

from pipeline_src.config.datasets import AuthorsHdf5Source
from pipeline_src.data.data_files import (
    entries,
    name_when_finished,
    refuse_only_tracked,
    refuse_unfinished,
)
from pipeline_src.data.hdf5_files import own_dataset, reading_hdf5
from pipeline_src.data.volume_reference import Header, VolumeReference, volume_shape
from pipeline_src.errors import InputError

DESCRIPTION = "the authors' prepared HDF5 volumes"

TARGET_KEY = "volfs"


def read_authors_volume(path: Path) -> NDArray[np.float32]:
    """The target volume `(rows, columns, slices)` under the key `volfs`.

    Raises:
        InputError: the file is no HDF5, may not be read, lacks the key, or holds it elsewhere.
    """
    with reading_hdf5(path) as file:
        return np.asarray(_target(path, file), dtype=np.float32)


def read_authors_header(path: Path) -> Header:
    """The shape of the target volume, without its pixels.

    Raises:
        InputError: see `read_authors_volume`.
    """
    with reading_hdf5(path) as file:
        return Header(volume_shape(_target(path, file).shape, f"{path}: {TARGET_KEY}"))


def _target(path: Path, file: h5py.File) -> h5py.Dataset:
    dataset = own_dataset(path, file, TARGET_KEY)
    if dataset.dtype.kind not in "iuf":
        raise InputError(f"{path}: {TARGET_KEY} is not an array of real numbers")
    if dataset.ndim != 3:
        raise InputError(f"{path}: {TARGET_KEY} is {dataset.ndim}-D; a 3-D volume is needed")
    return dataset


def list_volumes(source: AuthorsHdf5Source, data_root: Path) -> list[VolumeReference]:
    """Volumes of `{train,validation}/acc_{R}x/*.h5`.

    The layout does not say which volumes are of one person, so each volume counts as a patient,
    named `train_1`, `validation_1`, ...

    Raises:
        InputError: a folder is missing, or a file is still being downloaded, or was not yet.
    """
    volumes = []
    for partition in ("train", "validation"):
        folder = data_root / source.path / partition / f"acc_{source.acceleration}x"
        files = entries(folder, "the folder of the authors' layout")
        refuse_only_tracked(files)
        files = [path for path in files if name_when_finished(path).endswith(".h5")]
        refuse_unfinished(files)
        for path in files:
            volumes.append(
                VolumeReference(
                    f"{partition}_{path.stem}",
                    partition,
                    "",
                    path,
                    partial(read_authors_volume, path),
                    cache(partial(read_authors_header, path)),
                )
            )
    return volumes
