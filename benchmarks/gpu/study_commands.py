"""The command lines of the study of phase (e)."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from pipeline_src.config import Study
from pipeline_src.planning.study_models import Models

PROJECT = Path(__file__).resolve().parents[2]
DATASET, SEED = "cardiac", 0


def snakemake(folder: Path, config: Path, target: str, *, at_once: int = 1) -> list[str]:
    """Snakemake on the study, with its results in a folder, and so many trainings at once on the
    GPU."""
    return [
        *(sys.executable, "-m", "snakemake", target, "--directory", str(folder)),
        *("--snakefile", str(PROJECT / "Snakefile"), "--configfile", str(config)),
        *(("--resources", f"gpu={at_once}") if at_once > 1 else ()),
    ]


def commands(study: Study, config: Path, results: Path) -> Iterator[list[str]]:
    """What Snakemake would run, in an order that works."""
    models, program = Models(study), [sys.executable, "-m", "pipeline_src"]
    store, setting = results / DATASET / "volumes.h5", results / DATASET / "4x"
    labels = ["--dataset", DATASET, "--acceleration", "4x"]
    given = ["--config", str(config)]
    yield [*program, "prepare", *given, "--dataset", DATASET, "--output", str(store)]
    mask = setting / "mask.npz"
    yield [*program, "mask", *given, *labels, "--output", str(mask)]
    data = ["--data", str(store), "--mask", str(mask)]

    def folder(name: str) -> Path:
        return setting / f"seed{SEED}" / name

    for name in models.names():
        others = []
        if teacher := models.teacher(name):
            others += ["--teacher", str(folder(teacher) / "weights.safetensors")]
        if start := models.warm_start(name):
            others += ["--warm-start", str(folder(start) / "student_weights.safetensors")]
        train = [*program, "train", *given, *labels, "--model", name, "--seed", str(SEED)]
        yield [*train, *data, *others, "--output", str(folder(name))]
    yield evaluate([folder(name) for name in models.names()], labels, data, at_once(study))
    zero = setting / "zero_filled"
    yield evaluate([], labels, [*data, "--zero-filled", str(zero)])
    measured = [zero, *(folder(name) for name in models.names())]
    cost = results / "cost.csv"
    both = [f"--{role}={folder(role) / 'weights.safetensors'}" for role in ("teacher", "student")]
    cores = str(len(os.sched_getaffinity(0)))
    yield [*program, "cost", *both, *data, "--threads", cores, "--output", str(cost)]
    yield tables(measured, [*given, "--cost", str(cost)], results / "tables")


def at_once(study: Study) -> int:
    """Models that are measured at once: on the CPU one, as the rules have it, and on a GPU as many
    as there are cores."""
    return 1 if study.training.device == "cpu" else len(os.sched_getaffinity(0))


def evaluate(
    folders: Sequence[Path], labels: list[str], data: list[str], processes: int = 1
) -> list[str]:
    """Measure models on the test patients."""
    program = [sys.executable, "-m", "pipeline_src", "evaluate"]
    given = [*map(str, folders), *labels, "--part", "test", "--processes", str(processes)]
    return [*program, *given, *data]


def tables(folders: Sequence[Path], given: list[str], output: Path) -> list[str]:
    """Make tables of what was measured."""
    program = [sys.executable, "-m", "pipeline_src", "tables"]
    metrics = [str(folder / "volumes.csv") for folder in folders]
    return [*program, *metrics, *given, "--output", str(output)]
