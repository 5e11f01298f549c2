"""What the manifests, stores and masks of a study record of how it was made."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pipeline_src.config.study import Study
from pipeline_src.data.store_index import StoreIndex, read_index
from pipeline_src.errors import InputError
from pipeline_src.files import read_json
from pipeline_src.planning.models import Models
from pipeline_src.planning.places import Places, manifest_of
from pipeline_src.sampling.masks import Mask, read_mask

#: Stands for what is told nowhere.
UNKNOWN = "not recorded"
#: Processor, cores, operating system, and the device of a training (empty for other steps).
Machine = tuple[str, str, str, str]


@dataclass(frozen=True)
class Sitting:
    """One process's share of a result, as a manifest tells it.

    Attributes:
        process: what tells it from other processes.
        processor_seconds, joules, peak_mib: None where the manifest does not tell.
    """

    process: tuple[str, ...]
    seconds: float
    processor_seconds: float | None
    joules: float | None
    peak_mib: float | None
    machine: Machine


@dataclass(frozen=True)
class Made:
    """What is read of one manifest.

    Attributes:
        given: number of its inputs.
        outputs: SHA-256 by name.
        repeated: sentences about images that occur twice.
        commit: of the code, or why there is none; empty where neither is told.
        packages: versions by name.
    """

    given: int
    outputs: dict[str, str]
    repeated: list[str]
    sittings: list[Sitting]
    commit: str
    packages: dict[str, str]


def read_made(path: Path) -> Made:
    """Read a manifest.

    Raises:
        InputError: it cannot be read, or lacks what every manifest has.
    """
    facts = read_json(path)
    try:
        by = facts["made_by"]
        trained = facts.get("command") == "train"
        device = str(facts.get("gpu") or facts.get("device") or UNKNOWN) if trained else ""
        return Made(
            given=len(dict(facts["inputs"])),
            outputs={str(name): str(digest) for name, digest in facts["outputs"].items()},
            repeated=_texts(facts.get("repeated", [])),
            sittings=[_sitting(sitting, device) for sitting in facts["sittings"]],
            commit=str(by.get("commit") or by.get("commit_problem") or ""),
            packages={str(name): str(version) for name, version in by["packages"].items()},
        )
    except (ArithmeticError, AttributeError, KeyError, TypeError, ValueError) as error:
        raise InputError(
            f"{path}: is no manifest of this pipeline ({type(error).__name__}: {error}); run the "
            "workflow again"
        ) from None


def _texts(told: Any) -> list[str]:
    if not isinstance(told, list):
        raise TypeError(f"{told!r:.40} is no list")
    return [str(text) for text in told]


def _amount(told: Any) -> float:
    """Of seconds, joules or MiB: a sum would hide one that cannot be."""
    if isinstance(told, bool) or not isinstance(told, int | float) or not 0 <= told < math.inf:
        raise ValueError(f"{told!r:.40} is no amount")
    return float(told)


def _sitting(told: Mapping[str, Any], device: str) -> Sitting:
    def number(key: str) -> float | None:
        value = told.get(key)
        return None if value is None else _amount(value)

    def text(key: str) -> str:
        value = told.get(key)
        return UNKNOWN if value is None else str(value)

    return Sitting(
        process=(text("started"), text("host"), text("startup_seconds")),
        seconds=_amount(told["seconds"]),
        processor_seconds=number("processor_seconds"),
        joules=number("energy_joules"),
        peak_mib=number("peak_memory_mib"),
        machine=(text("processor"), text("cores"), text("system"), device),
    )


@dataclass
class Effort:
    """What runs of one kind took together.

    Attributes:
        expected: results that the study has of this kind.
        found: those of them that have a manifest.
        sittings: processes that worked on them.
        seconds: of all sittings, by the clock.
        processor_seconds: of those sittings that tell them, and how many do; likewise `joules`.
        peak_mib: the most memory that one process held; None where none tells.
    """

    expected: int = 0
    found: int = 0
    sittings: int = 0
    seconds: float = 0.0
    processor_seconds: float = 0.0
    with_processor_seconds: int = 0
    joules: float = 0.0
    with_joules: int = 0
    peak_mib: float | None = None

    def add(self, sitting: Sitting) -> None:
        """Count a sitting."""
        self.sittings += 1
        self.seconds += sitting.seconds
        if sitting.processor_seconds is not None:
            self.processor_seconds += sitting.processor_seconds
            self.with_processor_seconds += 1
        if sitting.joules is not None:
            self.joules += sitting.joules
            self.with_joules += 1
        if sitting.peak_mib is not None:
            self.peak_mib = max(self.peak_mib or 0.0, sitting.peak_mib)

    def with_all_of(self, other: Effort) -> Effort:
        """What both took together."""
        peaks = [peak for peak in (self.peak_mib, other.peak_mib) if peak is not None]
        sums = {
            name: value + getattr(other, name)
            for name, value in vars(self).items()
            if name != "peak_mib"
        }
        return Effort(**sums, peak_mib=max(peaks, default=None))


@dataclass
class Records:
    """What was read, summed up: a large study has thousands of manifests.

    Attributes:
        prepared: manifests of the preparations, by data set and seed.
        stores, masks: by data set and seed, and by data set, acceleration and seed; those that are
            there. The seed is None where one serves all.
        preparation, training, evaluation: what they took.
        by_model: what training took, by the model's name.
        machines: what the sittings on each machine took.
        commits: results by commit, or by why there is none.
        packages: results by version, by package.
        files: all that was read.
    """

    prepared: dict[tuple[str, int | None], Made] = field(default_factory=dict)
    stores: dict[tuple[str, int | None], StoreIndex] = field(default_factory=dict)
    masks: dict[tuple[str, int, int | None], Mask] = field(default_factory=dict)
    preparation: Effort = field(default_factory=Effort)
    training: Effort = field(default_factory=Effort)
    evaluation: Effort = field(default_factory=Effort)
    by_model: dict[str, Effort] = field(default_factory=dict)
    machines: dict[Machine, Effort] = field(default_factory=dict)
    commits: Counter[str] = field(default_factory=Counter)
    packages: dict[str, Counter[str]] = field(default_factory=dict)
    files: list[Path] = field(default_factory=list)


def read_records(study: Study, results: Path | None) -> Records:
    """Read every manifest of the study as configured once, its masks, and the tables of its stores.

    Args:
        study: what was run.
        results: its folder, `results/{study}`; None: nothing is recorded.

    Raises:
        InputError: a file is damaged. One that is not there is not counted.
    """
    return _Reading(study, results).records


class _Reading:
    def __init__(self, study: Study, results: Path | None) -> None:
        self._study, self._models, self._results = study, Models(study), results
        self._places = Places(study)
        self._evaluations: dict[tuple[str, ...], Sitting] = {}
        self.records = Records()
        for dataset in study.datasets:
            self._dataset(dataset)
        for setting in study.settings():
            self._setting(*setting)
        for sitting in self._evaluations.values():
            self.records.evaluation.add(sitting)
            self._machine(sitting)

    def _machine(self, sitting: Sitting) -> None:
        self.records.machines.setdefault(sitting.machine, Effort()).add(sitting)

    def _place(self, name: str) -> Path | None:
        """A file in the results that is there."""
        path = self._results / name if self._results else None
        if path is None or not path.exists():
            return None
        self.records.files.append(path)
        return path

    def _dataset(self, dataset: str) -> None:
        records = self.records
        for seed in self._places.seeds("store"):
            store = self._places.store(dataset, seed)
            if path := self._place(store):
                records.stores[dataset, seed] = read_index(path)
            if made := self._made(manifest_of(store), records.preparation):
                records.prepared[dataset, seed] = made

    def _setting(self, dataset: str, factor: int) -> None:
        records, places, setting = self.records, self._places, (dataset, f"{factor}x")
        for repeat in places.seeds("mask"):
            if path := self._place(places.mask(*setting, repeat)):
                records.masks[dataset, factor, repeat] = read_mask(path)
        for repeat in places.seeds("zero_filled"):
            self._evaluated(places.zero_filled(*setting, repeat))
        for name in self._models.names((dataset, factor)):
            of_model = records.by_model.setdefault(name, Effort())
            for seed in self._study.seeds:
                folder = places.model(*setting, seed, name)
                self._made(f"{folder}/manifest.json", records.training, of_model)
                self._evaluated(folder)

    def _evaluated(self, folder: str) -> None:
        """One process measures many models, and the manifest of each tells of it as far as it had
        come: its longest account counts, once."""
        made = self._made(f"{folder}/volumes.manifest.json")
        self.records.evaluation.expected += 1
        self.records.evaluation.found += made is not None
        for sitting in made.sittings if made else ():
            known = self._evaluations.setdefault(sitting.process, sitting)
            if sitting.seconds > known.seconds:
                self._evaluations[sitting.process] = sitting

    def _made(self, name: str, *efforts: Effort) -> Made | None:
        """The manifest, where it is there, its sittings summed up in ``efforts``."""
        for effort in efforts:
            effort.expected += 1
        if (path := self._place(name)) is None:
            return None
        made, records = read_made(path), self.records
        for effort in efforts:
            effort.found += 1
            for sitting in made.sittings:
                effort.add(sitting)
        for sitting in made.sittings if efforts else ():
            self._machine(sitting)
        records.commits[made.commit] += 1
        for package, version in made.packages.items():
            records.packages.setdefault(package, Counter())[version] += 1
        return made
