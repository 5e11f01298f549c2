"""Supervises one run of Snakemake on a cluster, from its first line of output to its end."""

from __future__ import annotations

import queue
import signal
import subprocess
import threading
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from pipeline_src.operations.cluster import slurm
from pipeline_src.operations.cluster.watch import Watch, describe
from pipeline_src.planning.places import MODEL_FOLDERS, STATE
from pipeline_src.running.finished import forget_all, set_aside, trained_folders

#: Seconds to wait until a stuck Snakemake stops; its remaining jobs are handled like other orphans.
STOP_SECONDS = 30.0


@dataclass(frozen=True)
class Patience:
    """How long things may take, in seconds.

    Attributes:
        poll: between two checks of the queue.
        silence: without any progress before the waiting jobs are listed, and between such lists.
        grace: for Snakemake to notice that a job has ended; it checks at intervals of up to 180 s,
            and then waits for the files.
    """

    poll: float = 30.0
    silence: float = 900.0
    grace: float = 600.0


def say(text: str) -> None:
    """Print a message of the launcher."""
    with suppress(OSError):  # the terminal may be gone
        print(f"launch: {text}", flush=True)


def say_whether_slurm_answers(jobs: list[slurm.Job] | None, before: bool) -> bool:
    """Whether SLURM told its jobs; printed when that differs from before."""
    if jobs is None and before:
        say(
            "SLURM does not answer (squeue fails); waiting for it without end: Ctrl-C ends this, "
            "and python -m pipeline_src doctor --profile PROFILE tells more"
        )
    if jobs is not None and not before:
        say("SLURM answers again")
    return jobs is not None


class Supervision:
    """One run of Snakemake, from its first line of output to its end."""

    def __init__(self, process: subprocess.Popen[str], folder: Path, patience: Patience) -> None:
        self._process, self._folder, self._patience = process, folder, patience
        self._watch = Watch()
        self._lines: queue.Queue[str | None] = queue.Queue()
        threading.Thread(target=self._pump, daemon=True).start()
        self._moved = time.monotonic()
        self._signature: object = None
        self._told = self._moved
        self._answers = True

    def _pump(self) -> None:
        assert self._process.stdout is not None
        with self._process.stdout as stream:
            for line in stream:
                self._lines.put(line)
        self._lines.put(None)

    @property
    def finished(self) -> int:
        """How many jobs have succeeded."""
        return self._watch.finished

    def follow(self) -> bool:
        """Wait until Snakemake has ended; returns True if it was stopped because it waited in
        vain.
        """
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
        """Check the queue; returns True if Snakemake had to be stopped."""
        now = time.monotonic()
        found = slurm.jobs_of(self._folder)
        self._answers = say_whether_slurm_answers(found, self._answers)
        if found is None:
            return False
        jobs = {job.number: job for job in found}
        forgotten = [number for number in self._watch.active.values() if number not in jobs]
        # One that accounting has as running was lost by the controller, and never ends there.
        accounted = [job for job in slurm.accounted_for(forgotten) if job.ended]
        jobs |= {job.number: job for job in accounted}
        self._revive(jobs)
        self._watch.compare(jobs, now)
        overlooked = self._watch.overlooked(now, self._patience.grace)
        if overlooked:
            self._stop(overlooked, jobs)
            return True
        self._tell_if_still(jobs, now)
        return False

    def _revive(self, jobs: dict[str, slurm.Job]) -> None:
        """Requeue or release jobs that nothing else would start again."""
        for number in self._watch.active.values():
            job = jobs.get(number)
            if job is not None and job.state == "PREEMPTED" and slurm.requeue(job):
                say(f"job {number} ({job.name}) was preempted; it is back in the queue")
            elif job is not None and job.failed_to_launch:
                # It may have succeeded while SLURM was away.
                keep_finished(self._folder / "results")
                if slurm.release(job):
                    say(f"job {number} ({job.name}) was lost by its node and held; it is released")

    def _stop(self, overlooked: list[str], jobs: dict[str, slurm.Job]) -> None:
        say("Snakemake has not noticed the end of these jobs; starting it again:")
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
        """List the waiting jobs if nothing has changed for long: no output of Snakemake, no job's
        state, no file that a training saves.
        """
        active = {number: jobs.get(number) for number in self._watch.active.values()}
        signature = (frozenset(active.values()), _newest_save(self._folder / "results"))
        if signature != self._signature:
            self._signature, self._moved = signature, now
        if now - max(self._moved, self._told) <= self._patience.silence or not active:
            return
        self._told = now
        say(f"no progress for {(now - self._moved) / 60:.0f} min; Snakemake waits for:")
        for number, job in active.items():
            say(f"  {describe(number, job)}")
        for node in slurm.unavailable_nodes():
            say(f"  node {node}")


def _newest_save(results: Path) -> float:
    """When a training of any study last saved its state."""
    times = [0.0]
    for path in results.glob(f"*/{MODEL_FOLDERS}/{STATE}"):
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
    """Remove copies that were set aside in all studies and are no longer needed."""
    for study in results.glob("*"):
        forget_all(study)
