"""Two nodes with accounting, where it can be started: it is not what CI installs."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from cluster_helpers import ClusterStudy, new_cluster_study, user_study
from slurm_node import SlurmNode
from snakemake_helpers import assert_same_result
from two_nodes import TwoNodes, two_nodes, why_no_accounting, why_no_namespace


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


def test_a_job_cancelled_where_snakemake_asks_accounting(
    accounting: TwoNodes, undisturbed: ClusterStudy, tmp_path: Path
) -> None:
    """The plugin never notices the end of a cancelled job by `sacct`; the launcher does, and says
    what SLURM knows of it."""
    study = user_study(new_cluster_study(tmp_path / "cancelled" / "project"), accounting)
    run = study.launch("--slurm-status-command", "sacct", launcher=("--grace", "0.5"))
    study.wait_until_training()
    [job] = [job for job in accounting.jobs() if job["JobState"] == "RUNNING"]
    assert job["Account"] == "mri"
    accounting.run("scancel", job["JobId"])
    assert run.end() == 0, run.said()
    said = run.said()
    assert "Snakemake has not noticed the end of these jobs" in said
    assert f"job {job['JobId']} (train heart_4x_0_teacher): CANCELLED" in said
    lines = accounting.run("sacct", "-X", "-n", "-P", "--allusers", "--format=State,User")
    assert lines.splitlines()[-1] == "COMPLETED|researcher"
    assert_same_result(study, undisturbed)
