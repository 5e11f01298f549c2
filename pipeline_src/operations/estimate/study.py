"""Estimates what a whole study takes, before it is started."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tabulate import tabulate

from pipeline_src.config import Study
from pipeline_src.config.robustness import shifts_of, tried_models
from pipeline_src.config.setting import Setting
from pipeline_src.models.multiply_adds import counts
from pipeline_src.operations.estimate.schedule import Task, longest_path, makespan
from pipeline_src.operations.estimate.speed import Range, Speed, seconds_of_merits
from pipeline_src.operations.estimate.work import (
    MIB,
    SliceCounts,
    activation_bytes,
    slices_of_store,
    training_memory,
)
from pipeline_src.planning.places import Places
from pipeline_src.planning.plans import TrainingPlan
from pipeline_src.planning.repeats import of_repeat
from pipeline_src.planning.study_models import Models

#: Bytes on disk per model besides its weights: panel, metrics, histories, manifests, figures.
BESIDE_WEIGHTS = 400_000
#: Trainings that others depend on start first, as in the rules.
PRIORITY = {"sft_teacher": 10, "teacher": 5}


@dataclass(frozen=True)
class PlannedTraining:
    """One training of a study; ``key`` is its folder below the results, ``after`` are the folders
    of the trainings that it depends on.
    """

    setting: Setting
    seed: int
    name: str
    plan: TrainingPlan
    slices: SliceCounts
    key: str
    after: tuple[str, ...]


def trainings(study: Study, slices: dict[str, SliceCounts]) -> list[PlannedTraining]:
    """Every training of a study, each once."""
    models, places, found = Models(study), Places(study), []
    for setting in study.settings():
        for name in models.names(setting):
            needed = [n for n in (models.teacher(name), models.warm_start(name)) if n]
            for seed in study.seeds:
                plan = models.plan(name, seed)
                key, *after = (places.model(*setting, seed, n) for n in (name, *needed))
                of_data = slices[setting.dataset]
                found.append(PlannedTraining(setting, seed, name, plan, of_data, key, tuple(after)))
    return found


def count_slices(study: Study) -> dict[str, SliceCounts]:
    """Number of slices of each data set: from its store if it is prepared, otherwise by preparing
    it now.

    If each seed has its own split, the numbers are those of the first; others differ little.

    Raises:
        InputError: the data does not exist or cannot be used.
    """
    from pipeline_src.data.preparation import prepare
    from pipeline_src.data.splits import PARTS

    found = {}
    seed, places = study.seeds[0], Places(study)
    for name, dataset in of_repeat(study, seed).datasets.items():
        try:
            store = places.store(name, seed)
            found[name] = slices_of_store(Path("results") / study.study / store)
            continue
        except OSError:
            pass
        parts = [row["part"] for row in prepare(dataset, Path(study.data_root)).slices]
        train, validation, test = map(parts.count, PARTS)
        found[name] = SliceCounts(train, validation, test, *dataset.preparation.matrix)
    return found


@dataclass(frozen=True)
class Estimate:
    """What a study takes.

    Attributes:
        jobs: number of jobs by what they do.
        device_hours: of all trainings.
        walls: seconds until all is done, by number of parallel trainings.
        critical: the longest chain of dependent jobs, and its seconds.
        memory_mib: of the largest training, and on a GPU of its memory.
        disk_bytes: of all results, and of the saved states while trainings run.
        source: where the speeds come from.
    """

    jobs: dict[str, int]
    device_hours: Range
    walls: dict[int, Range]
    critical: tuple[float, list[str]]
    memory_mib: tuple[int, int]
    disk_bytes: tuple[int, int]
    source: str
    gpu: bool


def estimate(
    study: Study,
    speed: Speed,
    slices: dict[str, SliceCounts],
    *,
    gpus: Sequence[int],
    gpu: bool,
    faster: float = 1.0,
    job_overhead: float = 0.0,
) -> Estimate:
    """Estimate what a study takes.

    Args:
        study: the study.
        speed: how fast trainings are.
        slices: number of slices of each data set.
        gpus: numbers of GPUs (without a GPU, of parallel trainings) for which the wall time is
            given.
        gpu: whether trainings run on GPUs.
        faster: how many times faster than ``speed`` the epochs are where the study will run.
        job_overhead: seconds between a job being ready and its start, and between its end and the
            moment when that is noticed.
    """
    found = trainings(study, slices)
    seconds = {
        t.key: speed.seconds(t.plan, t.slices).plus(speed.start.times(-1)).times(1 / faster)
        for t in found
    }
    seconds = {key: value.plus(speed.start) for key, value in seconds.items()}
    evaluations, places = _evaluations(study, found), Places(study)
    shifted, bounded = (len(files) for files in (places.under_shifts(), places.error_bounds()))
    walls, critical = {}, (0.0, [""])
    for count in gpus:
        spans = []
        for pick in ("low", "median", "high"):
            tasks = _tasks(found, seconds, evaluations, pick, job_overhead)
            spans.append(makespan(tasks, count))
            if pick == "median":
                critical = longest_path(tasks)
        walls[count] = Range(*spans)
    total = Range(0, 0, 0)
    for one in seconds.values():
        total = total.plus(one)
    weights = [4 * _parameters(t.plan) for t in found]
    prepared, masks = (len(places.seeds(kind)) for kind in ("store", "mask"))
    stores = prepared * sum(s.store_bytes for s in slices.values())
    times = "" if faster == 1 else f", epochs {faster:g} times as fast"
    return Estimate(
        jobs={
            "preparations": len(study.datasets) * prepared,
            **({"masks": len(list(study.settings())) * masks} if masks > 1 else {}),
            "trainings": len(found),
            "evaluations": len(evaluations) - shifted,
            **({"evaluations under shifts": shifted} if shifted else {}),
            **({"bounds of errors": bounded} if bounded else {}),
            "cost": 1,
        },
        device_hours=total.times(1 / 3600),
        walls=walls,
        critical=critical,
        memory_mib=(
            max(training_memory(t.plan, t.slices, gpu, 1) for t in found),
            max(_gpu_mib(t) for t in found),
        ),
        disk_bytes=(
            stores + sum(weights) + BESIDE_WEIGHTS * len(found),
            # Two states with weights, best weights and Adam's two moments, of all that run at once.
            8 * max(weights) * max(gpus),
        ),
        source=speed.source + times,
        gpu=gpu,
    )


def _evaluations(study: Study, found: list[PlannedTraining]) -> dict[str, tuple[float, list[str]]]:
    """Seconds of each evaluation, also under shifts, and the trainings that it depends on."""
    merits: dict[tuple[int, int], float] = {}
    evaluations: dict[str, tuple[float, list[str]]] = {}
    own, places = study.model_names(), Places(study)
    for one in found:
        part = one.slices.test if study.datasets[one.setting[0]].report_on == "test" else 0
        count = part or one.slices.validation
        size = (one.slices.rows, one.slices.columns)
        if size not in merits:
            merits[size] = seconds_of_merits(*size)
        name = "own" if one.name in own else one.name
        key = f"evaluate {places.model(*one.setting, one.seed, name)}"
        seconds, needed = evaluations.get(key, (0.0, []))
        evaluations[key] = (seconds + 2 * count * merits[size], [*needed, one.key])
        zero_filled = f"evaluate {places.zero_filled(*one.setting, one.seed)}"
        evaluations[zero_filled] = (count * merits[size], [])
        for shift in shifts_of(study, one.setting) if one.name in tried_models(study) else []:
            key = f"shift {places.robustness(*one.setting, one.seed, shift.name)}"
            seconds, needed = evaluations.get(key, (count * merits[size], []))
            evaluations[key] = (seconds + 2 * count * merits[size], [*needed, one.key])
    return evaluations


def _tasks(
    found: list[PlannedTraining],
    seconds: dict[str, Range],
    evaluations: dict[str, tuple[float, list[str]]],
    pick: str,
    overhead: float,
) -> list[Task]:
    tasks = [
        Task(
            one.key,
            getattr(seconds[one.key], pick) + overhead,
            one.after,
            on_gpu=True,
            priority=PRIORITY.get(one.name.partition("@")[0], 0),
        )
        for one in found
    ]
    for key, (needs, names) in evaluations.items():
        tasks.append(Task(key, needs + overhead, tuple(names)))
    return tasks


def _parameters(plan: TrainingPlan) -> int:
    """Parameters that a training writes."""
    own = counts(plan.network).parameters
    return own + (counts(plan.sft.student).parameters if plan.sft else 0)


def _gpu_mib(one: PlannedTraining) -> int:
    """Memory on a GPU: the context, the data, features with their gradients and work space."""
    held = 3 * activation_bytes(one.plan, one.slices)
    held += 2 * (one.slices.train + one.slices.validation) * one.slices.bytes_of_one
    return 1000 + math.ceil(held / MIB)


def render(found: Estimate) -> str:
    """The estimate as text."""
    unit, place = ("GPU hours", "GPUs") if found.gpu else ("training hours", "trainings at once")
    hours = found.device_hours
    rows = [(what, str(count)) for what, count in found.jobs.items()]
    rows.append((unit, f"{hours.median:.2f} ({hours.low:.2f} to {hours.high:.2f})"))
    rows.append(("memory of a job", f"{found.memory_mib[0] / 1024:.1f} GiB"))
    if found.gpu:
        rows.append(("memory of its GPU", f"{found.memory_mib[1] / 1024:.1f} GiB"))
    results, states = found.disk_bytes
    rows.append(("disk", f"{results / 1e6:.0f} MB, and {states / 1e6:.0f} MB while it runs"))
    walls = [
        (count, _time(span.median), f"{_time(span.low)} to {_time(span.high)}")
        for count, span in found.walls.items()
    ]
    chain = " -> ".join(name.rpartition("/")[2] for name in found.critical[1])
    return "\n".join(
        [
            tabulate(rows, tablefmt="plain"),
            "",
            tabulate(walls, headers=[place, "wall time", "range"], disable_numparse=True),
            "",
            f"Never less than {_time(found.critical[0])}: {chain}",
            f"Speeds: {found.source}; the range is from the fastest to the slowest epochs seen.",
            "Trainings that share one machine slow each other, up to threefold where it is shared "
            "with other work too: speeds of an earlier run of the same kind know that, timing here "
            "does not.",
            "Not in it: waiting in a queue, other work on the same machines, preparation, the cost "
            "measurement, and steps of seconds (masks, tables, figures).",
        ]
    )


def _time(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 120 else f"{minutes // 60} h {minutes % 60} min"
