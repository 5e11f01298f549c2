"""A volume of a data set, before its pixels are read."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pipeline_src.errors import InputError


@dataclass(frozen=True)
class VolumeReference:
    """One volume of one patient, readable on demand.

    Attributes:
        patient: id of the patient, the unit of every split and statistic.
        partition: the part of the data set its source puts it in (``training``), or ``""``.
        frame: which of the patient's volumes this is (``ED``, ``ES``), or ``""``.
        path: the file it is read from; None where it is drawn.
        read: returns the magnitude image `(rows, columns, slices)`, float32; axis 0 is the
            phase-encode axis.
    """

    patient: str
    partition: str
    frame: str
    path: Path | None
    read: Callable[[], NDArray[np.float32]]

    @property
    def label(self) -> str:
        """How messages name the volume."""
        return str(self.path) if self.path else f"{self.patient} {self.frame}".strip()


def require_folder(path: Path, what: str) -> Path:
    """``path``, if it is a folder that can be listed.

    Raises:
        InputError: it is missing, is no folder, or may not be read.
    """
    try:
        if not path.is_dir():
            problem = "is not a folder" if path.exists() else "does not exist"
            raise InputError(f"{path}: {what} {problem}; set data_root or the source's path")
        next(path.iterdir(), None)
    except PermissionError:
        raise InputError(f"{path}: {what} may not be read (no permission)") from None
    return path


def refuse_duplicates(volumes: list[VolumeReference]) -> list[VolumeReference]:
    """The volumes, sorted, if no two claim the same patient and frame.

    Raises:
        InputError: two volumes do; both are named.
    """
    seen: dict[tuple[str, str], VolumeReference] = {}
    for volume in volumes:
        other = seen.setdefault((volume.patient, volume.frame), volume)
        if other is not volume:
            raise InputError(
                f"{volume.label}: has the patient id {volume.patient!r}, which {other.label} has "
                "too; every patient needs an id of its own"
            )
    return sorted(volumes, key=lambda v: (v.partition, v.patient, v.frame))
