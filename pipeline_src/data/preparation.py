"""Prepares a data set: reads the volumes of a source and makes target slices of them."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from skimage.transform import downscale_local_mean

from pipeline_src.config.datasets import Dataset, Preparation
from pipeline_src.data.inspection import (
    check_shape,
    choose_volumes,
    chosen_slices,
    same_image,
)
from pipeline_src.data.volume_reference import VolumeReference
from pipeline_src.errors import InputError
from pipeline_src.files import sha256_file

#: How many slices that hold NaN are named.
MOST_SLICES = 5


class Images(Protocol):
    """Receives prepared slices, and returns them when they are written."""

    def append(self, image: NDArray[np.float32], /) -> None:
        """Add a slice `(rows, columns)`."""

    def __len__(self) -> int: ...

    def __iter__(self) -> Iterator[NDArray[np.float32]]: ...


@dataclass
class PreparedData:
    """Target slices, and what was left out, in the order in which volumes were read.

    Attributes:
        images: one `(rows, columns)` float32 array per slice, its volume's maximum being 1.
        slices: a row per slice: patient, frame, part, slice (index in the file), volume.
        volumes: a row per volume: patient, frame, part, path, sha256, maximum (before scaling).
        dropped: a row per item left out: patient, frame, slice (or -1), reason.
        repeated: a sentence for each image that another patient of the same part also has.
    """

    images: Images = field(default_factory=list[NDArray[np.float32]])
    slices: list[dict[str, str | int]] = field(default_factory=list)
    volumes: list[dict[str, str | float]] = field(default_factory=list)
    dropped: list[dict[str, str | int]] = field(default_factory=list)
    repeated: list[str] = field(default_factory=list)


def prepare(
    dataset: Dataset,
    data_root: Path,
    progress: Callable[[list[VolumeReference]], Iterable[VolumeReference]] = lambda v: v,
    images: Images | None = None,
) -> PreparedData:
    """Read, scale, crop and index every volume of a data set that belongs to a split.

    Args:
        dataset: the data set.
        data_root: folder to which its source's path is relative.
        progress: may wrap the list of volumes to show the progress.
        images: receives the slices as they are made; by default a list.

    Raises:
        InputError: a volume cannot be used, or patients of two parts have the same image; the
            message names its file and what is wrong.
    """
    chosen = choose_volumes(dataset, data_root)
    parts = chosen.parts
    prepared = PreparedData() if images is None else PreparedData(images)
    seen: dict[str, VolumeReference] = {}

    def drop(volume: VolumeReference, reason: str, index: int = -1) -> None:
        prepared.dropped.append(
            {
                "patient": volume.patient,
                "frame": volume.frame,
                "slice": index,
                "reason": reason,
            }
        )

    for volume in chosen.volumes:
        if volume.missing:
            drop(volume, volume.missing)
        elif volume.patient not in parts:
            drop(volume, "patient is in no part of the split")
    for volume in progress(chosen.used):
        image = volume.read()
        repeated: dict[str, None] = {}
        maximum = check_image(image, volume.label)
        taken = take_slices(image / maximum, dataset.preparation, volume.label)
        if taken is None:
            shape = "x".join(map(str, image.shape[:2]))
            drop(volume, f"slices of {shape} are smaller than the matrix")
            continue
        number = len(prepared.volumes)
        kept = 0
        for index, slice_image in taken:
            if not slice_image.any():
                drop(volume, "slice is empty (all zero) after cropping", index)
                continue
            kept += 1
            # Of the prepared pixels: files of one image differ in compression and scale. What is
            # the same everywhere is nobody's image.
            if slice_image.min() < slice_image.max():
                digest = hashlib.sha256(slice_image.tobytes()).hexdigest()
                repeated[same_image(seen.setdefault(digest, volume), volume, parts)] = None
            prepared.images.append(slice_image)
            prepared.slices.append(
                {
                    "patient": volume.patient,
                    "frame": volume.frame,
                    "part": parts[volume.patient],
                    "slice": index,
                    "volume": number,
                }
            )
        prepared.repeated += filter(None, repeated)
        if not kept:
            drop(volume, "no slice left")
            continue
        prepared.volumes.append(
            {
                "patient": volume.patient,
                "frame": volume.frame,
                "part": parts[volume.patient],
                "path": str(volume.path or ""),
                "sha256": sha256_file(volume.path) if volume.path else "",
                "maximum": maximum,
            }
        )
    for part in sorted(set(parts.values())):
        if not any(row["part"] == part for row in prepared.slices):
            raise InputError(f"split.{part}: no slice is left after preparation")
    return prepared


def check_image(image: NDArray[np.float32], label: str) -> float:
    """The maximum of a magnitude image `(rows, columns, slices)`, in its own unit.

    Raises:
        InputError: it holds NaN or infinity, or has no positive value.
    """
    finite = np.isfinite(image)
    bad = int(image.size - finite.sum())
    found = np.flatnonzero(~finite.all(axis=(0, 1)))
    more = ", ..." if len(found) > MOST_SLICES else ""
    where = f" in slice {', '.join(map(str, found[:MOST_SLICES]))}{more} (counted from 0)"
    low, high = (float(image.min()), float(image.max())) if image.size else (0.0, 0.0)
    refuse_no_image(label, bad=bad, low=low, high=high, where=where)
    return high


def refuse_no_image(label: str, *, bad: int, low: float, high: float, where: str = "") -> None:
    """Refuse an array that is not a magnitude image, by its number of non-finite values (and
    ``where`` they are), its minimum and its maximum.

    Raises:
        InputError: it is not one.
    """
    if bad:
        raise InputError(
            f"{label}: holds {bad} NaN or infinite values{where}; finite ones within single "
            "precision (3.4e38) are needed"
        )
    if low < 0:
        raise InputError(
            f"{label}: has negative values (minimum {low:.4g}); a magnitude image is needed"
        )
    if high <= 0:
        raise InputError(f"{label}: is zero everywhere; a magnitude image is needed")


def take_slices(
    image: NDArray[np.float32], preparation: Preparation, label: str
) -> list[tuple[int, NDArray[np.float32]]] | None:
    """Take the configured slices of a volume, downscaled and cropped or padded.

    Args:
        image: `(rows, columns, slices)`.
        preparation: how slices are made.
        label: names the volume in messages.

    Returns:
        Index and slice `(rows, columns)` of each; None for a volume that is smaller than the
            matrix, if such volumes are dropped.

    Raises:
        InputError: the volume is smaller than the matrix and that is an error, or it has no slice
            in the configured range.
    """
    rows, columns, count = image.shape
    if not check_shape((rows, columns, count), preparation, label):
        return None
    factor = preparation.downscale
    height, width = rows // factor * factor, columns // factor * factor
    taken = []
    for index in chosen_slices(count, preparation, label):
        plane = image[:height, :width, index]
        if factor > 1:
            plane = downscale_local_mean(plane, (factor, factor))
        plane = center_crop_or_pad(
            np.ascontiguousarray(plane, dtype=np.float32), preparation.matrix
        )
        taken.append((index, plane))
    return taken


def center_crop_or_pad(plane: NDArray[np.float32], matrix: tuple[int, int]) -> NDArray[np.float32]:
    """Crop a slice `(rows, columns)` to the shape ``matrix`` about its centre, or pad it with
    zeros.
    """
    out = np.zeros(matrix, dtype=np.float32)
    source, target = [], []
    for have, want in zip(plane.shape, matrix, strict=True):
        size = min(have, want)
        source.append(slice((have - size) // 2, (have - size) // 2 + size))
        target.append(slice((want - size) // 2, (want - size) // 2 + size))
    out[tuple(target)] = plane[tuple(source)]
    return out
