"""Runs Snakemake on a cluster and works around what it cannot do by itself.

The workarounds are for observed behaviour of snakemake-executor-plugin-slurm 2.8.0 and Snakemake
9.27 (`docs/cluster.md`); each can be removed when they handle the case themselves:

- A Snakemake that was killed leaves its lock, and its jobs, which a new one would submit a second
  time: the lock is removed once its owner is known to be dead; the jobs are cancelled (trainings
  save their state) or waited for.
- Outputs of jobs that ended while no Snakemake was running are deleted and made again, or kept
  without a record of what made them: finished trainings are set aside, and put back by their rerun.
- Snakemake waits forever for a job that was preempted by cancelling: the job is requeued.
- The same holds for a job that its node lost while slurmctld was away, and that SLURM then holds:
  it is released.
- Snakemake waits forever for any other job whose end it missed: Snakemake is restarted.
- If nothing progresses, Snakemake prints nothing: the launcher says which jobs wait, and why.
"""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import Any, Literal

import psutil

from pipeline_src import locks
from pipeline_src.config.load import read_files, read_yaml
from pipeline_src.errors import InputError
from pipeline_src.files import read_json, write_json
from pipeline_src.operations.cluster import slurm
from pipeline_src.operations.cluster.arguments import (
    configuration_files,
    with_configuration,
    without_targets,
)
from pipeline_src.operations.cluster.supervision import (
    Patience,
    Supervision,
    forget_finished,
    keep_finished,
    say,
    say_whether_slurm_answers,
)
from pipeline_src.planning.places import CONFIG

Orphans = Literal["cancel", "wait"]
#: Number of starts without any successful job after which the launcher gives up.
MAX_STARTS = 4
FORWARDED = [
    n
    for n in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    if signal.getsignal(n) != signal.SIG_IGN
]


@dataclass
class Launcher:
    """Runs Snakemake with ``arguments`` in ``folder`` until it ends by itself."""

    folder: Path
    arguments: Sequence[str]
    orphans: Orphans = "cancel"
    take_lock: bool = False
    patience: Patience = field(default_factory=Patience)

    def run(self) -> int:
        """Run Snakemake; returns its exit status, or 1 after too many starts without success.

        Raises:
            InputError: another launcher or Snakemake runs here, or may run on another machine; or
                SLURM is not installed.
        """
        for word in self.arguments:
            if word.startswith(("--quiet", "-q")):
                raise InputError(f"launch: {word}: leave it out; launch reads what Snakemake says")
            if word.startswith(("--directory", "-d=")) or word == "-d":
                raise InputError(f"launch: {word}: go to that folder and launch there")
        # Read safely here before Snakemake reads it in a way that could run code.
        given, _ = read_files(configuration_files(self.arguments))
        if shutil.which("squeue") is None:
            raise InputError(
                "launch: there is no squeue, so SLURM is not installed here; launch on a node from "
                "which jobs are submitted, or run snakemake itself"
            )
        with self._alone():
            fruitless = 0
            while fruitless < MAX_STARTS:
                unwatched = self._take_lock() | self._end_orphans()
                if unwatched:
                    keep_finished(self.folder / "results")
                    self._remove_unrecorded()
                frozen = self._frozen()
                try:
                    status, finished = self._supervise()
                finally:
                    forget_finished(self.folder / "results")
                if status is not None:
                    return status
                self._keep_to(self._frozen() - frozen, given)
                fruitless = 0 if finished else fruitless + 1
            say(f"gave up: no job has ended well since {MAX_STARTS} starts")
            return 1

    # Before Snakemake starts.

    def _frozen(self) -> set[tuple[Path, int]]:
        """The configurations that starts have frozen in this folder, and when each was written."""
        paths = self.folder.glob(f"results/*/{CONFIG}")
        return {(path.relative_to(self.folder), path.stat().st_mtime_ns) for path in paths}

    def _keep_to(self, written: set[tuple[Path, int]], given: dict[str, Any]) -> None:
        """From now on start with the configuration that the last start has frozen, if it did and it
        is that of the given files, whatever is written into these meanwhile.
        """
        for path, _ in written:
            # A workflow that has this one as a module keeps the study's keys below another.
            of_study = given and given.keys() <= read_yaml(self.folder / path).keys()
            if of_study and str(path) not in self.arguments:
                self.arguments = with_configuration(self.arguments, path)
                say(f"goes on with {path}, the configuration as it was at the start")

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """Hold the folder's launcher lock, which the system releases when this process ends."""
        place = self.folder / ".snakemake"
        place.mkdir(exist_ok=True)
        path = place / "launcher.lock"
        try:
            handle = locks.hold(path)
        except OSError as error:
            raise InputError(
                f"{path}: cannot be locked ({error.strerror}); launch from a folder on a file "
                "system with locks"
            ) from None
        if handle is None:
            raise InputError(f"{self.folder}: {locks.holder(path)} is launching here already")
        try:
            locks.sign(handle)
            yield
        finally:
            os.close(handle)

    @property
    def _record(self) -> Path:
        """The file that names the machine of the Snakemake that a launcher started here last."""
        return self.folder / ".snakemake" / "launched.json"

    def _take_lock(self) -> bool:
        """Unlock the folder, if the Snakemake that locked it has ended; returns whether it was
        locked.
        """
        if not any((self.folder / ".snakemake" / "locks").glob("*")):
            return False
        process = snakemake_in(self.folder)
        if process is not None:
            raise InputError(
                f"{self.folder}: Snakemake runs here as process {process}; wait for it or end it"
            )
        host = read_json(self._record)["host"] if self._record.exists() else None
        if host != socket.gethostname() and not self.take_lock:
            raise InputError(
                f"{self.folder}: locked by a Snakemake that was started "
                f"{f'on {host}' if host else 'by hand'}; if it has ended, launch with --unlock"
            )
        say("removing the lock of a Snakemake that has ended")
        self._snakemake("--unlock", *without_targets(self.arguments))
        return True

    def _remove_unrecorded(self) -> None:
        """Remove outputs that jobs made while no Snakemake was running.

        Snakemake keeps no record of these, so it would not notice that configuration or code have
        changed since. Their jobs run again, and trainings put back what was set aside.
        """
        lines = self._snakemake(*self.arguments, "--summary").splitlines()
        for name, date, _rule, log, *_ in (line.split("\t") for line in lines[1:]):
            # Every rule has a log, and a record names it.
            if log == "-" and date != "-":
                (self.folder / name).unlink(missing_ok=True)

    def _snakemake(self, *arguments: str) -> str:
        """Run Snakemake and return what it prints.

        Raises:
            InputError: it fails.
        """
        done = subprocess.run(
            [sys.executable, "-m", "snakemake", *arguments],
            cwd=self.folder,
            capture_output=True,
            text=True,
        )
        if done.returncode:
            raise InputError(f"snakemake {' '.join(arguments)} failed:\n{done.stderr.strip()}")
        return done.stdout

    def _end_orphans(self) -> bool:
        """Wait until no job of an earlier Snakemake is left; returns whether there was one."""
        told, answers = False, True
        while True:
            jobs = slurm.jobs_of(self.folder)
            left = [job for job in jobs or [] if not job.ended]
            answers = say_whether_slurm_answers(jobs, answers)
            if jobs is not None and not left:
                return told
            if left and not told:
                names = ", ".join(job.name for job in left[:5]) + (", ..." if left[5:] else "")
                doing = "cancelling" if self.orphans == "cancel" else "waiting for"
                say(f"{doing} {len(left)} jobs that an earlier Snakemake left behind: {names}")
                if self.orphans == "cancel":
                    slurm.cancel(left)
                told = True
            time.sleep(min(self.patience.poll, 5) if jobs is not None else self.patience.poll)

    # While it runs.

    def _supervise(self) -> tuple[int | None, int]:
        """Run Snakemake once.

        Returns its exit status, or None if it must be restarted, and how many jobs succeeded.
        """
        asked: list[int] = []
        running: list[subprocess.Popen[str]] = []

        def forward(number: int, _frame: FrameType | None) -> None:
            # A closed terminal has the effect of Ctrl-C: jobs are cancelled, and save their state.
            asked.append(signal.SIGINT if number == signal.SIGHUP else number)
            for process in running:
                process.send_signal(asked[-1])

        before = {n: signal.signal(n, forward) for n in FORWARDED}
        if signal.SIGINT not in before:
            # Ignored, as for what a shell script starts with `&`: Snakemake would ignore it
            # too, and could not be stopped.
            before[signal.SIGINT] = signal.signal(signal.SIGINT, lambda *_: None)
        try:
            process = subprocess.Popen(
                [sys.executable, "-m", "snakemake", *self.arguments],
                cwd=self.folder,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                start_new_session=True,  # the terminal's signals reach only this process
            )
            running.append(process)
            for number in asked:
                process.send_signal(number)
            write_json(self._record, {"host": socket.gethostname()})
            supervision = Supervision(process, self.folder, self.patience)
            stopped = supervision.follow()
            status = process.wait()
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)
        if status >= 0:  # it has removed its lock
            self._record.unlink(missing_ok=True)
        if not asked and not stopped and status < 0:
            say(f"Snakemake was killed ({signal.Signals(-status).name}); starting it again")
            stopped = True
        return (None if stopped and not asked else status), supervision.finished


def snakemake_in(folder: Path) -> int | None:
    """A Snakemake of this machine that works in ``folder`` and holds its lock, if there is one.

    Those within jobs take no lock, which their command line shows.
    """
    for process in psutil.process_iter(["cmdline", "cwd"]):
        command = process.info["cmdline"] or []
        snakemake = any(word.rpartition("/")[2] == "snakemake" for word in command[:3])
        if snakemake and process.info["cwd"] == str(folder) and "--nolock" not in command:
            return process.pid
    return None
