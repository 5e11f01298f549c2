"""Reads and sums up what the manifests, stores and masks of a study record about how it was
made.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pipeline_src.config.setting import Setting
from pipeline_src.config.study import Study
from pipeline_src.data.store import StoreIndex, read_index
from pipeline_src.planning.places import MANIFEST, VOLUMES, Places, manifest_of
from pipeline_src.planning.study_models import Models
from pipeline_src.provenance.manifest import UNKNOWN, Manifest, Run
from pipeline_src.sampling.masks import Mask, read_mask

#: Processor, cores, operating system, and the device of a training (empty for other steps).
Machine = tuple[str, str, str, str]
#: Keys that a manifest must have to be counted.
PARTS = ("inputs", "outputs", "runs", "made_by")


def machine_of(run: Run, device: str) -> Machine:
    """The machine of a run."""
    cores = UNKNOWN if run.cores is None else str(run.cores)
    return (run.processor or UNKNOWN, cores, run.system or UNKNOWN, device)


def device_of(made: Manifest) -> str:
    """The device of a training; empty for another command."""
    return made.gpu or made.device or UNKNOWN if made.command == "train" else ""


@dataclass
class Effort:
    """What the runs of one kind used in total.

    Attributes:
        expected: number of results of this kind in the study.
        found: how many of them have a manifest.
        runs: processes that worked on them.
        seconds: wall time of all runs.
        processor_seconds: of the runs that record it, and how many do; the same for `joules`.
        peak_mib: the most memory that one process used; None if none records it.
        gpu_runs, gpu_joules, with_gpu_joules, gpu_peak_mib: the same for the runs on a GPU, and for
            the GPU's own memory and energy.
    """

    expected: int = 0
    found: int = 0
    runs: int = 0
    seconds: float = 0.0
    processor_seconds: float = 0.0
    with_processor_seconds: int = 0
    joules: float = 0.0
    with_joules: int = 0
    peak_mib: float | None = None
    gpu_runs: int = 0
    gpu_joules: float = 0.0
    with_gpu_joules: int = 0
    gpu_peak_mib: float | None = None

    def add(self, run: Run) -> None:
        """Add a run."""
        self.runs += 1
        self.seconds += run.seconds
        if run.processor_seconds is not None:
            self.processor_seconds += run.processor_seconds
            self.with_processor_seconds += 1
        if run.energy_joules is not None:
            self.joules += run.energy_joules
            self.with_joules += 1
        if run.peak_memory_mib is not None:
            self.peak_mib = max(self.peak_mib or 0.0, run.peak_memory_mib)
        if run.gpu_peak_memory_mib is not None:
            self.gpu_runs += 1
            self.gpu_peak_mib = max(self.gpu_peak_mib or 0.0, run.gpu_peak_memory_mib)
        if run.gpu_energy_joules is not None:
            self.gpu_joules += run.gpu_energy_joules
            self.with_gpu_joules += 1

    def with_all_of(self, other: Effort) -> Effort:
        """The total of both."""
        both: dict[str, Any] = {}
        for name, value in vars(self).items():
            values = (value, getattr(other, name))
            if name in ("peak_mib", "gpu_peak_mib"):
                both[name] = max((peak for peak in values if peak is not None), default=None)
            else:
                both[name] = sum(values)
        return Effort(**both)


@dataclass
class Records:
    """The records in summary, since a large study has thousands of manifests.

    Attributes:
        prepared: manifests of the preparations, by data set and seed.
        stores, masks: by data set and seed, and by data set, acceleration and seed, as far as they
            exist. The seed is None if one serves all.
        preparation, training, evaluation: what these steps used.
        by_model: what training used, by the model's name.
        machines: what the runs on each machine used.
        commits: number of results by commit, or by the reason why there is none.
        packages: number of results by version, by package.
        files: all files that were read.
    """

    prepared: dict[tuple[str, int | None], Manifest] = field(default_factory=dict)
    stores: dict[tuple[str, int | None], StoreIndex] = field(default_factory=dict)
    masks: dict[tuple[Setting, int | None], Mask] = field(default_factory=dict)
    preparation: Effort = field(default_factory=Effort)
    training: Effort = field(default_factory=Effort)
    evaluation: Effort = field(default_factory=Effort)
    by_model: dict[str, Effort] = field(default_factory=dict)
    machines: dict[Machine, Effort] = field(default_factory=dict)
    commits: Counter[str] = field(default_factory=Counter)
    packages: dict[str, Counter[str]] = field(default_factory=dict)
    files: list[Path] = field(default_factory=list)


def read_records(study: Study, results: Path | None) -> Records:
    """Read every manifest of the study as configured (each once), its masks, and the tables of its
    stores.

    Args:
        study: what was run.
        results: its folder, `results/{study}`; None: nothing is recorded.

    Raises:
        InputError: a file is damaged. Missing files are not counted.
    """
    return _Reading(study, results).records


class _Reading:
    def __init__(self, study: Study, results: Path | None) -> None:
        self._study, self._models, self._results = study, Models(study), results
        self._places = Places(study)
        self._evaluations: dict[tuple[str | float | None, ...], Run] = {}
        self.records = Records()
        for dataset in study.datasets:
            self._dataset(dataset)
        for setting in study.settings():
            self._setting(setting)
        for run in self._evaluations.values():
            self.records.evaluation.add(run)
            self._count_machine(run, "")

    def _count_machine(self, run: Run, device: str) -> None:
        self.records.machines.setdefault(machine_of(run, device), Effort()).add(run)

    def _place(self, name: str) -> Path | None:
        """A file in the results, if it exists."""
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

    def _setting(self, setting: Setting) -> None:
        records, places = self.records, self._places
        for repeat in places.seeds("mask"):
            if path := self._place(places.mask(*setting, repeat)):
                records.masks[setting, repeat] = read_mask(path)
        for repeat in places.seeds("zero_filled"):
            self._evaluated(places.zero_filled(*setting, repeat))
        for name in self._models.names(setting):
            of_model = records.by_model.setdefault(name, Effort())
            for seed in self._study.seeds:
                folder = places.model(*setting, seed, name)
                self._made(f"{folder}/{MANIFEST}", records.training, of_model)
                self._evaluated(folder)

    def _evaluated(self, folder: str) -> None:
        """Count an evaluation once: a process measures many models, and the manifest of each
        records the process up to that point, so the longest record counts.
        """
        made = self._made(manifest_of(f"{folder}/{VOLUMES}"))
        self.records.evaluation.expected += 1
        self.records.evaluation.found += made is not None
        for run in made.runs if made else ():
            process = (run.started, run.host, run.startup_seconds)
            known = self._evaluations.setdefault(process, run)
            if run.seconds > known.seconds:
                self._evaluations[process] = run

    def _made(self, name: str, *efforts: Effort) -> Manifest | None:
        """The manifest, if it exists; its runs are added to ``efforts``."""
        for effort in efforts:
            effort.expected += 1
        if (path := self._place(name)) is None:
            return None
        made, records = Manifest.read(path, *PARTS), self.records
        if "repeated" in made:
            made.require("repeated")
        for effort in efforts:
            effort.found += 1
            for run in made.runs:
                effort.add(run)
        for run in made.runs if efforts else ():
            self._count_machine(run, device_of(made))
        records.commits[made.made_by.commit or made.made_by.commit_problem] += 1
        for package, version in made.made_by.packages.items():
            records.packages.setdefault(package, Counter())[version] += 1
        return made
