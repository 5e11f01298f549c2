"""Reads the layout of the ACDC challenge (Bernard et al., IEEE TMI 2018)."""

from __future__ import annotations

import re
from dataclasses import replace
from functools import cache, partial
from pathlib import Path

from pipeline_src.config.datasets import AcdcSource
from pipeline_src.data.data_files import (
    entries,
    name_when_finished,
    refuse_absent,
    refuse_unfinished,
    subfolders,
)
from pipeline_src.data.nifti_files import nifti_volume, read_nifti_header
from pipeline_src.data.volume_reference import Header, VolumeReference
from pipeline_src.errors import InputError

DESCRIPTION = "the ACDC challenge"
DISPLAY_QUARTER_TURNS = 1

#: A line of Info.cfg, such as `ED: 1`; longer numbers name no frame.
STATED_FRAME = re.compile(r"^[ \t]*(ED|ES)[ \t]*:[ \t]*(\d{1,9})(?!\d)", re.MULTILINE)
FRAME_FILE = re.compile(r"(patient\d+)_frame(\d+)\.nii(\.gz)?")


def list_volumes(source: AcdcSource, data_root: Path) -> list[VolumeReference]:
    """ED and ES frames of `{training,testing}/patientNNN/patientNNN_frameMM.nii.gz`.

    Raises:
        InputError: there is no partition; a patient has not the frames asked for, or has one
            twice; a file lies in another patient's folder, or is still being downloaded.
    """
    folder = data_root / source.path
    partitions = [p.name for p in subfolders(folder, "the ACDC folder")]
    partitions = [p for p in ("training", "testing") if p in partitions]
    if not partitions:
        raise InputError(
            f"{folder.absolute()}: holds neither training/ nor testing/ of the ACDC layout"
        )
    volumes = []
    for partition in partitions:
        for patient_folder in subfolders(folder / partition, "the partition"):
            for phase, path in _frames(patient_folder).items():
                if phase in source.frames:
                    volume = nifti_volume(patient_folder.name, partition, phase, path)
                    volumes.append(replace(volume, header=cache(partial(_header, path))))
    return volumes


def _header(path: Path) -> Header:
    """The header of a stack of short-axis slices.

    The challenge's files do not all say where their axes point, and the short axis is oblique, so
    orientations are not compared; but a stack has far fewer slices than pixels per side.

    Raises:
        InputError: the file cannot be read, or is no such stack.
    """
    shape = read_nifti_header(path).shape
    if shape[2] > min(shape[:2]):
        raise InputError(
            f"{path}: has {shape[2]} slices of {shape[0]}x{shape[1]}, so its slices are "
            "not along the last axis as in the ACDC challenge; reorder its axes, or read the "
            "files as kind: nifti with slice_axis"
        )
    return Header(shape)


def _frames(folder: Path) -> dict[str, Path]:
    """The ED and ES files of one patient."""
    files: dict[int, Path] = {}
    for path in entries(folder, "the patient's folder"):
        match = FRAME_FILE.fullmatch(name_when_finished(path))
        if not match:
            continue
        refuse_unfinished([path])
        if match[1] != folder.name:
            raise InputError(
                f"{path}: is named after another patient than its folder; put it where it "
                "belongs, or give both one name"
            )
        other = files.setdefault(int(match[2]), path)
        if other is not path:
            raise InputError(
                f"{path}: is frame {int(match[2])} of its patient, which {other.name} is too; "
                "move the one away that is not the volume"
            )
    info = folder / "Info.cfg"
    if info.exists() or info.is_symlink():
        refuse_absent([info], otherwise="")
        try:
            text = info.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise InputError(f"{info}: cannot be read ({error})") from None
        stated = dict(STATED_FRAME.findall(text))
        numbers = {phase: int(number) for phase, number in stated.items()}
    else:
        # Without Info.cfg: the challenge's files name ED before ES.
        numbers = dict(zip(("ED", "ES"), sorted(files), strict=False))
    if set(numbers) != {"ED", "ES"} or not set(numbers.values()) <= set(files):
        have = ", ".join(p.name for p in files.values()) or "none"
        raise InputError(f"{folder}: the ED and ES frames are not both there (frames: {have})")
    return {phase: files[number] for phase, number in numbers.items()}
