"""Volumes as the paper's authors prepared them: one HDF5 file each."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import h5py
import numpy as np
from numpy.typing import NDArray

from pipeline_src.config.data import AuthorsHdf5Source
from pipeline_src.data.hdf5 import lies_elsewhere
from pipeline_src.data.volume import VolumeReference, require_folder
from pipeline_src.errors import InputError

TARGET_KEY = "volfs"


def read_authors_volume(path: Path) -> NDArray[np.float32]:
    """The target volume `(rows, columns, slices)` under the key `volfs`.

    Raises:
        InputError: the file is no HDF5, may not be read, or lacks the key.
    """
    try:
        with h5py.File(path, "r", locking=False) as file:
            if TARGET_KEY not in file:
                raise InputError(
                    f"{path}: has no key {TARGET_KEY!r} (keys: {', '.join(file) or 'none'})"
                )
            if lies_elsewhere(file, TARGET_KEY):
                raise InputError(
                    f"{path}: {TARGET_KEY} lies in another file; copy it into this one"
                )
            dataset = file.get(TARGET_KEY)
            if not isinstance(dataset, h5py.Dataset) or dataset.dtype.kind not in "iuf":
                raise InputError(f"{path}: {TARGET_KEY} is no array of real numbers")
            data = np.asarray(dataset, dtype=np.float32)
    except PermissionError:
        raise InputError(f"{path}: may not be read (no permission)") from None
    except OSError as error:
        raise InputError(f"{path}: is truncated or no HDF5 file ({error})") from None
    if data.ndim != 3:
        raise InputError(f"{path}: {TARGET_KEY} is {data.ndim}-D; a 3-D volume is needed")
    return data


def list_volumes(source: AuthorsHdf5Source, data_root: Path) -> list[VolumeReference]:
    """Volumes of `{train,validation}/acc_{R}x/*.h5`.

    The layout does not say which volumes are of one person, so each volume counts as a patient,
    named `train_1`, `validation_1`, ...

    Raises:
        InputError: a folder is missing.
    """
    volumes = []
    for partition in ("train", "validation"):
        folder = require_folder(
            data_root / source.path / partition / f"acc_{source.acceleration}x",
            "the folder of the authors' layout",
        )
        for path in sorted(folder.glob("*.h5")):
            volumes.append(
                VolumeReference(
                    f"{partition}_{path.stem}",
                    partition,
                    "",
                    path,
                    partial(read_authors_volume, path),
                )
            )
    return volumes
