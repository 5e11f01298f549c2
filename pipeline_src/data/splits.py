"""Assigning patients to train, validation and test."""

from __future__ import annotations

from collections.abc import Iterable
from fnmatch import fnmatchcase

import numpy as np

from pipeline_src.config.data import Split
from pipeline_src.data.volume import VolumeReference
from pipeline_src.errors import InputError

PARTS = ("train", "validation", "test")


def split_patients(volumes: Iterable[VolumeReference], split: Split) -> dict[str, str]:
    """The part of each patient that has one: patient id to `train`, `validation` or `test`.

    Lists are honoured first; numbers are then drawn with ``split.seed`` from the patients that no
    list names, in the order of `PARTS`.

    Raises:
        InputError: an entry matches no patient, a patient falls in two parts, or there are
            fewer patients than the numbers ask for.
    """
    partitions = {v.patient: v.partition for v in volumes}
    assigned: dict[str, str] = {}
    for part in PARTS:
        choice = getattr(split, part)
        if isinstance(choice, int):
            continue
        for entry in choice:
            names = {p: (p, f"{partition}/{p}") for p, partition in partitions.items()}
            # An id may hold what a pattern means by a bracket or a star.
            matched = [patient for patient, both in names.items() if entry in both] or [
                patient
                for patient, both in names.items()
                if any(fnmatchcase(name, entry) for name in both)
            ]
            if not matched:
                raise InputError(
                    f"split.{part}: {entry!r} matches no patient; there are "
                    f"{', '.join(sorted(partitions)[:5])}, ... ({len(partitions)} in all)"
                )
            for patient in matched:
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
