"""Two nodes with accounting, where it can be started: it is not what CI installs."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from cluster_helpers import PROFILE, ClusterStudy, new_cluster_study, user_study
from slurm_node import SlurmNode
from snakemake_helpers import assert_same_result
from two_nodes import USER, TwoNodes, two_nodes, why_no_accounting, why_no_namespace
from waiting import wait_until

SACCT = ("--slurm-status-command", "sacct")


def running(cluster: TwoNodes) -> dict[str, str]:
    """The one job that runs."""
    [job] = [job for job in cluster.jobs() if job["JobState"] == "RUNNING"]
    return job


@pytest.fixture(scope="module")
def accounting(node: SlurmNode) -> Iterator[TwoNodes]:
    """A cluster of two nodes that keeps accounts."""
    if reason := why_no_namespace() or why_no_accounting():
        pytest.skip(reason)
    with (
        tempfile.TemporaryDirectory(prefix="slurm") as folder,
        two_nodes(Path(folder), accounting=True) as found,
    ):
        yield found


@pytest.fixture
def study(accounting: TwoNodes, tmp_path: Path) -> ClusterStudy:
    return user_study(new_cluster_study(tmp_path / tmp_path.name / "project"), accounting)


def test_a_job_cancelled_where_snakemake_asks_accounting(
    accounting: TwoNodes, study: ClusterStudy, undisturbed: ClusterStudy
) -> None:
    """The plugin never notices the end of a cancelled job by `sacct`; the launcher does, and says
    what SLURM knows of it."""
    run = study.launch(*SACCT, launcher=("--grace", "0.5"))
    study.wait_until_training()
    job = running(accounting)
    assert job["Account"] == "mri"
    accounting.run("scancel", job["JobId"])
    assert run.end() == 0, run.said()
    said = run.said()
    assert "Snakemake has not noticed the end of these jobs" in said
    assert f"job {job['JobId']} (train heart_4x_0_teacher): CANCELLED" in said
    lines = accounting.run("sacct", "-X", "-n", "-P", "--allusers", "--format=State,User")
    assert lines.splitlines()[-1] == "COMPLETED|researcher"
    assert_same_result(study, undisturbed)


def test_a_job_requeued(
    accounting: TwoNodes, study: ClusterStudy, undisturbed: ClusterStudy
) -> None:
    run = study.launch(*SACCT)
    study.wait_until_training()
    accounting.run("scontrol", "requeue", running(accounting)["JobId"])
    study.assert_resumed(undisturbed, run)


def test_a_node_lost(accounting: TwoNodes, study: ClusterStudy, undisturbed: ClusterStudy) -> None:
    run = study.launch(*SACCT)
    study.wait_until_training()
    with accounting.lost(running(accounting)["NodeList"]):
        study.assert_resumed(undisturbed, run)


def test_a_controller_that_lost_its_jobs(
    accounting: TwoNodes, study: ClusterStudy, undisturbed: ClusterStudy
) -> None:
    """It starts with nothing, while accounting has the training as running. The node ends it, or it
    goes on to its end and the next job waits for it."""
    run = study.launch(*SACCT, launcher=("--grace", "0.5"))
    study.wait_until_training()
    accounting.restart_controller(state_is_lost=True)
    assert run.end() == 0, run.said()
    assert_same_result(study, undisturbed)


def test_a_limit_of_the_account(
    accounting: TwoNodes, study: ClusterStudy, undisturbed: ClusterStudy
) -> None:
    """The launcher says what the training waits for, and goes on when it may."""
    accounting.run("sacctmgr", "-i", "modify", "account", "mri", "set", "GrpTRES=gres/gpu=0")
    try:
        run = study.launch(*SACCT, launcher=("--silence", "0.1"))
        wait_until(lambda: "AssocGrpGRES: your account's limit" in run.said(), "the reason", 90)
    except AssertionError:
        raise AssertionError(run.said() + str(accounting.jobs())) from None
    finally:
        accounting.run("sacctmgr", "-i", "modify", "account", "mri", "set", "GrpTRES=gres/gpu=-1")
    assert run.end() == 0, run.said()
    assert_same_result(study, undisturbed)


def test_a_limit_of_submitted_jobs(accounting: TwoNodes, study: ClusterStudy) -> None:
    """SLURM refuses what is beyond it: the closing line says so, and the doctor before."""
    limit = ("sacctmgr", "-i", "modify", "user", USER, "set")
    accounting.run(*limit, "MaxSubmitJobs=0")
    try:
        doctor = study.start_command("pipeline_src", "doctor", "--profile", PROFILE)
        assert doctor.end() == 1, doctor.said()
        run = study.launch(*SACCT, "--retries", "0")
        assert run.end() == 1, run.said()
    finally:
        accounting.run(*limit, "MaxSubmitJobs=-1")
    assert f"jobs: 100, but SLURM takes 0 of {USER} at a time" in doctor.said()
    [told] = [line for line in run.said().splitlines() if line.startswith("failed: ")]
    assert "SLURM refuses it: " in told
    assert "job submit limit" in told
