"""Trainings as phase (d) times them: made ready, started anew, and several as processes at once."""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from benchmarks.gpu.kinds import Files, Kind, Trainee, kinds
from benchmarks.gpu.lines import Lines, OutOfTimeError
from benchmarks.gpu.phase import Run, Settings
from benchmarks.gpu.sharing import sharing

PHASE = "timing"
WARM_UP = 5
#: Of the phase's time, for compiling beforehand.
SHARE_TO_COMPILE = 0.3
PRECISIONS = ("fp32", "bf16", "tf32")
FORKED_START = """
import importlib, os, sys, time
from pipeline_src.acceleration.fork_server import LOADED
for name in LOADED:
    importlib.import_module(name)
began = time.perf_counter()
if process := os.fork():
    status = os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])
    print(time.perf_counter() - began)
    sys.exit(status)
from benchmarks.gpu.trainings import first_step
first_step(*sys.argv[1:])
os._exit(0)
"""


def ready(
    run: Run, kind: Kind, files: Files, precision: str = "fp32", convolutions: str = "auto"
) -> Trainee:
    """A training at the scale that is timed."""
    return Trainee(
        kind,
        files,
        run.scale,
        run.scale.matrix,
        run.device.name,
        precision,
        convolutions=convolutions,
    )


def repeated(run: Run, made: Trainee, *, plain: bool = False) -> Callable[[], None]:
    """A function that trains on the same full batch; warmed up, so that it is a replay where there
    are graphs."""
    indices = next(made.batches())
    step = made.plain if plain else made.step

    def again() -> None:
        made.losses.done = 0
        step(indices)

    for _ in range(WARM_UP):
        again()
    run.device.wait()
    return again


def compile_beforehand(run: Run) -> None:
    """Let processes compile the kernels of every kind and precision at once, which takes seconds
    for each; what is timed afterwards finds them compiled."""
    count = max(1, len(os.sched_getaffinity(0)) - 1)
    lines = (
        "import sys; from benchmarks.gpu.trainings import compile_share; "
        "compile_share(*sys.argv[1:])"
    )
    command = [sys.executable, "-c", lines, run.settings.text()]
    began = time.perf_counter()
    processes = [
        subprocess.Popen([*command, str(n), str(count)], stderr=subprocess.DEVNULL)
        for n in range(count)
    ]
    end = time.time() + SHARE_TO_COMPILE * run.left()
    try:
        while time.time() < end and any(process.poll() is None for process in processes):
            time.sleep(0.05)
    finally:
        finished = sum(process.poll() == 0 for process in processes)
        for process in processes:
            process.kill()
            process.wait()
    seconds = time.perf_counter() - began
    run.lines.add(PHASE, "compiled", seconds=seconds, processes=count, finished=finished)


def compile_share(text: str, number: str, count: str) -> None:
    """Train once with each of a share of the kinds and precisions."""
    run = Run(Settings.read(text), Lines(Path(os.devnull)))
    files = Files(run.settings.work / "timed")
    # Those that are timed first come first.
    pairs = [(kind, precision) for precision in PRECISIONS for kind in kinds(run.scale)]
    for kind, precision in pairs[int(number) :: int(count)]:
        ready(run, kind, files, precision).train(1, plain=True)


def start_of_a_training(run: Run) -> None:
    """A process until it has done its first step, and what of that is importing; and a fork of one
    that has imported what the fork server does, as the trainings of a study are."""
    lines = (
        "import time; began = time.perf_counter()\n"
        "from benchmarks.gpu.trainings import first_step\n"
        "print(time.perf_counter() - began); first_step(*__import__('sys').argv[1:])"
    )
    began = time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-c", lines, run.settings.text()],
        capture_output=True,
        text=True,
        check=True,
        timeout=max(1.0, run.left()),
    )
    seconds = time.perf_counter() - began
    forked = subprocess.run(
        [sys.executable, "-c", FORKED_START, run.settings.text()],
        capture_output=True,
        text=True,
        timeout=max(1.0, run.left()),
    )
    run.lines.add(
        PHASE,
        "start",
        seconds=seconds,
        imports_seconds=float(done.stdout.split()[0]),
        forked_seconds=None if forked.returncode else float(forked.stdout.split()[-1]),
        forked_problem=forked.stderr.strip()[-300:] if forked.returncode else "",
    )


def first_step(text: str) -> None:
    """Train once, in a process of its own."""
    run = Run(Settings.read(text), Lines(Path(os.devnull)))
    kind = next(k for k in kinds(run.scale) if k.name == "teacher")
    ready(run, kind, Files(run.settings.work / "timed")).train(1)


def processes(run: Run, number: int, precision: str, *, mps: bool) -> None:
    """Several students, each in a process of its own; they start their clocks together. With
    ``mps`` they share the GPU by its service for that."""
    with sharing(run.settings.work / "mps", wanted=mps) as shared:
        if mps and not shared:
            run.lines.add(PHASE, "processes", ok=None, reason="no MPS here", mps=True)
            return
        _at_once(run, number, precision, mps=mps)


def _at_once(run: Run, number: int, precision: str, *, mps: bool) -> None:
    gate = run.settings.work / f"gate_{number}"
    gate.mkdir(exist_ok=True)
    for old in gate.iterdir():
        old.unlink()
    lines = (
        "import sys; from benchmarks.gpu.trainings import steps_behind; steps_behind(*sys.argv[1:])"
    )
    command = [sys.executable, "-c", lines, run.settings.text(), str(gate), precision]
    processes = [
        subprocess.Popen([*command, str(n)], stdout=subprocess.PIPE, text=True)
        for n in range(number)
    ]
    try:
        while len(list(gate.glob("ready_*"))) < number:
            if any(process.poll() for process in processes):
                raise RuntimeError("a process ended before its first step")
            if run.left() <= 0:
                raise OutOfTimeError("processes were not ready before")
            time.sleep(0.01)
        (gate / "open").touch()
        found = [float(process.communicate()[0]) for process in processes]
    finally:
        for process in processes:
            process.kill()
            process.wait()
    run.lines.add(
        PHASE,
        "processes",
        kind="student",
        precision=precision,
        mps=mps,
        trainings=number,
        milliseconds_each=1000 * statistics.median(found) / number,
    )


def steps_behind(text: str, gate: str, precision: str, name: str) -> None:
    """Print the seconds that a step takes while the others step too."""
    folder, run = Path(gate), Run(Settings.read(text), Lines(Path(os.devnull)))
    kind = next(k for k in kinds(run.scale) if k.name == "student")
    again = repeated(run, ready(run, kind, Files(run.settings.work / "timed"), precision))
    (folder / f"ready_{name}").touch()
    while not (folder / "open").exists():
        time.sleep(0.001)
    began, steps = time.perf_counter(), 0
    while time.perf_counter() - began < (1.0 if run.device.graphs else 0.1):
        again()
        run.device.wait()
        steps += 1
    print((time.perf_counter() - began) / steps)
