"""Assigns patients to train, validation and test."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from fnmatch import fnmatchcase

import numpy as np

from pipeline_src.config.split import Folds, Split
from pipeline_src.data.volume_reference import VolumeReference
from pipeline_src.errors import InputError

PARTS = ("train", "validation", "test")


def split_patients(volumes: Iterable[VolumeReference], split: Split | Folds) -> dict[str, str]:
    """The part of each patient that is in one: patient id to `train`, `validation` or `test`.

    Lists are assigned first; numbers are then drawn with ``split.seed`` from the patients that no
    list names, in the order of `PARTS`. Folds are assigned with the same seed.

    Raises:
        InputError: an entry matches no patient, a patient is in two parts, there are fewer patients
            than the numbers or folds ask for, or no fold is named.
    """
    partitions = {v.patient: v.partition for v in volumes}
    if isinstance(split, Folds):
        return _fold(partitions, split)
    assigned: dict[str, str] = {}
    for part in PARTS:
        choice = getattr(split, part)
        if isinstance(choice, int):
            continue
        for entry in choice:
            for patient in _matched(entry, partitions, part):
                if assigned.setdefault(patient, part) != part:
                    raise InputError(
                        f"split.{part}: {entry!r} takes patient {patient!r}, which is already "
                        f"in {assigned[patient]}; a patient belongs to one part"
                    )
    free = sorted(set(partitions) - set(assigned))
    wanted = [(part, getattr(split, part)) for part in PARTS]
    numbers = {part: choice for part, choice in wanted if isinstance(choice, int)}
    if sum(numbers.values()) > len(free):
        asked = " + ".join(f"{n} {part}" for part, n in numbers.items() if n)
        raise InputError(f"split: {asked} patients asked for, but only {len(free)} are free")
    drawn = [free[i] for i in np.random.default_rng(split.seed).permutation(len(free))]
    for part, number in numbers.items():
        assigned |= dict.fromkeys(drawn[:number], part)
        drawn = drawn[number:]
    return assigned


def _matched(entry: str, partitions: Mapping[str, str], key: str) -> list[str]:
    """The patients that an id or pattern names.

    Raises:
        InputError: there are none.
    """
    names = {p: (p, f"{partition}/{p}") for p, partition in partitions.items()}
    # An id may hold what a pattern means by a bracket or a star.
    matched = [patient for patient, both in names.items() if entry in both] or [
        patient for patient, both in names.items() if any(fnmatchcase(name, entry) for name in both)
    ]
    if not matched:
        raise InputError(
            f"split.{key}: {entry!r} matches no patient; there are "
            f"{', '.join(sorted(partitions)[:5])}{', ...' * (len(partitions) > 5)} "
            f"({len(partitions)} in all)"
        )
    return matched


def _fold(partitions: Mapping[str, str], split: Folds) -> dict[str, str]:
    """The parts of all patients that are dealt, `split.fold` being tested."""
    if split.fold is None:
        raise InputError(f"split.folds: none of the {split.folds} folds is named by split.fold")
    dealt = set(partitions)
    if split.patients is not None:
        dealt = {p for entry in split.patients for p in _matched(entry, partitions, "patients")}
    patients, rng = sorted(dealt), np.random.default_rng(split.seed)
    if len(patients) < split.folds:
        raise InputError(
            f"split.folds: {split.folds} folds of {len(patients)} patients; give {len(patients)} "
            "or fewer"
        )
    order = [patients[i] for i in rng.permutation(len(patients))]
    tested = order[split.fold :: split.folds]
    others = sorted(dealt - set(tested))
    if split.validation >= len(others):
        raise InputError(
            f"split.validation: {split.validation} of the {len(others)} patients that are not "
            f"tested leaves none to train on; give {len(others) - 1} or fewer"
        )
    # A stream of its own for each fold.
    drawn = np.random.default_rng([split.seed, split.fold]).permutation(len(others))
    validation = {others[i] for i in drawn[: split.validation]}
    assigned = dict.fromkeys(sorted(set(others) - validation), "train")
    return (
        assigned | dict.fromkeys(sorted(validation), "validation") | dict.fromkeys(tested, "test")
    )
