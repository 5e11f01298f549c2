"""Two nodes, and a user who is not root."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from cluster_helpers import ClusterStudy, new_cluster_study, new_grid, user_study
from slurm_node import SlurmNode
from snakemake_helpers import assert_same_result
from test_grid import results
from two_nodes import USER_ID, TwoNodes, two_nodes, why_no_namespace


@pytest.fixture(scope="module")
def cluster(node: SlurmNode) -> Iterator[TwoNodes]:
    """Beside the tests' SLURM of one node, for which it is skipped where that one is."""
    if reason := why_no_namespace():
        pytest.skip(f"no mount namespace: {reason}")
    # Not below pytest's folders, which only their owner may enter.
    with tempfile.TemporaryDirectory(prefix="slurm") as folder, two_nodes(Path(folder)) as found:
        yield found


def test_the_grid_runs_on_both_nodes(cluster: TwoNodes, tmp_path: Path) -> None:
    here = new_grid(tmp_path / "here" / "project")
    here.run(target="all")
    there = user_study(new_grid(tmp_path / "there" / "project"), cluster)
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
    study = user_study(new_cluster_study(tmp_path / "lost" / "project"), cluster)
    run = study.launch()
    study.wait_until_training()
    [job] = [job for job in cluster.jobs() if job["JobState"] == "RUNNING"]
    with cluster.lost(job["NodeList"]):
        assert run.end() == 0, run.said()
        [again] = [one for one in cluster.jobs() if one["JobId"] == job["JobId"]]
        assert (again["JobState"], again["Restarts"]) == ("COMPLETED", "1")
        assert again["NodeList"] != job["NodeList"]
    runs = json.loads((study.teacher / "manifest.json").read_text())["runs"]
    assert len(runs) > 1
    assert_same_result(study, undisturbed)
