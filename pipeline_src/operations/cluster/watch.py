"""Compares what a running Snakemake knows about its cluster jobs with what SLURM knows."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from pipeline_src.operations.cluster.slurm import Job

_SUBMITTED = re.compile(r"^Job (\d+) has been submitted with SLURM jobid (\d+)")
_FINISHED = re.compile(r"^Finished jobid: (\d+)")
_FAILED = re.compile(r"^\s+external_jobid: (\d+)")

#: Share of the time to notice an end that is left where Snakemake need not wait for files.
WITHOUT_FILES = 0.4
#: Explanations of SLURM's reasons for not starting a job, and what to do.
ADVICE = {
    "PartitionTimeLimit": "asks for more time than its partition allows; choose another in the "
    "profile",
    "PartitionNodeLimit": "asks for more nodes than its partition has",
    "PartitionDown": "its partition takes no jobs now",
    "PartitionInactive": "its partition takes no jobs now",
    "PartitionConfig": "no node of its partition has the processors, memory or GPUs that it asks "
    "for",
    "BadConstraints": "no node fits what it asks for; see GPU type and memory in the profile",
    "ReqNodeNotAvail": "a node that it needs is down, drained or reserved",
    "Resources": "waits for processors, memory or a GPU to be free",
    "Priority": "waits for jobs of higher priority",
    "BeginTime": "starts a while after it was put back into the queue, or was told to start later",
    "Reservation": "waits for its reservation to begin",
    "Licenses": "waits for a license",
    "InvalidAccount": "its account is not valid (any more); see doctor",
    "InvalidQOS": "its QOS is not valid (any more); see doctor",
    "QOSNotAllowed": "its account or partition does not allow its QOS; see doctor",
    "JobHeldUser": "was held; release it with: scontrol release JOB",
    "JobHeldAdmin": "was held by an administrator",
    "AssocGrpGRES": "your account's limit of GPUs is reached",
    "QOSMaxJobsPerUserLimit": "your limit of running jobs is reached",
    "launch failed requeued held": "its node could not start it, or lost it; only an administrator "
    "can release it",
}
#: Of SLURM's many reasons that are limits, by how they begin and what they contain.
LIMITS = (
    ("QOS", "Min", "asks for less than its QOS requires"),
    ("QOS", "UsageThreshold", "its QOS has been used more than it allows"),
    ("Assoc", "PerJob", "asks for more than your account's limit of one job"),
    ("QOS", "PerJob", "asks for more than its QOS allows one job"),
    ("Assoc", "", "a limit of your account is reached"),
    ("QOS", "", "a limit of its QOS is reached"),
)


@dataclass
class Watch:
    """Follows the lines that Snakemake prints.

    Attributes:
        active: SLURM's ids of the jobs that Snakemake waits for, by Snakemake's own ids.
        finished: how many jobs have succeeded.
        unnoticed: when each active job was first seen to have ended, or to be unknown to SLURM, by
            SLURM's id.
        failed: those of them that are known to have failed.
    """

    active: dict[str, str] = field(default_factory=dict)
    finished: int = 0
    unnoticed: dict[str, float] = field(default_factory=dict)
    failed: set[str] = field(default_factory=set)

    def read(self, line: str) -> None:
        """Read a line of Snakemake's output."""
        if found := _SUBMITTED.match(line):
            self.active[found[1]] = found[2]
        elif found := _FINISHED.match(line):
            self.active.pop(found[1], None)
            self.finished += 1
        elif found := _FAILED.match(line):
            self.active = {ours: slurm for ours, slurm in self.active.items() if slurm != found[1]}

    def compare(self, jobs: dict[str, Job], now: float) -> None:
        """Record since when jobs that Snakemake waits for have ended according to SLURM."""
        over = [
            number for number in self.active.values() if number not in jobs or jobs[number].ended
        ]
        self.unnoticed = {number: self.unnoticed.get(number, now) for number in over}
        self.failed = {n for n in over if n in jobs and jobs[n].state != "COMPLETED"}

    def overlooked(self, now: float, grace: float) -> list[str]:
        """Jobs whose end Snakemake has not noticed for longer than ``grace`` seconds; of those that
        failed, which have no files to wait for, for longer than `WITHOUT_FILES` of them.
        """
        return [
            number
            for number, since in self.unnoticed.items()
            if now - since > grace * (WITHOUT_FILES if number in self.failed else 1)
        ]


def describe(number: str, job: Job | None) -> str:
    """A job that Snakemake waits for, in one line."""
    if job is None:
        return f"job {number}: SLURM does not know it (any more)"
    # Accounting knows what a job does only where it is told to keep comments.
    about = f"job {number}{f' ({job.name})' if job.name else ''}: {job.state}"
    if job.state != "PENDING":
        return about
    # SLURM may add detail, as in `ReqNodeNotAvail, UnavailableNodes:n1`.
    reason = job.reason.split(",")[0].strip("()")
    of_limit = (text for begin, part, text in LIMITS if reason.startswith(begin) and part in reason)
    advice = ADVICE.get(reason) or next(of_limit, "")
    return f"{about}, {job.reason}" + (f": {advice}" if advice else "")
