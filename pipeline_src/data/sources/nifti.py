"""NIfTI files found by a pattern, and the reading of NIfTI that other sources share."""

from __future__ import annotations

import gzip
import logging
import re
import zlib
from functools import partial
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
from nibabel.filebasedimages import ImageFileError
from nibabel.spatialimages import HeaderDataError
from numpy.typing import NDArray

from pipeline_src.config.data import NiftiSource
from pipeline_src.data.volume import VolumeReference, require_folder
from pipeline_src.errors import InputError

# Nibabel logs a bad header to stderr before it raises; our one line says it.
logging.getLogger("nibabel.global").setLevel(logging.CRITICAL)


def read_nifti(path: Path, slice_axis: int = 2) -> NDArray[np.float32]:
    """The image of a 3-D NIfTI file as `(rows, columns, slices)`, float32, in scanner units.

    Raises:
        InputError: the file is missing, empty, truncated, not NIfTI, not 3-D, or unreadable.
    """
    try:
        if path.stat().st_size == 0:
            raise InputError(f"{path}: is empty (0 bytes), not a NIfTI volume")
        _read_through(path)
        image: Any = nibabel.load(path)
        shape = image.shape
        if len(shape) != 3:
            raise InputError(
                f"{path}: is {len(shape)}-D (shape {'x'.join(map(str, shape))}); "
                "a 3-D volume is needed"
            )
        if image.get_data_dtype().kind not in "iuf":
            kind = "complex" if image.get_data_dtype().kind == "c" else "colour"
            raise InputError(f"{path}: holds {kind} values; a magnitude image is needed")
        data = np.asarray(image.get_fdata(dtype=np.float32, caching="unchanged"))
    except PermissionError:
        raise InputError(f"{path}: may not be read (no permission)") from None
    except FileNotFoundError:
        raise InputError(f"{path}: does not exist") from None
    except (ImageFileError, HeaderDataError, EOFError, OSError, ValueError, zlib.error) as error:
        raise InputError(f"{path}: is truncated or no NIfTI file ({error})") from None
    return np.moveaxis(data, slice_axis, 2)


def _read_through(path: Path) -> None:
    """Open ``path``, and read it to its end if compressed: nibabel stops before the checksum.

    Nibabel also takes a file that it may not open for one of another type.
    """
    with path.open("rb") as stream:
        if path.suffix == ".gz":
            with gzip.open(stream) as unpacked:
                while unpacked.read(1 << 20):
                    pass


def list_volumes(source: NiftiSource, data_root: Path) -> list[VolumeReference]:
    """Volumes that match ``source.pattern``; what distinguishes a patient's files is the frame.

    Raises:
        InputError: the folder is missing, or a file's path holds no patient id.
    """
    folder = require_folder(data_root / source.path, "the NIfTI folder")
    volumes = []
    try:
        paths = sorted(folder.glob(source.pattern))
    except (NotImplementedError, ValueError) as error:
        raise InputError(f"pattern: {source.pattern!r} is no glob below path ({error})") from None
    for path in paths:
        name = path.relative_to(folder).as_posix()
        match = re.search(source.patient_pattern, name)
        if match is None:
            raise InputError(
                f"{path}: no patient id found; patient_pattern {source.patient_pattern!r} "
                "matches nothing in its path"
            )
        patient = match[1] if match.groups() else match[0]
        # Sessions and runs of BIDS are several volumes of one patient, not two patients.
        frame = "_".join(dict.fromkeys(re.findall(r"(?:ses|run|echo)-[A-Za-z0-9]+", name)))
        read = partial(read_nifti, path, source.slice_axis)
        volumes.append(VolumeReference(patient, "", frame, path, read))
    return volumes
