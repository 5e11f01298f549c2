"""Trainings in processes of their own, which the tests kill; and the table of what was seen."""

from __future__ import annotations

import multiprocessing
import os
import sys
import time
from collections.abc import Callable
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from typing import Any

import pytest

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))
pytest.register_assert_rewrite("fault_helpers")

from fault_helpers import KINDS, Start, Uninterrupted, finish, log  # noqa: E402
from fault_worker import Job, run  # noqa: E402
from training_helpers import Files, sft_inputs, std_inputs  # noqa: E402

from pipeline_src.training.builder import Inputs  # noqa: E402

#: Rows of the table that is printed at the end.
SEEN: list[tuple[str, ...]] = []


@pytest.fixture(scope="session")
def kills() -> int:
    """How often each kind of training is killed: `FAULT_KILLS`; few by default, 50 in
    `make faults`."""
    return int(os.environ.get("FAULT_KILLS", "6"))


@pytest.fixture(scope="session")
def start() -> Start:
    """Starts a training in a process of its own."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["fault_worker"])

    def begin(job: Job) -> ForkServerProcess:
        process = context.Process(target=run, args=(job,))
        process.start()
        return process

    # The server starts here, so that its imports do not count as a training's time.
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", os.pathsep.join(sys.path))
        first = context.Process(target=int)
        first.start()
        first.join()
    return begin


@pytest.fixture(scope="session")
def job(files: Files, runs: dict[str, Path]) -> Callable[..., Job]:
    """Makes a training of a kind, in a folder, and what is to befall it."""

    def make(kind: str, output: Path, **befalls: Any) -> Job:
        configuration, model = KINDS[kind]
        inputs: Inputs = files.inputs()
        if "kd" in model:
            inputs = (std_inputs if model.startswith("std") else sft_inputs)(files, runs)
        return Job(configuration, model, inputs, output, **befalls)

    return make


@pytest.fixture(scope="session")
def uninterrupted(
    job: Callable[..., Job], start: Start, tmp_path_factory: pytest.TempPathFactory
) -> Uninterrupted:
    """The folder of an uninterrupted training of a kind, and its seconds."""
    made: dict[str, tuple[Path, float]] = {}

    def get(kind: str) -> tuple[Path, float]:
        if kind not in made:
            output = tmp_path_factory.mktemp("whole") / "training"
            began = time.perf_counter()
            assert finish(start(job(kind, output))) == 0, log(output)
            made[kind] = (output, time.perf_counter() - began)
        return made[kind]

    return get


@pytest.fixture(scope="session")
def seen() -> Callable[..., None]:
    """Notes a row for the table of faults."""
    return lambda *row: SEEN.append(tuple(map(str, row)))


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """The table of what was done and what came of it."""
    if not SEEN:
        return
    heading = ("fault", "training", "times", "seen")
    widths = [max(len(row[i]) for row in (heading, *SEEN)) for i in range(3)]
    terminalreporter.section("faults")
    for row in (heading, *SEEN):
        cells = [cell.ljust(width) for cell, width in zip(row, widths, strict=False)]
        terminalreporter.write_line("  ".join([*cells, row[3]]))
