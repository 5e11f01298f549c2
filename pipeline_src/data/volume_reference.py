"""Describes a volume of a data set before its pixels are read."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Never

import numpy as np
from numpy.typing import NDArray

from pipeline_src.errors import InputError

MOST_VOXELS = 2**31


@dataclass(frozen=True)
class Header:
    """What is known about a volume before its pixels are read.

    Attributes:
        shape: rows, columns and slices.
        orientation: where the axes of the file point, as `RAS`; None if the file does not say, or
            if it does not matter.
        thick_axis: the axis of the file along which voxels are far longer than along the others,
            which is that of its slices; None if there is none, or if it does not matter.
        spacing: of the pixels along rows' and columns' axes, in the file's unit; None if the file
            does not say, or if it does not matter.
    """

    shape: tuple[int, int, int]
    orientation: str | None = None
    thick_axis: int | None = None
    spacing: tuple[float, float] | None = None


@dataclass(frozen=True)
class VolumeReference:
    """One volume of one patient, readable on demand.

    Attributes:
        patient: id of the patient, the unit of every split and statistic.
        partition: the part of the data set in which its source puts it (``training``), or ``""``.
        frame: which of the patient's volumes this is (``ED``, ``ES``), or ``""``.
        path: the file it is read from; None if it is drawn.
        read: returns the magnitude image `(rows, columns, slices)`, float32; axis 0 is the
            phase-encode axis.
        header: returns what is known without the pixels; fast, and read once.
        missing: why there is no volume of a patient who nevertheless takes part in the split; empty
            if there is one.
    """

    patient: str
    partition: str
    frame: str
    path: Path | None
    read: Callable[[], NDArray[np.float32]]
    header: Callable[[], Header]
    missing: str = ""

    @property
    def label(self) -> str:
        """The name of the volume in messages."""
        return str(self.path) if self.path else f"{self.patient} {self.frame}".strip()

    @property
    def files(self) -> list[Path]:
        """All files that it is read from and that are there."""
        return [path for path in self.names if path.exists()]

    @property
    def names(self) -> list[Path]:
        """All files that it should be read from: a header has its pixels beside it."""
        if self.path is None:
            return []
        pairs = ((".hdr", ".img"), (".img", ".hdr"))
        beside = [
            self.path.with_name(self.path.name.replace(own, other))
            for own, other in pairs
            if own in self.path.suffixes
        ]
        return [self.path, *beside]


def without_volume(patient: str, reason: str) -> VolumeReference:
    """A patient without a volume, who nevertheless takes part in the split."""

    def refuse() -> Never:
        raise InputError(f"patient {patient!r}: {reason}")

    return VolumeReference(patient, "", "", None, refuse, refuse, missing=reason)


def volume_shape(shape: tuple[int, ...], label: str) -> tuple[int, int, int]:
    """The three axes of a volume whose further axes have length one.

    Raises:
        InputError: it has another number of axes, an axis of no length, or is too large to be
            one volume.
    """
    if len(shape) < 3 or any(size != 1 for size in shape[3:]):
        raise InputError(
            f"{label}: is {len(shape)}-D (shape {'x'.join(map(str, shape))}); "
            "a 3-D volume is needed"
        )
    if min(shape) < 1 or math.prod(shape) > MOST_VOXELS:
        raise InputError(
            f"{label}: claims a shape of {'x'.join(map(str, shape))}; a volume has at least one "
            "voxel and at most 2^31"
        )
    return int(shape[0]), int(shape[1]), int(shape[2])


def refuse_duplicates(volumes: list[VolumeReference]) -> list[VolumeReference]:
    """The volumes, sorted, if no two claim the same patient and frame.

    Raises:
        InputError: two volumes do; both are named.
    """
    seen: dict[tuple[str, str], VolumeReference] = {}
    for volume in volumes:
        other = seen.setdefault((volume.patient, volume.frame), volume)
        if other is not volume:
            frame = f" and the frame {volume.frame!r}" if volume.frame else ""
            raise InputError(
                f"{volume.label}: has the patient id {volume.patient!r}{frame}, which "
                f"{other.label} has too; two people need two ids, and several volumes (visits) of "
                "one person one id and a frame each: see patient_pattern and frame_pattern of "
                "kind: nifti"
            )
    return sorted(volumes, key=lambda v: (v.partition, v.patient, v.frame))
