"""Queries and controls SLURM by its own commands."""

from __future__ import annotations

import os
import subprocess
from dataclasses import dataclass
from pathlib import Path

#: States of jobs that have ended, successfully or not.
ENDED = frozenset(
    (
        "BOOT_FAIL",
        "CANCELLED",
        "COMPLETED",
        "DEADLINE",
        "FAILED",
        "NODE_FAIL",
        "OUT_OF_MEMORY",
        "PREEMPTED",
        "REVOKED",
        "TIMEOUT",
    )
)
# Seconds for a command; SLURM's commands give up on a silent controller much earlier.
_PATIENCE = 120
_FIELDS = "%i|%T|%r|%k|%Z"  # the folder comes last, since it may contain any character


@dataclass(frozen=True)
class Job:
    """A job that SLURM knows.

    Attributes:
        number: its id.
        state: such as `PENDING`, `RUNNING`, `PREEMPTED`.
        reason: why it waits, such as `Resources`, or why it failed.
        comment: Snakemake's description of it: `rule_train_wildcards_brain_4x_0_teacher`.
    """

    number: str
    state: str
    reason: str
    comment: str

    @property
    def ended(self) -> bool:
        """Whether the job has ended."""
        return self.state in ENDED

    @property
    def failed_to_launch(self) -> bool:
        """Whether SLURM holds it, because its node lost it or could not start it."""
        return "launch failed" in self.reason

    @property
    def name(self) -> str:
        """What it does, for messages: `train brain_4x_0_teacher`."""
        kind, _, wildcards = self.comment.partition("_wildcards_")
        words = kind.removeprefix("rule_").removeprefix("group_")
        return f"{words} {wildcards}".strip()


def jobs_of(folder: Path) -> list[Job] | None:
    """The jobs that a Snakemake in ``folder`` submitted, including ended ones that SLURM still
    lists; None while SLURM does not answer.
    """
    # By number: the name that the environment gives may be another's.
    lines = lines_of("squeue", "--noheader", "--states=all", f"--user={os.getuid()}", "-o", _FIELDS)
    if lines is None:
        return None
    jobs = []
    for line in lines:
        fields = line.split("|", 4)
        if len(fields) < 5:  # the rest of another job's comment with several lines
            continue
        number, state, reason, comment, place = fields
        if Path(place) == folder and comment.startswith(("rule_", "group_")):
            jobs.append(Job(number, state, reason, comment))
    return jobs


def accounted_for(numbers: list[str]) -> list[Job]:
    """Jobs that `squeue` has forgotten, as accounting knows them; none without accounting."""
    if not numbers:
        return []
    lines = lines_of(
        *("sacct", "--allocations", "--noheader", "--parsable2", f"--jobs={','.join(numbers)}"),
        "--format=JobID,State,Reason,Comment",
    )
    jobs = []
    for line in lines or []:
        number, state, reason, comment = line.split("|", 3)
        # Such as `CANCELLED by 1000`.
        jobs.append(Job(number, state.split()[0] if state else "", reason, comment))
    return jobs


def cancel(jobs: list[Job]) -> None:
    """Ask jobs to end; trainings save their state first."""
    if jobs:
        lines_of("scancel", *[job.number for job in jobs])


def requeue(job: Job) -> bool:
    """Put a job that was preempted and cancelled back into the queue, under its own id."""
    return lines_of("scontrol", "requeue", job.number) is not None


def release(job: Job) -> bool:
    """Let a job that is held start."""
    return lines_of("scontrol", "release", job.number) is not None


def unavailable_nodes() -> list[str]:
    """Nodes that take no jobs, each with its state and the administrator's reason."""
    return lines_of("sinfo", "--noheader", "-R", "-o", "%n is %T: %E") or []


def lines_of(*command: str) -> list[str] | None:
    """Lines that a command prints; None if it fails, hangs or does not exist."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=_PATIENCE)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.splitlines() if done.returncode == 0 else None
