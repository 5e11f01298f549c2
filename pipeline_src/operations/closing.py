"""What a run of Snakemake says at its end, below all else."""

from __future__ import annotations

import logging
import re
import sys
from pathlib import Path
from typing import Any

from snakemake.exceptions import LockException
from snakemake.logging import logger

from pipeline_src.operations.logs import error_line, was_stopped
from pipeline_src.text import one_line, printable

#: Snakemake says it at length, but with `-q all` nothing.
LOCKED = (
    "stopped: another snakemake works in {folder}, or was killed there and left its lock; once "
    "none runs, type snakemake --unlock, then the same command"
)
#: What the plugin for SLURM says where `sbatch` fails, followed by the command.
REFUSED = re.compile(r"SLURM sbatch failed\. The error message was '(.*?)'\.(?:\n|$)", re.DOTALL)
ASK_DOCTOR = "see python -m pipeline_src doctor --profile PROFILE"


class _Reports(logging.Handler):
    """Keeps what Snakemake itself says of failed jobs, as where a cluster does not take them, and
    tells that a folder is locked.
    """

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.by_job: dict[int, str] = {}
        self.logs: dict[int, list[Path]] = {}

    def emit(self, record: logging.LogRecord) -> None:
        """Keep the first line; more is the submitted script, and a hint at logs. What SLURM says of
        a job that it does not take has several, of which the last may be the general one.
        """
        if getattr(record, "exception", "") == LockException.__name__:
            print(LOCKED.format(folder=printable(str(Path.cwd()))), file=sys.stderr)
        said = str(getattr(record, "rule_msg", None) or "").partition("For further error details")
        first = said[0].strip().partition("\n")[0].rstrip(": ")
        if refused := REFUSED.match(said[0].strip()):
            lines = [line.partition("error: ")[2] or line for line in refused[1].splitlines()]
            first = f"SLURM refuses it: {'; '.join(filter(str.strip, lines))}; {ASK_DOCTOR}"
        if first:
            self.by_job[getattr(record, "jobid", -1)] = one_line(first)
        if logs := getattr(record, "log", None):
            self.logs[getattr(record, "jobid", -1)] = [Path(log) for log in logs]


_reports = _Reports()


def listen_to_errors() -> None:
    """Before a run: keep what Snakemake will say of jobs that fail, for `tell_causes`."""
    logger.addHandler(_reports)


def tell_report(workflow: Any, report: str) -> None:
    """After a run that made a study's report: where it is."""
    made = any(report in map(str, job.output) for job in workflow.dag.jobs)
    if made and not workflow.remote_exec:
        print(f"finished: open {report}", file=sys.stderr)


def tell_causes(workflow: Any, config: Path) -> None:
    """After a run that did not succeed: what each failed step ended with, below all that Snakemake
    prints of them, which for a step of thousands of inputs is much; or that it was stopped.

    Args:
        workflow: Snakemake's workflow object.
        config: the study's frozen configuration, which is written when a run starts: a log that is
            older is of an earlier run.
    """
    if workflow.remote_exec:
        return
    since = config.stat().st_mtime
    failed = sorted(workflow.scheduler.failed, key=lambda job: job.jobid)
    # After Ctrl-C Snakemake counts no step as failed, and after SIGTERM none is running either.
    stopped = bool(workflow.scheduler.running or not failed)
    # A step's shell may end by the signal before the training has said in its log that it stops.
    asked_to_stop = bool(workflow.scheduler._user_kill)
    for job in failed:
        logs = [Path(log) for log in job.log]
        cause = next(filter(None, (error_line(log, since) for log in logs)), "")
        if (asked_to_stop and not cause) or any(was_stopped(log, since) for log in logs):
            stopped = True
            continue
        if not cause:
            # A cluster's own follow: they alone tell of a job that ended before its step began.
            known = dict.fromkeys([*logs, *_reports.logs.get(job.jobid, [])])
            written = [log for log in known if _is_written(log, since)][:1]
            said = [_reports.by_job.get(job.jobid, ""), *(f"see {log}" for log in written)]
            cause = "; ".join(filter(None, said)) or "it left no log; see above"
        print(f"failed: {job.message or job.rule.name}: {cause}", file=sys.stderr)
    if stopped:
        words = "the same command goes on, and trainings from their last state"
        print(f"stopped: {words}", file=sys.stderr)


def _is_written(log: Path, since: float) -> bool:
    """Whether a log has been written to in this run."""
    try:
        about = log.stat()
    except OSError:
        return False
    return about.st_size > 0 and about.st_mtime >= since
