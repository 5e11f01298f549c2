"""Two nodes, and a user who is not root."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from cluster_helpers import ClusterStudy, new_cluster_study, new_grid
from slurm_node import SlurmNode, wait_until
from snakemake_helpers import Study, assert_same_result
from test_grid import results
from two_nodes import USER_ID, TwoNodes, two_nodes, why_no_accounting, why_no_namespace


@pytest.fixture(scope="module")
def cluster(node: SlurmNode) -> Iterator[TwoNodes]:
    """Beside the tests' SLURM of one node, for which it is skipped where that one is."""
    if reason := why_no_namespace():
        pytest.skip(f"no mount namespace: {reason}")
    # Not below pytest's folders, which only their owner may enter.
    with tempfile.TemporaryDirectory(prefix="slurm") as folder, two_nodes(Path(folder)) as found:
        yield found


@pytest.fixture(scope="module")
def accounting(node: SlurmNode) -> Iterator[TwoNodes]:
    """The same with accounting, where that can be started: it is not what CI installs."""
    if reason := why_no_namespace() or why_no_accounting():
        pytest.skip(reason)
    with (
        tempfile.TemporaryDirectory(prefix="slurm") as folder,
        two_nodes(Path(folder), accounting=True) as found,
    ):
        yield found


def as_user(study: Study, cluster: TwoNodes) -> ClusterStudy:
    """The same study, of the cluster's user."""
    root = cluster.folder / "home" / study.root.parent.name
    study.root.rename(root)
    cluster.give_to_user(root)
    return ClusterStudy(root, before=cluster.as_user(root))


def test_the_grid_runs_on_both_nodes(cluster: TwoNodes, tmp_path: Path) -> None:
    here = new_grid(tmp_path / "here" / "project")
    here.run(target="all")
    there = as_user(new_grid(tmp_path / "there" / "project"), cluster)
    run = there.launch(target="all", train="")
    assert run.end() == 0, run.said()
    assert results(there) == results(here)
    jobs = cluster.jobs()
    assert {job["NodeList"] for job in jobs} == {"node1", "node2"}
    assert {job["JobState"] for job in jobs} == {"COMPLETED"}
    assert {job["UserId"] for job in jobs} == {f"researcher({USER_ID})"}
    made = (there.root / "results").rglob("*")
    assert {path.stat().st_uid for path in made} == {int(USER_ID)}


def test_a_node_is_lost_with_its_jobs(
    cluster: TwoNodes, undisturbed: ClusterStudy, tmp_path: Path
) -> None:
    """SLURM puts the job back, and the other node takes the training up."""
    study = as_user(new_cluster_study(tmp_path / "lost" / "project"), cluster)
    run = study.launch()
    study.wait_until_training()
    [job] = [job for job in cluster.jobs() if job["JobState"] == "RUNNING"]
    lost = job["NodeList"]
    cluster.lose(lost)
    try:
        assert run.end() == 0, run.said()
        [again] = [one for one in cluster.jobs() if one["JobId"] == job["JobId"]]
        assert (again["JobState"], again["Restarts"]) == ("COMPLETED", "1")
        assert again["NodeList"] != lost
    finally:
        cluster.start_node(lost)
        wait_until(lambda: cluster.states() == ["idle", "idle"], "the lost node")
    runs = json.loads((study.teacher / "manifest.json").read_text())["runs"]
    assert len(runs) > 1
    assert_same_result(study, undisturbed)


def test_a_job_cancelled_where_snakemake_asks_accounting(
    accounting: TwoNodes, undisturbed: ClusterStudy, tmp_path: Path
) -> None:
    """The plugin never notices the end of a cancelled job by `sacct`; the launcher does, and says
    what SLURM knows of it."""
    study = as_user(new_cluster_study(tmp_path / "cancelled" / "project"), accounting)
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
