"""A small study that Snakemake runs in a copy of the project, and what is done to its processes."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from snakemake_study import BASE
from waiting import PATIENCE, wait_until

from pipeline_src.files import sha256_file

PROJECT = Path(__file__).resolve().parents[1]
TEACHER = Path("results/tiny/heart/4x/seed0/teacher")
WEIGHTS = f"{TEACHER}/weights.safetensors"

METHODS = "methods: {at: {}}"
#: Becomes a Snakemake that has a fork server already, as one with more steps has after a while.
FORKING = """
import os, sys, time
from pipeline_src.acceleration import fork_client as client
from pipeline_src.acceleration import fork_server as server
server.start(server.FEWEST_STEPS)
address = os.environ[client.VARIABLE]
while not os.path.exists(address):
    time.sleep(0.01)
os.set_inheritable(server.servers[0].stdin.fileno(), True)
os.execv(sys.executable, [sys.executable, "-m", *sys.argv[1:]])
"""
#: Long enough to be hit in the middle, after two states were saved: some seconds.
EPOCHS = 400


@dataclass(frozen=True)
class Run:
    """A Snakemake that was started, in a process group of its own as a terminal makes it."""

    process: subprocess.Popen[bytes]
    output: Path

    def end(self, seconds: float = PATIENCE) -> int:
        """Its exit status, once it has ended."""
        return self.process.wait(timeout=seconds)

    def said(self) -> str:
        return self.output.read_text()

    def send(self, number: signal.Signals) -> None:
        """To Snakemake alone."""
        self.process.send_signal(number)

    def send_to_all(self, number: signal.Signals) -> None:
        """To Snakemake and all that it started, as Ctrl-C does."""
        os.killpg(self.process.pid, number)


@dataclass(frozen=True)
class Study:
    """A copy of the project and its small study.

    Attributes:
        forking: whether trainings are forks of a server rather than processes of their own.
        before: words before every command, such as those that run it as another user.
    """

    root: Path
    runs: list[Run] = field(default_factory=list)
    forking: bool = False
    before: tuple[str, ...] = ()

    @property
    def trains(self) -> str:
        """What is hit, for the table of faults."""
        return "teacher, forked" if self.forking else "teacher"

    @property
    def teacher(self) -> Path:
        """The folder of the training that is hit."""
        return self.root / TEACHER

    def start(self, *arguments: str, target: str = WEIGHTS) -> Run:
        return self.start_command("snakemake", target, *arguments, "--cores", "2")

    def start_command(self, module: str, *arguments: str) -> Run:
        """A module of Python, with the study's configuration."""
        output = self.root / f"snakemake{len(self.runs)}.txt"
        environment = os.environ | {
            "PYTHONPATH": str(self.root),
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        }
        how = ["-c", FORKING] if self.forking and module == "snakemake" else ["-m"]
        with output.open("wb") as stream:
            process = subprocess.Popen(
                [
                    *self.before,
                    sys.executable,
                    *how,
                    module,
                    *arguments,
                    "--configfile",
                    "tiny.yaml",
                ],
                cwd=self.root,
                env=environment,
                stdout=stream,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self.runs.append(Run(process, output))
        return self.runs[-1]

    def run(self, *arguments: str, target: str = WEIGHTS) -> str:
        """What Snakemake says in a run that must succeed."""
        run = self.start(*arguments, target=target)
        assert run.end() == 0, run.said()
        return run.said()

    def start_and_catch(self, *arguments: str, target: str = WEIGHTS) -> tuple[Run, int]:
        """Snakemake with its training half-way, and the training's process."""
        run = self.start(*arguments, target=target)
        second = self.teacher / "training.state.previous"
        wait_until(lambda: second.exists() or run.process.poll() is not None, "the second state")
        assert second.exists(), f"ended before its second state: {run.said()}"
        return run, self.training()

    def training(self) -> int:
        """The process that trains now."""
        text = (self.teacher / "training.lock").read_text()
        found = re.fullmatch(r"process (\d+) on .+\n", text)
        assert found, text
        return int(found[1])

    def wait_until_not_training(self) -> None:
        wait_until(lambda: not (self.teacher / "training.lock").exists(), "the training's end")

    def training_log(self) -> str:
        """What the last training has said."""
        path = self.root / "results/tiny/logs/train/heart_4x_seed0_teacher.log"
        try:
            return path.read_text()
        except FileNotFoundError:  # not begun, or removed by the next run
            return ""

    def recorded_runs(self) -> int:
        """How many processes took part in the weights."""
        runs = json.loads((self.teacher / "manifest.json").read_text())["runs"]
        assert [one["forked"] for one in runs] == [self.forking] * len(runs)
        return len(runs)

    def is_locked(self) -> bool:
        """Whether Snakemake would ask for --unlock."""
        return any((self.root / ".snakemake" / "locks").glob("*"))

    def stop(self) -> None:
        """Kill whatever its runs have left behind."""
        for run in self.runs:
            with suppress(ProcessLookupError):
                run.send_to_all(signal.SIGKILL)
            run.process.wait()


def new_study(root: Path, epochs: int = EPOCHS, methods: str = METHODS) -> Study:
    left_out = shutil.ignore_patterns(".*", "__pycache__", "results", "tests", "docs", "benchmarks")
    shutil.copytree(PROJECT, root, ignore=left_out, symlinks=True)
    training = f"training: {{epochs: {epochs}, learning_rate: 0.001, threads: 1, device: cpu}}"
    (root / "tiny.yaml").write_text(f"{BASE}{methods}\n{training}\n")
    return Study(root)


def untrained_copy(study: Study, root: Path, forking: bool = False) -> Study:
    """The study with its data and mask, but as though Snakemake had never trained here."""
    left_out = shutil.ignore_patterns(".snakemake", "__pycache__", "teacher", "train")
    shutil.copytree(study.root, root, ignore=left_out, symlinks=True)
    return Study(root, forking=forking)


def assert_same_result(study: Study, expected: Study) -> None:
    """The same weights to the bit, in the same files, and nothing else is left anywhere."""
    assert sha256_file(study.root / WEIGHTS) == sha256_file(expected.root / WEIGHTS)
    assert_nothing_left(study)
    for files in ("teacher", "logs"):
        [mine, theirs] = [
            sorted(p.relative_to(s.root) for p in (s.root / "results").rglob(f"{files}/*"))
            for s in (study, expected)
        ]
        assert mine == theirs


def assert_nothing_left(study: Study) -> None:
    found = (study.root / "results").rglob("*")
    assert not [p for p in found if p.name.startswith((".", "training."))]
    assert not study.is_locked()
