"""Inspects a data set before any pixel is read: its patients, its split, its headers."""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass
from pathlib import Path

from pipeline_src.config.datasets import Dataset, Preparation
from pipeline_src.data.data_files import refuse_absent
from pipeline_src.data.sources import list_volumes
from pipeline_src.data.splits import PARTS, split_patients
from pipeline_src.data.volume_reference import VolumeReference
from pipeline_src.errors import InputError
from pipeline_src.files import sha256_file

EXAMPLES = 3


@dataclass(frozen=True)
class Chosen:
    """The volumes of a data set, and those that its split uses.

    Attributes:
        volumes: all, sorted.
        parts: patient to `train`, `validation` or `test`, for those who are in one.
        used: the volumes of those patients, one part after the other.
    """

    volumes: list[VolumeReference]
    parts: dict[str, str]
    used: list[VolumeReference]


@dataclass(frozen=True)
class Inspection:
    """What a data set contains.

    Attributes:
        volumes: number of volumes.
        patients: number of patients that were recognised.
        examples: the first patients, each with the frame and the label of every volume.
        parts: number of patients in each part of the split.
        without_volume: patients who are left out because they have none.
        repeated: a sentence for each file that another patient of the same part also has.
        ids: of all patients.
        spacings: number of volumes that the split uses by their pixels' spacing, to three digits,
            the most frequent first; those that do not tell it are left out.
    """

    volumes: int
    patients: int
    examples: dict[str, list[tuple[str, str]]]
    parts: dict[str, int]
    without_volume: list[str]
    repeated: list[str]
    ids: list[str]
    spacings: dict[tuple[float, float], int]


def inspect_dataset(dataset: Dataset, data_root: Path) -> Inspection:
    """Check a data set as its preparation would, except for the pixels.

    Files of equal size are compared by their digests; otherwise only headers are read.

    Raises:
        InputError: the data does not exist, the split does not fit it, a header shows that its
            volume cannot be used, or patients of two parts have the same file.
    """
    chosen = choose_volumes(dataset, data_root)
    repeated = equal_files(chosen)
    frames: dict[str, list[tuple[str, str]]] = defaultdict(list)
    for volume in chosen.volumes:
        frames[volume.patient].append((volume.frame, volume.missing or volume.label))
    return Inspection(
        volumes=sum(not volume.missing for volume in chosen.volumes),
        patients=len(frames),
        examples=dict(list(frames.items())[:EXAMPLES]),
        parts={part: list(chosen.parts.values()).count(part) for part in PARTS},
        without_volume=[volume.patient for volume in chosen.volumes if volume.missing],
        repeated=repeated,
        ids=list(frames),
        spacings=dict(
            Counter(
                (float(f"{spacing[0]:.3g}"), float(f"{spacing[1]:.3g}"))
                for volume in chosen.used
                if (spacing := volume.header().spacing)
            ).most_common()
        ),
    )


def choose_volumes(dataset: Dataset, data_root: Path) -> Chosen:
    """List and split a data set, and check the headers of the volumes that the split uses.

    Raises:
        InputError: see `inspect_dataset`, but for equal files.
    """
    volumes = list_volumes(dataset.source, data_root)
    parts = split_patients(volumes, dataset.split)
    # Training first, then validation, then test: each part is one block of the store.
    used = [
        volume
        for part in PARTS
        for volume in volumes
        if parts.get(volume.patient) == part and not volume.missing
    ]
    refuse_absent([path for volume in used for path in volume.names])
    for volume in used:
        check_shape(volume.header().shape, dataset.preparation, volume.label)
    refuse_mixed(used)
    return Chosen(volumes, parts, used)


def chosen_slices(count: int, preparation: Preparation, label: str) -> range:
    """Indices of the configured slices among ``count``.

    Raises:
        InputError: there are none.
    """
    slices = preparation.slices
    chosen = range(count)[slices.start : slices.stop : slices.step]
    if not chosen:
        raise InputError(f"{label}: has {count} slices, none of them in preparation.slices")
    return chosen


def check_shape(shape: tuple[int, int, int], preparation: Preparation, label: str) -> bool:
    """Whether a volume of rows, columns and slices is prepared; False if it is too small and such
    volumes are dropped.

    Raises:
        InputError: it is too small and that is an error, or it has no slice in the configured
            range.
    """
    chosen_slices(shape[2], preparation, label)
    rows, columns = preparation.matrix
    height, width = (size // preparation.downscale for size in shape[:2])
    if (height >= rows and width >= columns) or preparation.undersized == "pad":
        return True
    if preparation.undersized == "error":
        raise InputError(
            f"{label}: slices of {height}x{width} are smaller than preparation.matrix "
            f"{rows}x{columns}; set preparation.undersized to pad or drop"
        )
    return False


def refuse_mixed(volumes: list[VolumeReference]) -> None:
    """Slices of a data set must be of one plane: refuse volumes whose axes point different ways, or
    that were acquired in slices along different axes of their files.

    Raises:
        InputError: they do, or were; those of the rarer orientations or axes are named.
    """
    headers = [volume.header() for volume in volumes]
    ways = [header.orientation for header in headers]
    axes = [None if h.thick_axis is None else f"axis {h.thick_axis}" for h in headers]
    for known, problem in (
        (
            ways,
            "axes point another way than those of the other {count} volumes ({usual}), so slices "
            "would be of different planes or turned; set orientation: {usual} (every file is "
            "turned) or orientation: as_stored of a source of kind: nifti",
        ),
        (
            axes,
            "has thick slices along another axis than the other {count} volumes ({usual}), so one "
            "of both would be cut across; leave them out, or set orientation: RAS (planes alike, "
            "whatever the slices were) or orientation: as_stored of a source of kind: nifti",
        ),
    ):
        groups: dict[str, list[str]] = defaultdict(list)
        for what, volume in zip(known, volumes, strict=True):
            if what is not None:
                groups[what].append(f"{volume.label} ({what})")
        if len(groups) > 1:
            usual, *others = sorted(groups, key=lambda what: len(groups[what]), reverse=True)
            odd = [label for what in others for label in groups[what]]
            more = f" and {len(odd) - EXAMPLES} more" if len(odd) > EXAMPLES else ""
            said = problem.format(count=len(groups[usual]), usual=usual)
            raise InputError(f"{', '.join(odd[:EXAMPLES])}{more}: {said}")


def equal_files(chosen: Chosen) -> list[str]:
    """Sentences about files that two patients of one part share; see `same_image`.

    Raises:
        InputError: patients of two parts share one.
    """
    sizes: dict[int, list[VolumeReference]] = defaultdict(list)
    for volume in chosen.used:
        if volume.path:
            sizes[sum(path.stat().st_size for path in volume.files)].append(volume)
    found = []
    for alike in sizes.values():
        if len({volume.patient for volume in alike}) > 1:
            seen: dict[tuple[str, ...], VolumeReference] = {}
            for volume in alike:
                first = seen.setdefault(tuple(map(sha256_file, volume.files)), volume)
                found.append(same_image(first, volume, chosen.parts))
    return [sentence for sentence in found if sentence]


def same_image(first: VolumeReference, second: VolumeReference, parts: dict[str, str]) -> str:
    """A sentence about two volumes with the same image; empty if one patient has both.

    Within a part, one person counts as two: public data has such cases, so it is reported but not
    refused. Across parts, the network would be tested on what it was trained on.

    Raises:
        InputError: they belong to two patients in different parts of the split.
    """
    if first.patient == second.patient:
        return ""
    ours, theirs = parts[second.patient], parts[first.patient]
    same = (
        f"{second.label}: patient {second.patient!r} of {ours} has the same image as patient "
        f"{first.patient!r} of {theirs} ({first.label})"
    )
    if ours != theirs:
        raise InputError(
            f"{same}; leave one of them out (name the patients of each part in `split`), or "
            "remove the file that is wrong"
        )
    return same
