"""Reading NIfTI files: their headers first, then their pixels."""

from __future__ import annotations

import gzip
import logging
import math
import struct
import warnings
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache, partial
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
from nibabel.filebasedimages import ImageFileError
from nibabel.openers import ImageOpener
from nibabel.orientations import (
    aff2axcodes,
    apply_orientation,
    axcodes2ornt,
    io_orientation,
    ornt_transform,
)
from nibabel.spatialimages import HeaderDataError
from numpy.lib.stride_tricks import as_strided
from numpy.typing import NDArray

from pipeline_src.data.volume_reference import Header, VolumeReference, volume_shape
from pipeline_src.errors import InputError
from pipeline_src.files import open_regular

# Nibabel logs a bad header to stderr before it raises; our one line says it.
logging.getLogger("nibabel.global").setLevel(logging.CRITICAL)

# The orientation of a source that leaves axes as they are stored and compares none.
AS_STORED = "as_stored"
# Bytes that a compressed file may hold beyond what its header tells.
SPARE_BYTES = 1 << 20
# More than any file's extensions take, which are read into memory.
MOST_EXTENSIONS = 1 << 26
# So many times as long as along each other axis, a voxel is along the axis of the slices.
THICK = 1.5


def nifti_volume(
    patient: str,
    partition: str,
    frame: str,
    path: Path,
    slice_axis: int = 2,
    orientation: str | None = None,
) -> VolumeReference:
    """A volume that is read from a NIfTI file; see `read_nifti`."""
    return VolumeReference(
        patient,
        partition,
        frame,
        path,
        partial(read_nifti, path, slice_axis, orientation),
        cache(partial(read_nifti_header, path, slice_axis, orientation)),
    )


def read_nifti(
    path: Path, slice_axis: int = 2, orientation: str | None = None
) -> NDArray[np.float32]:
    """The image of a 3-D NIfTI file as `(rows, columns, slices)`, float32, in scanner units.

    ``orientation`` such as `RAS` turns the axes of the file to that orientation before slices are
    taken along ``slice_axis``; None and `as_stored` leave them as they are.

    Raises:
        InputError: the file is missing, empty, truncated, not NIfTI, not 3-D, or unreadable.
    """
    with reading_nifti(path):
        image = open_nifti(path)
        read_through(path, image)
        shape = volume_shape(image.shape, str(path))
        data = np.asarray(image.get_fdata(dtype=np.float32, caching="unchanged"))
        return as_slices(data.reshape(shape), path, image, slice_axis, orientation)


def read_nifti_header(path: Path, slice_axis: int = 2, orientation: str | None = None) -> Header:
    """Shape, orientation, axis of thick slices and spacing of pixels of what `read_nifti` reads.

    Orientation and axis are those of the file; None if the file does not say, or if
    ``orientation`` is given.

    Raises:
        InputError: see `read_nifti`; only the header is checked.
    """
    with reading_nifti(path):
        image = open_nifti(path)
        shape = volume_shape(image.shape, str(path))
        turned = axes_probe(shape, path, image, slice_axis, orientation)
        rows, columns, slices = turned.shape
        told = (_orientation(image), _thick_axis(image)) if orientation is None else (None, None)
        sides = [abs(float(size)) for size in image.header.get_zooms()[:3]]
        row, column = (sides[abs(stride) - 1] for stride in turned.strides[:2])
    spacing = (row, column) if all(0 < side < math.inf for side in (row, column)) else None
    return Header((rows, columns, slices), *told, spacing)


@contextmanager
def reading_nifti(path: Path) -> Iterator[None]:
    """Turn errors of nibabel into one line that names the file, and ignore its warnings."""
    try:
        with warnings.catch_warnings(action="ignore"):
            yield
    except PermissionError:
        raise InputError(f"{path}: may not be read (no permission)") from None
    except FileNotFoundError as error:
        # Of a pair, it may be the other one.
        raise InputError(f"{error.filename or path}: does not exist") from None
    except (
        ImageFileError,
        HeaderDataError,
        EOFError,
        OSError,
        ValueError,
        OverflowError,
        MemoryError,
        zlib.error,
    ) as error:
        raise InputError(f"{path}: is truncated or not a NIfTI file ({error})") from None


def open_nifti(path: Path) -> Any:
    """Open an image without reading its pixels."""
    # Nibabel takes a file that it may not open for one of another type.
    with open_regular(path) as stream:
        if not stream.read(1):
            raise InputError(f"{path}: is empty (0 bytes), not a NIfTI volume")
    _refuse_by_header(path)
    image: Any = nibabel.load(path)
    if image.get_data_dtype().kind not in "iuf":
        kind = "complex" if image.get_data_dtype().kind == "c" else "colour"
        raise InputError(f"{path}: holds {kind} values; a magnitude image is needed")
    if isinstance(image, nibabel.Nifti1Image):
        _refuse_two_types(path, image)
    return image


#: Headers of each length begin, or end, with one of these.
MAGICS = {348: (b"n+1\0", b"ni1\0"), 540: (b"n+2\0", b"ni2\0")}


def _refuse_by_header(path: Path) -> None:
    """Look at a header before nibabel does, which reads into memory what lies between a header and
    the pixels, however much a compressed file unpacks to, and parses the XML of CIFTI.

    Raises:
        InputError: it is of another kind than NIfTI, or there is too much in between.
    """
    if "".join(path.suffixes[-2:]).lower().removesuffix(".gz").endswith((".mnc", ".gii")):
        raise InputError(f"{path}: is no NIfTI file; convert it, as with nibabel")
    with ImageOpener(str(path)) as stream:
        start = stream.read(544).ljust(544, b"\0")
        order = "<" if int.from_bytes(start[:4], "little") in (348, 540) else ">"

        def told(kind: str, place: int) -> Any:
            return struct.unpack_from(order + kind, start, place)[0]

        size = told("i", 0)
        if size == 540 and 3000 <= told("i", 504) < 3100:
            raise InputError(f"{path}: is a CIFTI file; a 3-D NIfTI volume is needed")
        # Nibabel goes by the magic, whatever the length.
        for length, magic in ((348, start[344:348]), (540, start[4:8])):
            if magic in MAGICS[length] and size != length:
                raise InputError(
                    f"{path}: its header says that it is {size} bytes long, and one of NIfTI-"
                    f"{1 + (length == 540)} is {length}; save it anew"
                )
        if size not in (348, 540) or not start[size]:
            return
        pixels = told("q", 168) if size == 540 else told("f", 108)
        single = b"n+" in (start[344:346], start[4:6])
        # Where no place of the pixels is told, nibabel reads extensions to the end of the file.
        end = pixels if single and pixels >= size + 4 else math.inf
        at = stream.seek(size + 4)
        while at < end and len(head := stream.read(8)) == 8:
            length = struct.unpack(f"{order}i", head[:4])[0]
            if length < 8:
                return  # which nibabel refuses
            at += length
            if at > MOST_EXTENSIONS:
                raise InputError(
                    f"{path}: has more than {MOST_EXTENSIONS >> 20} MiB of extensions before its "
                    "pixels; save it anew without them"
                )
            stream.seek(at)


def _refuse_two_types(path: Path, image: Any) -> None:
    """Nibabel reads by `datatype` alone; what was damaged there would be other numbers.

    Raises:
        InputError: `bitpix` tells another size of a value; 0 tells nothing.
    """
    with ImageOpener(str(path)) as stream:
        told = int(type(image.header).from_fileobj(stream, check=False)["bitpix"])
    bits = 8 * image.get_data_dtype().itemsize
    if told not in (0, bits):
        raise InputError(
            f"{path}: is truncated or not a NIfTI file (its header says datatype "
            f"{image.get_data_dtype()} of {bits} bits, but bitpix {told}; save it again with both "
            "alike)"
        )


def read_through(path: Path, image: Any) -> None:
    """Read a compressed file to its end: nibabel stops before the checksum.

    Raises:
        InputError: it unpacks to less than its header tells, or to far more.
    """
    if path.suffix.lower() != ".gz":
        return
    told = image.dataobj.offset + math.prod(image.shape) * image.get_data_dtype().itemsize
    read = 0
    with gzip.open(path) as unpacked:
        while block := unpacked.read(1 << 20):
            read += len(block)
            if read > told + SPARE_BYTES:
                raise InputError(
                    f"{path}: unpacks to more than the {told} bytes given in its header; "
                    "it is damaged"
                )
    if read < told:
        raise EOFError(f"{read} bytes of the {told} given in its header")


def _orientation(image: Any) -> str | None:
    """Where the axes point, as `RAS`; None where the header does not say."""
    codes = [image.header.get(f"{form}form_code", 0) for form in "sq"]
    if not any(int(code) for code in codes) or not np.isfinite(image.affine).all():
        return None
    axes = aff2axcodes(image.affine)
    return None if None in axes else "".join(axes)


def _thick_axis(image: Any) -> int | None:
    """The axis along which voxels are by far the longest; None where there is none."""
    sizes = [abs(float(size)) for size in image.header.get_zooms()[:3]]
    longest = int(np.argmax(sizes))
    others = [size for axis, size in enumerate(sizes) if axis != longest]
    return longest if 0 < THICK * max(others) <= sizes[longest] < math.inf else None


def axes_probe(
    shape: tuple[int, int, int], path: Path, image: Any, slice_axis: int, orientation: str | None
) -> NDArray[np.float32]:
    """`as_slices` of an array without numbers: `(rows, columns, slices)` whose strides tell which
    axis of the file each is, 1 to 3, with a sign.

    Raises:
        InputError: see `as_slices`.
    """
    # Takes no memory, whatever its shape.
    empty = as_strided(np.zeros(1, np.float32), shape, (1, 2, 3), writeable=False)
    return as_slices(empty, path, image, slice_axis, orientation)


def as_slices(
    data: NDArray[np.float32], path: Path, image: Any, slice_axis: int, orientation: str | None
) -> NDArray[np.float32]:
    """A view `(rows, columns, slices)` of an array `(x, y, z)` in the order of an image's file; see
    `read_nifti`.

    Raises:
        InputError: the axes cannot be turned, because the file gives no orientation.
    """
    if orientation not in (None, AS_STORED):
        if _orientation(image) is None:
            raise InputError(
                f"{path}: cannot be turned to {orientation}, because its header gives no "
                "orientation; set orientation: as_stored, or write the file's orientation into it"
            )
        turn = ornt_transform(io_orientation(image.affine), axcodes2ornt(orientation))
        data = apply_orientation(data, turn)
    return np.moveaxis(data, slice_axis, 2)
