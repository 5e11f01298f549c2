"""Reads and sums up what the manifests, stores and masks of a study record about how it was
made.
"""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from pipeline_src.config.setting import Setting
from pipeline_src.config.study import Study
from pipeline_src.data.store import StoreIndex, read_index
from pipeline_src.planning.places import MANIFEST, VOLUMES, Places, manifest_of
from pipeline_src.planning.study_models import Models
from pipeline_src.provenance.manifest import UNKNOWN, Manifest, Run
from pipeline_src.sampling.masks import Mask, read_mask
from pipeline_src.tabular import read_rows

#: Processor, cores, operating system, and the device of a training (empty for other steps).
Machine = tuple[str, str, str, str]
#: Keys that a manifest must have to be counted.
PARTS = ("inputs", "outputs", "runs", "made_by")


@dataclass
class Effort:
    """The work on results of one kind.

    Attributes:
        expected: number of results of this kind in the study.
        found: how many of them have a manifest.
        runs: the processes that worked on them.
    """

    expected: int = 0
    found: int = 0
    runs: list[Run] = field(default_factory=list)


@dataclass
class Records:
    """The records: of most manifests only the runs, since a large study has thousands.

    Attributes:
        prepared: manifests of the preparations, by data set and seed.
        stores, masks: by data set and seed, and by data set, acceleration and seed, as far as they
            exist. The seed is None if one serves all.
        reported: patients that were measured, by data set.
        preparation, training, evaluation: the work of these steps.
        by_model: that of training, by the model's name.
        machines: the runs on each machine.
        commits: number of results by commit, or by the reason why there is none.
        packages: number of results by version, by package.
        files: all files that were read.
        choices: number of trainings by value, in JSON, of each key by which results are judged.
        code_elsewhere: name and digest of source files outside this package that shaped results.
    """

    prepared: dict[tuple[str, int | None], Manifest] = field(default_factory=dict)
    stores: dict[tuple[str, int | None], StoreIndex] = field(default_factory=dict)
    masks: dict[tuple[Setting, int | None], Mask] = field(default_factory=dict)
    reported: dict[str, set[str]] = field(default_factory=dict)
    preparation: Effort = field(default_factory=Effort)
    training: Effort = field(default_factory=Effort)
    evaluation: Effort = field(default_factory=Effort)
    by_model: dict[str, Effort] = field(default_factory=dict)
    machines: dict[Machine, list[Run]] = field(default_factory=dict)
    commits: Counter[str] = field(default_factory=Counter)
    packages: dict[str, Counter[str]] = field(default_factory=dict)
    files: list[Path] = field(default_factory=list)
    choices: dict[str, Counter[str]] = field(default_factory=dict)
    code_elsewhere: set[tuple[str, str]] = field(default_factory=set)


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
            self.records.evaluation.runs.append(run)
            self._count_machine(run, "")

    def _count_machine(self, run: Run, device: str) -> None:
        cores = UNKNOWN if run.cores is None else str(run.cores)
        machine = (run.processor or UNKNOWN, cores, run.system or UNKNOWN, device)
        self.records.machines.setdefault(machine, []).append(run)

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
            folder = places.zero_filled(*setting, repeat)
            self._evaluated(folder)
            if path := self._place(f"{folder}/{VOLUMES}"):
                rows = read_rows(path, "metrics", (), needed=["patient"])
                records.reported.setdefault(setting.dataset, set()).update(rows["patient"])
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
            effort.runs += made.runs
        device = made.gpu or made.device or UNKNOWN if made.command == "train" else ""
        for run in made.runs if efforts else ():
            self._count_machine(run, device)
        # As `step_code.digests` names what lies outside this package.
        outside = [(name, sha) for name, sha in made.code.items() if name.startswith("../")]
        records.code_elsewhere.update(outside)
        records.commits[made.made_by.commit or made.made_by.commit_problem] += 1
        for key, value in made.choices.items():
            records.choices.setdefault(key, Counter())[json.dumps(value)] += 1
        for package, version in made.made_by.packages.items():
            records.packages.setdefault(package, Counter())[version] += 1
        return made
