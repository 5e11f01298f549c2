"""Finds how fast trainings are: from earlier runs, or by a short measurement."""

from __future__ import annotations

import csv
import math
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from io import TextIOWrapper
from itertools import chain
from os import devnull
from pathlib import Path

from pipeline_src.errors import InputError
from pipeline_src.files import open_regular
from pipeline_src.operations.estimate.work import (
    SliceCounts,
    slices_of_store,
    training_multiply_adds,
)
from pipeline_src.planning.places import MANIFEST, MASK, history
from pipeline_src.planning.plans import TrainingPlan
from pipeline_src.provenance.manifest import Manifest

#: Epochs of a calibration; the first, which prepares memory and libraries, is left out.
EPOCHS = 4
#: Epochs until everything is captured on a GPU; work that runs once per epoch is captured last.
CAPTURED_AFTER = 4
#: Batches per epoch of a calibration; more on a GPU, where they take less than the end of an epoch.
BATCHES, BATCHES_ON_GPU = 2, 32


@dataclass(frozen=True)
class Range:
    """A quantity as it was observed: smallest, median and largest value."""

    low: float
    median: float
    high: float

    @classmethod
    def of(cls, values: Iterable[float]) -> Range:
        """The range of some values."""
        found = sorted(values)
        return cls(found[0], statistics.median(found), found[-1])

    def times(self, factor: float) -> Range:
        """All three values, multiplied."""
        return Range(self.low * factor, self.median * factor, self.high * factor)

    def plus(self, other: Range) -> Range:
        """The sum of two ranges if both are low, median or high at the same time: the widest
        possible.
        """
        return Range(self.low + other.low, self.median + other.median, self.high + other.high)


@dataclass(frozen=True)
class Speed:
    """Duration of trainings by kind, in seconds.

    Attributes:
        per_multiply_add: seconds, by kind of training and size of slices.
        start: seconds of a training outside its epochs: imports, loading, writing.
        source: where the numbers come from, in words.
    """

    per_multiply_add: dict[tuple[str, int, int], Range]
    start: Range
    source: str

    def seconds(self, plan: TrainingPlan, slices: SliceCounts) -> Range:
        """Duration of a whole training in seconds.

        Raises:
            InputError: no training of this kind was measured.
        """
        kind = kind_of(plan)
        work = training_multiply_adds(plan, slices)
        sizes = {key[1:]: found for key, found in self.per_multiply_add.items() if key[0] == kind}
        if not sizes:
            raise InputError(f"{self.source}: no training of the kind '{kind}' to learn from")
        pixels = slices.rows * slices.columns
        nearest = min(sizes, key=lambda size: abs(size[0] * size[1] - pixels))
        return sizes[nearest].times(work).plus(self.start)


def kind_of(plan: TrainingPlan) -> str:
    """The kind of a training; trainings of one kind do the same arithmetic per slice."""
    precision = plan.training.precision
    if plan.sft is not None:
        return f"SFT {plan.network.name} {precision}"
    if plan.distillation is not None:
        return f"{plan.distillation.method} {plan.network.name} {precision}"
    return f"{plan.network.name} {precision}"


def speed_of_results(results: Path) -> Speed:
    """Speed from the manifests and histories of finished trainings.

    Raises:
        InputError: there are none.
    """
    found: dict[tuple[str, int, int], list[float]] = {}
    starts, devices = [], set()
    for path in sorted(results.rglob(MANIFEST)):
        manifest = Manifest.read(path)
        try:
            manifest.require("settings", "inputs", "histories", "runs", "device")
            plan = TrainingPlan.model_validate(manifest.settings)
            slices = slices_of_store(path.parent / manifest.inputs["store"].path)
            epochs = [_seconds(path.parent / name) for name in manifest.histories]
            way = (manifest.convolutions or "library").partition(":")[0]
            device = f"{manifest.device}, {way} convolutions"
            if not all(0 <= seconds < math.inf for seconds in chain(*epochs)):
                continue
        except (InputError, KeyError, TypeError, ValueError, OSError):
            continue  # another result's manifest, or one whose files are not all here
        if device.startswith("cuda"):
            epochs = [settled(stage) for stage in epochs]
        work = training_multiply_adds(plan, slices)
        key = (kind_of(plan), slices.rows, slices.columns)
        found.setdefault(key, []).append(sum(map(sum, epochs)) / work)
        starts.append(max(0.0, manifest.seconds - sum(map(sum, epochs))))
        devices.add(device)
    if not found:
        raise InputError(f"{results}: no finished training with its data to learn from")
    if len(devices) > 1:
        raise InputError(
            f"{results}: its trainings ran on {' and '.join(sorted(devices))}; give results of one "
            "of them"
        )
    return Speed(
        {key: Range.of(values) for key, values in found.items()},
        Range.of(starts),
        f"{len(starts)} trainings in {results} ({' and '.join(devices)})",
    )


def _seconds(history: Path) -> list[float]:
    with TextIOWrapper(open_regular(history), "utf-8") as stream:
        return [float(row["seconds"]) for row in csv.DictReader(stream)]


def settled(epochs: list[float]) -> list[float]:
    """Durations in seconds of a stage's epochs on a GPU as if everything were captured from the
    first: the extra time for capturing counts as part of the start.
    """
    if len(epochs) <= CAPTURED_AFTER:
        return epochs
    usual = statistics.median(epochs[CAPTURED_AFTER:])
    return [*(min(usual, one) for one in epochs[:CAPTURED_AFTER]), *epochs[CAPTURED_AFTER:]]


def calibrate(wanted: Iterable[tuple[TrainingPlan, SliceCounts]]) -> Speed:
    """Train each kind for a few steps on noise, on this machine and its device, and time it."""
    from tqdm import tqdm

    from pipeline_src.training.device import choose_device

    kinds = {(kind_of(plan), s.rows, s.columns): plan for plan, s in wanted}
    found, starts = {}, []
    with tempfile.TemporaryDirectory() as folder:
        progress = tqdm(kinds.items(), desc="calibrating", unit="kind", disable=None)
        for number, ((kind, rows, columns), plan) in enumerate(progress):
            epochs, start = _short_training(plan, rows, columns, Path(folder) / str(number))
            found[kind, rows, columns] = epochs
            starts.append(start)
    device = choose_device(next(iter(kinds.values())).training.device)
    process = _start_of_a_process()
    return Speed(
        found,
        Range.of(start + process for start in starts),
        f"{len(kinds)} kinds of training timed here for a moment ({device})",
    )


def _short_training(
    plan: TrainingPlan, rows: int, columns: int, folder: Path
) -> tuple[Range, float]:
    """Seconds per multiply-add of all epochs but the first, and seconds outside epochs."""
    from pipeline_src.running.training_run import run_training
    from pipeline_src.sampling.masks import drawn_mask, write_mask
    from pipeline_src.training.builder import Inputs
    from pipeline_src.training.device import choose_device

    batch = plan.training.batch_size
    on_gpu = choose_device(plan.training.device).type == "cuda"
    first = CAPTURED_AFTER if on_gpu else 1
    epochs = first + EPOCHS - 1
    batches = BATCHES_ON_GPU if on_gpu else BATCHES
    slices = SliceCounts(batches * batch, batch, 0, rows, columns)
    training = plan.training.model_copy(update={"epochs": epochs})
    short = plan.model_copy(update={"training": training, "warm_start": None})
    folder.mkdir()
    _write_noise(folder / "noise.h5", slices)
    write_mask(folder / MASK, drawn_mask((rows, columns), 4, 0, min(4, rows // 4)))
    teacher = folder / "teacher.safetensors" if short.distillation is not None else None
    if teacher is not None and short.distillation is not None:
        _write_fresh(teacher, short)
    started = time.perf_counter()
    with Path(devnull).open("w") as nowhere, redirect_stdout(nowhere), redirect_stderr(nowhere):
        run_training(short, Inputs(folder / "noise.h5", folder / MASK, teacher), folder / "out", {})
    taken = time.perf_counter() - started
    stages = [_seconds(folder / "out" / history(name)) for name in short.stages]
    counted = [settled(stage) for stage in stages] if on_gpu else stages
    work = training_multiply_adds(short, slices) / epochs
    rounds = [sum(epoch) / work for epoch in zip(*stages, strict=True)]
    return Range.of(rounds[first:]), taken - sum(map(sum, counted))


def _write_noise(path: Path, slices: SliceCounts) -> None:
    import numpy as np

    from pipeline_src.data.preparation import PreparedData
    from pipeline_src.data.store import write_store

    draw = np.random.default_rng(0)
    prepared = PreparedData()
    for part, count in (("train", slices.train), ("validation", slices.validation)):
        for number in range(count):
            image = draw.random((slices.rows, slices.columns), dtype=np.float32)
            prepared.images.append(image / image.max())
            row: dict[str, str | int] = {"patient": part, "frame": "", "part": part}
            prepared.slices.append({**row, "slice": number, "volume": part})
    write_store(path, prepared, {})


def _write_fresh(path: Path, plan: TrainingPlan) -> None:
    from pipeline_src.models.weights import save_weights
    from pipeline_src.training.builder import fresh_network

    assert plan.distillation is not None
    save_weights(path, fresh_network(plan.distillation.teacher, plan.seed, "teacher"))


def _start_of_a_process() -> float:
    """Seconds from the start of a process to the end of the imports that a training needs."""
    started = time.perf_counter()
    subprocess.run([sys.executable, "-c", "import pipeline_src.running.training_run"], check=True)
    return time.perf_counter() - started


def seconds_of_merits(rows: int, columns: int) -> float:
    """Seconds for the figures of merit of one slice."""
    import numpy as np

    from pipeline_src.evaluation.metrics import METRICS

    target, image = np.random.default_rng(0).random((2, rows, columns), dtype=np.float32)
    started = time.perf_counter()
    for metric in METRICS.values():
        metric.of_slice(target, image, 1.0)
    return time.perf_counter() - started
