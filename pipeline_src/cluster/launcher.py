"""Snakemake on a cluster, watched over: what it cannot do for itself, in one place.

It works around what snakemake-executor-plugin-slurm 2.8.0 and Snakemake 9.27 were seen to do
(`docs/cluster.md`); each part can go when they do it themselves:

- A Snakemake that was killed leaves its lock, and its jobs, which a new one would submit a second
  time: the lock is taken when its owner is known to be dead; the jobs are cancelled (trainings save
  their state) or waited for.
- Outputs of jobs that ended while no Snakemake watched are deleted and made anew, or kept without a
  record of what made them: finished trainings are set aside, and taken back by their own rerun.
- A job that was preempted by cancelling is waited for for ever: it is put back into the queue.
- So is one that its node lost while slurmctld was away, and that SLURM then holds: it is released.
- Any other job whose end is overlooked is waited for for ever: Snakemake is stopped and started.
- A grid in which nothing moves says nothing: which jobs wait, and why, is told.
"""

from __future__ import annotations

import fcntl
import os
import queue
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import Literal

from pipeline_src.cluster import slurm
from pipeline_src.cluster.watch import Watch, describe
from pipeline_src.errors import InputError
from pipeline_src.files import read_json, write_json
from pipeline_src.training.finished import NAME, forget, is_whole, set_aside, trained_folders

Orphans = Literal["cancel", "wait"]
#: Starts in a row, without a job that ends well in between, after which the launcher gives up.
MAX_STARTS = 4
#: Seconds that a deaf Snakemake is given to stop; what it leaves is an orphan like any other.
STOP_SECONDS = 30.0
FORWARDED = [
    n
    for n in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    if signal.getsignal(n) != signal.SIG_IGN
]


@dataclass(frozen=True)
class Patience:
    """How long things may take, in seconds.

    Attributes:
        poll: between two looks at the queue.
        silence: without any progress before the waiting jobs are named, again and again.
        grace: for Snakemake to notice that a job has ended; it looks up to 180 s apart, and then
            waits for the files.
    """

    poll: float = 30.0
    silence: float = 900.0
    grace: float = 600.0


def say(text: str) -> None:
    """Print a line of the launcher's own."""
    with suppress(OSError):  # the terminal may be gone
        print(f"launch: {text}", flush=True)


@dataclass
class Launcher:
    """Runs Snakemake with ``arguments`` in ``folder`` until it ends of itself."""

    folder: Path
    arguments: Sequence[str]
    orphans: Orphans = "cancel"
    take_lock: bool = False
    patience: Patience = field(default_factory=Patience)

    def run(self) -> int:
        """Returns Snakemake's exit status, or 1 after starts that all came to nothing.

        Raises:
            InputError: another launcher or Snakemake runs here, or may do so elsewhere.
        """
        for word in self.arguments:
            if word.startswith(("--quiet", "-q")):
                raise InputError(f"launch: {word}: leave it out; launch reads what Snakemake says")
            if word.startswith(("--directory", "-d=")) or word == "-d":
                raise InputError(f"launch: {word}: go to that folder and launch there")
        with self._alone():
            fruitless = 0
            while fruitless < MAX_STARTS:
                unwatched = self._take_lock() | self._end_orphans()
                if unwatched:
                    keep_finished(self.folder / "results")
                    self._remove_unrecorded()
                try:
                    status, finished = self._supervise()
                finally:
                    forget_finished(self.folder / "results")
                if status is not None:
                    return status
                fruitless = 0 if finished else fruitless + 1
            say(f"gave up: no job has ended well since {MAX_STARTS} starts")
            return 1

    # Before Snakemake starts.

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """Hold the folder's launcher lock, which the system lets go of when this process ends."""
        place = self.folder / ".snakemake"
        place.mkdir(exist_ok=True)
        with (place / "launcher.lock").open("a+") as stream:
            try:
                fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                stream.seek(0)
                raise InputError(
                    f"{self.folder}: {stream.read().strip()} is launching here already"
                ) from None
            except OSError as error:
                raise InputError(
                    f"{stream.name}: cannot be locked ({error.strerror}); launch from a folder on "
                    "a file system with locks"
                ) from None
            stream.truncate(0)
            stream.write(f"process {os.getpid()} on {socket.gethostname()}\n")
            stream.flush()
            yield

    @property
    def _record(self) -> Path:
        """Names the machine of the Snakemake that a launcher started here last."""
        return self.folder / ".snakemake" / "launched.json"

    def _take_lock(self) -> bool:
        """Unlock the folder, if the Snakemake that locked it has ended; whether it was locked."""
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
        say("taking the lock of a Snakemake that has ended")
        self._snakemake("--unlock", *_without_targets(self.arguments))
        return True

    def _remove_unrecorded(self) -> None:
        """Remove outputs that jobs made while no Snakemake watched.

        Of these Snakemake keeps no record, so it would not notice a change of configuration or code
        that they are too old for. Their jobs run again, and trainings take back what was set aside.
        """
        lines = self._snakemake(*self.arguments, "--summary").splitlines()
        for name, date, _rule, log, *_ in (line.split("\t") for line in lines[1:]):
            # Every rule has a log, and the record names it.
            if log == "-" and date != "-":
                (self.folder / name).unlink(missing_ok=True)

    def _snakemake(self, *arguments: str) -> str:
        """What Snakemake prints.

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
        """Wait until no job of an earlier Snakemake is left; whether there was one."""
        told = False
        while True:
            jobs = slurm.jobs_of(self.folder)
            left = [job for job in jobs or [] if not job.ended]
            if jobs is not None and not left:
                return told
            if jobs is None:
                say("SLURM does not answer (squeue fails); waiting for it")
            elif not told:
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

        Returns its exit status, or None where it has to be started anew, and how many jobs ended
        well.
        """
        asked: list[int] = []
        running: list[subprocess.Popen[str]] = []

        def forward(number: int, _frame: FrameType | None) -> None:
            # A closed terminal ends it as Ctrl-C does: jobs are cancelled, and save their state.
            asked.append(signal.SIGINT if number == signal.SIGHUP else number)
            for process in running:
                process.send_signal(asked[-1])

        before = {n: signal.signal(n, forward) for n in FORWARDED}
        try:
            process = subprocess.Popen(
                [sys.executable, "-m", "snakemake", *self.arguments],
                cwd=self.folder,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                start_new_session=True,  # a signal to a terminal's group comes here alone
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
        if status >= 0:  # it took its lock with it
            self._record.unlink(missing_ok=True)
        if not asked and not stopped and status < 0:
            say(f"Snakemake was killed ({signal.Signals(-status).name}); starting it anew")
            stopped = True
        return (None if stopped and not asked else status), supervision.finished


class Supervision:
    """One run of Snakemake, from its first line to its end."""

    def __init__(self, process: subprocess.Popen[str], folder: Path, patience: Patience) -> None:
        self._process, self._folder, self._patience = process, folder, patience
        self._watch = Watch()
        self._lines: queue.Queue[str | None] = queue.Queue()
        threading.Thread(target=self._pump, daemon=True).start()
        self._moved = time.monotonic()
        self._signature: object = None
        self._told = self._moved
        self._unreachable = False

    def _pump(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self._lines.put(line)
        self._lines.put(None)

    @property
    def finished(self) -> int:
        """How many jobs have ended well."""
        return self._watch.finished

    def follow(self) -> bool:
        """Until Snakemake has ended; True where it was stopped because it waits in vain."""
        look = time.monotonic()
        while True:
            try:
                line = self._lines.get(timeout=max(0.0, look - time.monotonic()))
            except queue.Empty:
                if self._look():
                    return True
                look = time.monotonic() + self._patience.poll
                continue
            if line is None:
                return False
            self._pass_on(line)

    def _pass_on(self, line: str) -> None:
        with suppress(OSError):  # the terminal may be gone
            print(line, end="", flush=True)
        self._watch.read(line)
        self._moved = time.monotonic()

    def _look(self) -> bool:
        """Look at the queue; True where Snakemake had to be stopped."""
        now = time.monotonic()
        found = slurm.jobs_of(self._folder)
        if found is None:
            if not self._unreachable:
                say("SLURM does not answer (squeue fails); waiting for it")
            self._unreachable = True
            return False
        if self._unreachable:
            say("SLURM answers again")
        self._unreachable = False
        jobs = {job.number: job for job in found}
        self._revive(jobs)
        self._watch.compare(jobs, now)
        overlooked = self._watch.overlooked(now, self._patience.grace)
        if overlooked:
            self._stop(overlooked, jobs)
            return True
        self._tell_if_still(jobs, now)
        return False

    def _revive(self, jobs: dict[str, slurm.Job]) -> None:
        """Let jobs run again that no one else would."""
        for number in self._watch.active.values():
            job = jobs.get(number)
            if job is not None and job.state == "PREEMPTED" and slurm.requeue(job):
                say(f"job {number} ({job.name}) was preempted; it is back in the queue")
            elif job is not None and job.failed_to_launch:
                # It may have ended well while SLURM was away.
                keep_finished(self._folder / "results")
                if slurm.release(job):
                    say(f"job {number} ({job.name}) was lost by its node and held; it is released")

    def _stop(self, overlooked: list[str], jobs: dict[str, slurm.Job]) -> None:
        minutes = self._patience.grace / 60
        say(f"Snakemake has not noticed for {minutes:g} min that jobs ended; starting it anew")
        for number in overlooked:
            say(f"  {describe(number, jobs.get(number))}")
        self._process.send_signal(signal.SIGINT)
        end = time.monotonic() + STOP_SECONDS
        while time.monotonic() < end:
            with suppress(queue.Empty):
                line = self._lines.get(timeout=1)
                if line is None:
                    break
                self._pass_on(line)
        self._process.kill()

    def _tell_if_still(self, jobs: dict[str, slurm.Job], now: float) -> None:
        """Name the jobs that wait, where nothing has changed for long: no line of Snakemake's, no
        job's state, no file that a training saves."""
        active = {number: jobs.get(number) for number in self._watch.active.values()}
        signature = (frozenset(active.values()), _newest_save(self._folder / "results"))
        if signature != self._signature:
            self._signature, self._moved = signature, now
        if now - max(self._moved, self._told) <= self._patience.silence or not active:
            return
        self._told = now
        say(f"nothing has moved for {(now - self._moved) / 60:.0f} min; Snakemake waits for:")
        for number, job in active.items():
            say(f"  {describe(number, job)}")
        for node in slurm.unavailable_nodes():
            say(f"  node {node}")


def _newest_save(results: Path) -> float:
    """When a training of any study last saved its state."""
    times = [0.0]
    for path in results.glob("*/*/*x/seed*/*/training.state"):
        with suppress(OSError):
            times.append(path.stat().st_mtime)
    return max(times)


def keep_finished(results: Path) -> None:
    """Set aside the results of all finished trainings."""
    for folder in trained_folders(results):
        try:
            set_aside(folder)
        except OSError as error:
            say(f"{folder}: cannot be set aside ({error.strerror}); may be trained again")


def forget_finished(results: Path) -> None:
    """Remove what was set aside, but where the result itself is away: its rerun takes it back."""
    for aside in results.glob(f"*/*/*x/seed*/*/{NAME}"):
        if is_whole(aside.parent):
            forget(aside.parent)


def snakemake_in(folder: Path) -> int | None:
    """A Snakemake of this machine that works in ``folder`` and holds its lock, where one does.

    Those within jobs take no lock and say so on their command line.
    """
    for process in Path("/proc").glob("[0-9]*"):
        try:
            command = (process / "cmdline").read_bytes().split(b"\0")
            place = (process / "cwd").readlink()
        except OSError:
            continue
        snakemake = any(word.rpartition(b"/")[2] == b"snakemake" for word in command[:3])
        if snakemake and place == folder and b"--nolock" not in command:
            return int(process.name)
    return None


def _without_targets(arguments: Sequence[str]) -> list[str]:
    """What `--unlock` needs of a command line: everything but the targets that come first."""
    first = next((i for i, word in enumerate(arguments) if word.startswith("-")), len(arguments))
    return list(arguments[first:])
