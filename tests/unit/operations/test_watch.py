"""What the launcher reads of Snakemake's lines, and what it holds against SLURM's."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from pipeline_src.operations.cluster.slurm import Job, accounted_for, jobs_of
from pipeline_src.operations.cluster.watch import Watch, describe

LINES = """\
Job 8 has been submitted with SLURM jobid 70 (log: /x/rule_train_sft_teacher/70.log).
Job 9 has been submitted with SLURM jobid 71 (log: /x/rule_train/71.log).
Job 10 has been submitted with SLURM jobid 72 (log: /x/rule_train/72.log).
[Sun Nov 22 15:00:48 2026]
Finished jobid: 9 (Rule: train)
Error in rule train:
    message: SLURM-job '72' failed, SLURM status is: 'TIMEOUT'.
    jobid: 10
    external_jobid: 72
Trying to restart job 10.
Job 10 has been submitted with SLURM jobid 73 (log: /x/rule_train/73.log).
"""
NAME = "rule_train_wildcards_heart_4x_0_teacher"


@pytest.fixture
def watch() -> Watch:
    watch = Watch()
    for line in LINES.splitlines():
        watch.read(line)
    return watch


def job(number: str, state: str, reason: str = "None") -> Job:
    return Job(number, state, reason, NAME)


def test_active_jobs_are_those_not_seen_to_end(watch: Watch) -> None:
    assert watch.active == {"8": "70", "10": "73"}
    assert watch.finished == 1


def test_ended_and_unknown_jobs_are_overlooked_after_a_while(watch: Watch) -> None:
    watch.compare({"70": job("70", "COMPLETED")}, now=100)
    assert watch.overlooked(now=109, grace=10) == []
    watch.compare({"70": job("70", "COMPLETED"), "73": job("73", "RUNNING")}, now=111)
    # The other was only not listed for a moment.
    assert watch.overlooked(now=111, grace=10) == ["70"]


def test_failed_jobs_are_overlooked_sooner_since_no_files_are_waited_for(watch: Watch) -> None:
    jobs = {"70": job("70", "CANCELLED"), "73": job("73", "COMPLETED")}
    watch.compare(jobs, now=0)
    assert watch.overlooked(now=4, grace=10) == []
    assert watch.overlooked(now=5, grace=10) == ["70"]
    assert watch.overlooked(now=11, grace=10) == ["70", "73"]


@pytest.mark.parametrize("comment", ["", NAME])
def test_what_squeue_has_forgotten_is_asked_of_accounting(
    comment: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sacct = tmp_path / "sacct"
    sacct.write_text(
        "#!/bin/sh\n"
        f'echo "$@" > {tmp_path}/asked\n'
        f"echo '7|CANCELLED by 1000|None|{comment}'\necho '8|COMPLETED|None|{comment}'\n"
    )
    sacct.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    found = accounted_for(["7", "8"])
    assert [(job.number, job.state, job.ended) for job in found] == [
        ("7", "CANCELLED", True),
        ("8", "COMPLETED", True),
    ]
    assert "--jobs=7,8" in (tmp_path / "asked").read_text()
    named = " (train heart_4x_0_teacher)" if comment else ""
    assert describe("7", found[0]) == f"job 7{named}: CANCELLED"


@pytest.mark.parametrize("variable", ["LOGNAME", "USER"])
def test_jobs_are_asked_for_by_the_users_number(
    variable: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The name that the environment gives may be another's, and there would be no job of his."""
    squeue = tmp_path / "squeue"
    squeue.write_text(
        f'#!/bin/sh\ncase "$*" in *--user={os.getuid()}\\ *) '
        f"echo '7|RUNNING|None|{NAME}|{tmp_path}';; esac\n"
    )
    squeue.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    monkeypatch.setenv(variable, "somebody")
    found = jobs_of(tmp_path)
    assert found is not None
    assert [one.number for one in found] == ["7"]


def test_without_accounting_it_stays_unknown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert accounted_for(["7"]) == []
    assert accounted_for([]) == []


def test_a_job_that_snakemake_notices_is_not_overlooked(watch: Watch) -> None:
    jobs = {"70": job("70", "COMPLETED"), "73": job("73", "RUNNING")}
    watch.compare(jobs, now=0)
    watch.read("Finished jobid: 8 (Rule: train_sft_teacher)")
    watch.compare(jobs, now=50)
    assert watch.overlooked(now=50, grace=10) == []


@pytest.mark.parametrize(
    ("found", "text"),
    [
        (None, "job 7: SLURM does not know it (any more)"),
        (job("7", "RUNNING"), "job 7 (train heart_4x_0_teacher): RUNNING"),
        (
            job("7", "PENDING", "NewReason"),
            "job 7 (train heart_4x_0_teacher): PENDING, NewReason",
        ),
    ],
)
def test_jobs_are_described(found: Job | None, text: str) -> None:
    assert describe("7", found) == text


@pytest.mark.parametrize(
    ("reason", "advice"),
    [
        (
            "PartitionTimeLimit",
            "asks for more time than its partition allows; choose another in the profile",
        ),
        (
            "ReqNodeNotAvail, UnavailableNodes:n1",
            "a node that it needs is down, drained or reserved",
        ),
        (
            "PartitionConfig",
            "no node of its partition has the processors, memory or GPUs that it asks for",
        ),
        (
            "AssocMaxWallDurationPerJobLimit",
            "asks for more than your account's limit of one job",
        ),
        ("QOSGrpGRES", "a limit of its QOS is reached"),
        ("QOSMinGRES", "asks for less than its QOS requires"),
        ("QOSNotAllowed", "its account or partition does not allow its QOS; see doctor"),
    ],
)
def test_why_a_job_waits_is_explained(reason: str, advice: str) -> None:
    said = describe("7", job("7", "PENDING", reason))
    assert said == f"job 7 (train heart_4x_0_teacher): PENDING, {reason}: {advice}"
