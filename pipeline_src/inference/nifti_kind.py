"""Reads NIfTI volumes, and writes results with the same header."""

from __future__ import annotations

import gzip
from functools import partial
from pathlib import Path
from typing import IO, Any

import nibabel
import numpy as np

from pipeline_src.data.nifti_files import (
    as_slices,
    axes_probe,
    open_nifti,
    read_through,
    reading_nifti,
)
from pipeline_src.data.volume_reference import volume_shape
from pipeline_src.inference.volumes import Allocate, Array, Volume

#: Sides of the body.
OPPOSITE = {"L": "R", "R": "L", "A": "P", "P": "A", "S": "I", "I": "S"}
#: Number of slices that are read at once.
BLOCK = 8


def nifti_input(path: Path, name: Path, slice_axis: int, orientation: str | None) -> Volume:
    """Open a NIfTI file; its slices lie along an axis of the file, or of the file turned to
    ``orientation``.

    Raises:
        InputError: it is missing, damaged, not 3-D, or cannot be turned.
    """
    with reading_nifti(path):
        image = open_nifti(path)
        shape = volume_shape(image.shape, str(path))

    def view(array: Array) -> Array:
        return as_slices(array.reshape(shape, order="F"), path, image, slice_axis, orientation)

    # The strides of a dummy array show which axes of the file are rows and columns.
    probe = axes_probe(shape, path, image, slice_axis, orientation)
    row, column = (abs(stride) - 1 for stride in probe.strides[:2])
    voxel = [float(side) for side in image.header.get_zooms()[:3]]
    packed = path.suffix.lower() == ".gz"
    return Volume(
        path,
        name,
        ".nii.gz" if packed else ".nii",
        tuple(int(size) for size in image.shape),
        "image",
        partial(_read, path),
        view,
        partial(_save, image, packed),
        turns=1,
        # After the quarter turn, columns are vertical.
        aspect=voxel[column] / voxel[row] if min(voxel) > 0 else 1.0,
        sides=_sides(image, probe.strides[:2]),
    )


def _sides(image: Any, strides: tuple[int, ...]) -> tuple[str, str] | None:
    """Sides of the body at the ends of rows and columns, whose ``strides`` in the file are given
    with a sign; None where the header does not tell them.
    """
    try:
        codes = nibabel.aff2axcodes(image.affine)
    except np.linalg.LinAlgError:  # a number in it is none
        return None
    row, column = (codes[abs(stride) - 1] for stride in strides)
    if row is None or column is None:
        return None
    ends = [
        code if s > 0 else OPPOSITE[code] for code, s in zip((row, column), strides, strict=True)
    ]
    return ends[0], ends[1]


def _read(path: Path, allocate: Allocate) -> Array:
    with reading_nifti(path):
        # Kept open: a compressed file would otherwise be unpacked from its start for each block.
        image: Any = nibabel.load(path, keep_file_open=True)
        read_through(path, image)
        numbers = allocate(image.shape, np.float32)
        for start in range(0, image.shape[2], BLOCK):
            block = slice(start, start + BLOCK)
            numbers[:, :, block] = image.dataobj[:, :, block]
        return numbers


def _save(image: Any, packed: bool, numbers: Array, stream: IO[bytes]) -> None:
    """Keep the header except for the type of the values, since the header's is that of the
    scanner.
    """
    header = image.header.copy()
    header.set_data_dtype(np.float32)
    # Without an affine, both transforms of the header stay as they are.
    made = type(image)(numbers, None, header)
    made.header.set_slope_inter(1, 0)
    if not packed:
        made.to_stream(stream)
        return
    # Without name and time, the same numbers give the same bytes.
    with gzip.GzipFile("", "wb", compresslevel=6, fileobj=stream, mtime=0) as out:
        made.to_stream(out)
