"""Finds NIfTI files by a pattern, and recognises the patient and frame of each."""

from __future__ import annotations

import re
from collections import defaultdict
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import regex

from pipeline_src.config.datasets import NiftiSource
from pipeline_src.data.data_files import matching, refuse_two_suffixes, require_folder, subfolders
from pipeline_src.data.nifti_files import nifti_volume
from pipeline_src.data.volume_reference import VolumeReference, without_volume
from pipeline_src.errors import InputError

DESCRIPTION = "NIfTI volumes"
DISPLAY_QUARTER_TURNS = 1

#: Seconds that a pattern may take for one path.
PATIENCE = 1.0
# Sessions, runs and echoes are several volumes of one patient, not several patients.
VISIT = re.compile(r"(?:ses|run|echo)-[A-Za-z0-9]+")
# Entities of BIDS that tell apart what was acquired, where the above leave two volumes alike.
ACQUIRED = ("acq", "ce", "dir", "flip", "inv", "mt", "rec", "task")
# The rest are no part of a frame, but no other person either.
OTHERS = "chunk|den|desc|hemi|mod|part|proc|recording|res|sample|space|split|stain|trc"
ENTITY = re.compile(
    rf"(ses|run|echo|(?<![A-Za-z0-9])(?:{'|'.join(ACQUIRED)}|{OTHERS}))-[A-Za-z0-9]+"
)


@dataclass(frozen=True)
class _Found:
    """A file, its path below the source's folder, and where its patient's id is in that path."""

    path: Path
    name: str
    patient: str
    id_end: int

    @property
    def stem(self) -> str:
        return re.sub(r"\.nii(\.gz)?$", "", self.name)


def list_volumes(source: NiftiSource, data_root: Path) -> list[VolumeReference]:
    """Volumes that match ``source.pattern``; what distinguishes a patient's files is the frame.

    Raises:
        InputError: the folder is missing; a file's path holds no patient id, or not the whole of
            it; a patient has no volume, or a volume lies there twice.
    """
    folder = require_folder(data_root / source.path, "the NIfTI folder")
    patients: dict[str, list[_Found]] = defaultdict(list)
    for path in matching(folder, source.pattern):
        refuse_two_suffixes(path)
        name = path.relative_to(folder).as_posix()
        found = _patient(source, name)
        if found is None:
            raise InputError(
                f"{path}: no patient id found; patient_pattern {source.patient_pattern!r} "
                "matches nothing in its path"
            )
        if not found[0]:
            raise InputError(
                f"{path}: its patient id is empty; patient_pattern {source.patient_pattern!r} "
                "must match at least one character"
            )
        if found[0].strip("/") != found[0]:
            raise InputError(
                f"{path}: its patient id {found[0]!r} begins or ends with a slash; put what names "
                f"the patient in patient_pattern {source.patient_pattern!r} into parentheses, as "
                "in '^([^/]+)/'"
            )
        patients[found[0]].append(_Found(path, name, *found))
    volumes = []
    for patient, files in patients.items():
        _refuse_ids_cut_short(source, files)
        for file, frame in zip(files, _frames(source, files), strict=True):
            volumes.append(
                nifti_volume(patient, "", frame, file.path, source.slice_axis, source.orientation)
            )
    if not volumes:
        return []
    return volumes + _patients_without_volume(source, folder, set(patients))


def _search(pattern: str, name: str, key: str) -> Any:
    """The first match of a pattern in a path, or None.

    Raises:
        InputError: the pattern tries so many ways that it takes for ever.
    """
    try:
        return regex.search(pattern, name, timeout=PATIENCE)
    except TimeoutError:
        raise InputError(
            f"{key}: {pattern!r} tries too many ways to match {name}; repeat nothing that repeats, "
            "as in (a+)+"
        ) from None


def _patient(source: NiftiSource, name: str) -> tuple[str, int] | None:
    """The patient's id in a path, and where it ends; None where there is none."""
    match = _search(source.patient_pattern, name, "patient_pattern")
    if match is None:
        return None
    # Of alternatives, only one takes part.
    group = next((n for n, text in enumerate(match.groups(), 1) if text is not None), 0)
    return match[group], match.end(group)


def _frames(source: NiftiSource, files: list[_Found]) -> list[str]:
    """What distinguishes each of one patient's files."""
    if source.frame_pattern is not None:
        matches = [_search(source.frame_pattern, file.stem, "frame_pattern") for file in files]
        return ["_".join(g for g in m.groups() if g) or m[0] if m else "" for m in matches]
    frames = ["_".join(dict.fromkeys(VISIT.findall(file.stem))) for file in files]
    if len(set(frames)) == len(files):
        return frames
    found = [{m[1]: m[0] for m in ENTITY.finditer(file.stem)} for file in files]
    differing = {key for key in ACQUIRED if len({entities.get(key) for entities in found}) > 1}
    kept = {"ses", "run", "echo"} | differing
    return ["_".join(text for key, text in one.items() if key in kept) for one in found]


def _refuse_ids_cut_short(source: NiftiSource, files: list[_Found]) -> None:
    """Files of one patient may differ in their frames, and in nothing else.

    Raises:
        InputError: they do; `sub-KKI_0001` and `sub-KKI_0002` are not one patient `KKI`.
    """
    for other in files[1:]:
        first = files[0]
        if _rest(source, first) == _rest(source, other):
            continue
        both = f"{first.name} and {other.name} both have the patient id {first.patient!r}"
        folders = [f.name[: f.name.find("/", f.id_end)] for f in (first, other)]
        in_folders = all("/" in f.name[f.id_end :] for f in (first, other))
        if in_folders and folders[0].split("/")[-1] != folders[1].split("/")[-1]:
            raise InputError(
                f"{first.path.parent}: {both}, which is a part of their folders' names; if these "
                "are two people, take the whole name by patient_pattern, as in 'sub-([^/]+)/'; if "
                "one person, name by frame_pattern what distinguishes the volumes"
            )
        raise InputError(
            f"{first.path}: {both}, but differ in more than that; if these are volumes (visits) "
            "of one person, name by frame_pattern what distinguishes them, as in 'visit[0-9]+'; "
            "if these are two people, take the whole id of each by patient_pattern"
        )


def _rest(source: NiftiSource, file: _Found) -> list[str]:
    """The words of a file's path without its frame."""
    if source.frame_pattern is None:
        left = ENTITY.sub(" ", file.stem)
    else:
        left = regex.sub(source.frame_pattern, " ", file.stem, timeout=PATIENCE)
    return [word for word in re.split(r"[\W_]+", left) if word]


def _patients_without_volume(
    source: NiftiSource, folder: Path, there: set[str]
) -> list[VolumeReference]:
    """Patients who have a folder but no volume; who is drawn must not depend on them.

    Raises:
        InputError: there are some, and the configuration does not leave them out.
    """
    first, *rest = source.pattern.split("/")
    if not rest or not re.search(r"[*?[]", first):
        return []
    missing: dict[str, Path] = {}
    for path in subfolders(folder, "the NIfTI folder"):
        found = _patient(source, f"{path.name}/") if fnmatchcase(path.name, first) else None
        if found and found[0] and found[0] not in there:
            missing.setdefault(found[0], path)
    if missing and source.without_volume == "error":
        shown = ", ".join(path.name for path in list(missing.values())[:3])
        raise InputError(
            f"{folder}: {len(missing)} patients have a folder but no volume that `pattern` "
            f"{source.pattern!r} matches ({shown}{', ...' if len(missing) > 3 else ''}); fetch "
            "the volumes, make the first part of `pattern` more precise, or set "
            "without_volume: leave_out"
        )
    return [without_volume(patient, "has no volume") for patient in missing]
