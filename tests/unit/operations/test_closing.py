"""What a run of Snakemake says at its end."""

from __future__ import annotations

import os
from collections.abc import Collection
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from snakemake.exceptions import LockException, WorkflowError, print_exception
from snakemake.logging import logger

from pipeline_src.operations import closing

STARTED = 1_000_000_000
#: As the plugin for SLURM passes on what `sbatch` prints.
REFUSAL = """\
SLURM sbatch failed. The error message was 'sbatch: error: invalid partition specified: a100
sbatch: error: Batch job submission failed: Invalid partition name specified'.
    sbatch call:
        sbatch --parsable --job-name '5f'
"""
REFUSED = (
    "SLURM refuses it: invalid partition specified: a100; Batch job submission failed: Invalid "
    "partition name specified; see python -m pipeline_src doctor --profile PROFILE"
)
HINT = "For further error details see the cluster/cloud log and the log files of the rule(s)."


class Job(SimpleNamespace):
    """A job of Snakemake, which keeps jobs in sets."""

    def __hash__(self) -> int:
        return int(self.jobid)


def tell_causes(
    config: Path,
    failed: Collection[Job],
    running: Collection[Job] = (),
    asked: str | None = None,
) -> None:
    """At the end of a run with such jobs; ``asked`` is how Snakemake was asked to stop."""
    scheduler = SimpleNamespace(failed=failed, running=running, _user_kill=asked)
    workflow: Any = SimpleNamespace(remote_exec=False, scheduler=scheduler)
    closing.tell_causes(workflow, config)


@pytest.mark.parametrize(
    ("written", "log", "said", "expected"),
    [
        (STARTED + 9, "error: no data", f"SLURM-job '7' failed. {HINT}", "error: no data"),
        (STARTED + 9, "begun", f"SLURM-job '7' failed. {HINT}", "SLURM-job '7' failed.; see {log}"),
        (STARTED + 9, "begun", None, "see {log}"),
        (STARTED - 9, "error: no data", f"Not submitted:\nscript\n{HINT}", "Not submitted"),
        (None, "", REFUSAL + HINT, REFUSED),
        (STARTED - 9, "error: no data", None, "it left no log; see above"),
        (None, "", HINT, "it left no log; see above"),
    ],
)
def test_a_failed_job_is_told_with_what_this_run_knows_of_it(
    written: int | None,
    log: str,
    said: str | None,
    expected: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    path, config = tmp_path / "heart.log", tmp_path / "config.yaml"
    config.touch()
    os.utime(config, (STARTED, STARTED))
    if written:
        path.write_text(log)
        os.utime(path, (written, written))
    reports = closing._Reports()
    monkeypatch.setattr(closing, "_reports", reports)
    monkeypatch.setattr(logger, "handlers", [])
    closing.listen_to_errors()
    logger.error("Error in rule prepare", extra={"rule_msg": said, "jobid": 4})
    job = Job(jobid=4, log=[str(path)], message="Preparing heart")
    tell_causes(config, failed={job})
    told = capsys.readouterr().err
    assert told == f"failed: Preparing heart: {expected.format(log=path)}\n"


@pytest.mark.parametrize("left", [None, ""], ids=["no-log", "empty-log"])
def test_the_clusters_log_is_named_where_the_step_wrote_none(
    left: str | None,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """As of a node on which Snakemake itself cannot start."""
    own, cluster, config = (tmp_path / name for name in ("heart.log", "31.log", "config.yaml"))
    config.touch()
    if left is not None:
        own.write_text(left)
    cluster.write_text("libfoo.so: cannot open shared object file\n")
    reports = closing._Reports()
    monkeypatch.setattr(closing, "_reports", reports)
    monkeypatch.setattr(logger, "handlers", [])
    closing.listen_to_errors()
    said = {"rule_msg": "SLURM-job '31' failed", "jobid": 4, "log": [str(own), str(cluster)]}
    logger.error("Error in rule prepare", extra=said)
    tell_causes(config, failed={Job(jobid=4, log=[str(own)], message="Preparing heart")})
    told = capsys.readouterr().err
    assert told == f"failed: Preparing heart: SLURM-job '31' failed; see {cluster}\n"


@pytest.mark.parametrize("refused", [LockException(), WorkflowError("no such rule")])
def test_a_locked_folder_is_told_where_snakemake_is_quiet(
    refused: Exception,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(logger, "handlers", [])
    monkeypatch.chdir(tmp_path)
    closing.listen_to_errors()
    print_exception(refused)
    told = capsys.readouterr().err
    locked = isinstance(refused, LockException)
    assert told.startswith(f"stopped: another snakemake works in {tmp_path}") == locked
    assert told.count("\n") == locked


SAID = "\nstopped by SIGINT in stage reconstruction; the same command goes on"


@pytest.mark.parametrize(
    ("said", "noticed", "asked"),
    [(SAID, True, None), (SAID, False, None), ("", True, "graceful")],
    ids=["failed", "running", "shell-ended-first"],
)
def test_a_run_that_was_stopped_says_how_it_goes_on(
    said: str, noticed: bool, asked: str | None, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """After Ctrl-C no job counts as failed; those that a signal ended before that do, and after
    SIGTERM some of them before their training has said that it stops."""
    log, config = tmp_path / "teacher.log", tmp_path / "config.yaml"
    config.touch()
    log.write_text(f"epoch 1{said}\n")
    job = Job(jobid=4, log=[str(log)], message="Training teacher")
    failed, running = ({job}, set()) if noticed else (set(), {job})
    tell_causes(config, failed, running, asked)
    told = capsys.readouterr().err
    assert told == "stopped: the same command goes on, and trainings from their last state\n"


def test_a_step_that_fails_by_itself_after_a_stop_is_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    log, config = tmp_path / "teacher.log", tmp_path / "config.yaml"
    config.touch()
    log.write_text("error: no data\n")
    job = Job(jobid=4, log=[str(log)], message="Training teacher")
    tell_causes(config, failed={job}, asked="graceful")
    assert capsys.readouterr().err == "failed: Training teacher: error: no data\n"
