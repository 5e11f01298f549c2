"""A whole grid as SLURM's jobs, against the same grid run here."""

from __future__ import annotations

import json
import re
import threading
import time
from functools import partial

import pytest
from cluster_helpers import ClusterStudy, new_grid
from slurm_node import SlurmNode
from snakemake_helpers import assert_same_result
from waiting import wait_until

from pipeline_src.files import sha256_file

#: What becomes a cluster job; masks, tables, figures and the page are too small.
SUBMITTED = {
    *("prepare", "train", "train_sft_teacher", "train_control", "distil"),
    *("evaluate", "evaluate_zero_filled", "cost"),
}


JOBS = 3
queued: list[int] = []


@pytest.fixture(scope="module")
def grids(
    node: SlurmNode, tmp_path_factory: pytest.TempPathFactory
) -> tuple[ClusterStudy, ClusterStudy]:
    """The same grid, run here and on the cluster; ``queued`` is how many jobs were seen there."""
    here = new_grid(tmp_path_factory.mktemp("here") / "project")
    here.run(target="all")
    there = new_grid(tmp_path_factory.mktemp("there") / "project")
    run = there.launch("--jobs", str(JOBS), target="all", train="")
    while run.process.poll() is None:
        queued.append(len(node.squeue()))
        time.sleep(0.2)
    assert run.end() == 0, run.said()
    return here, there


def results(study: ClusterStudy) -> dict[str, str]:
    """Digests of all numbers: weights, histories, metrics, tables."""
    root = study.root / "results" / "tiny"
    found = [p for kind in ("*.safetensors", "*.csv", "*.h5", "*.npz") for p in root.rglob(kind)]
    # Times differ from run to run, and with them what holds them.
    timed = re.compile(r"history_|cost|all_numbers|/benchmarks/")
    return {
        str(p.relative_to(root)): sha256_file(p)
        for p in found
        if not timed.search(str(p.relative_to(root)))
    }


def test_results_are_those_of_a_local_run(grids: tuple[ClusterStudy, ClusterStudy]) -> None:
    here, there = map(results, grids)
    assert len(here) > 40
    assert here == there


def test_no_more_jobs_than_allowed(grids: tuple[ClusterStudy, ClusterStudy]) -> None:
    assert max(queued) == JOBS


def test_small_jobs_are_not_submitted(grids: tuple[ClusterStudy, ClusterStudy]) -> None:
    submitted = re.findall(r"/slurm_logs/rule_(\w+)/", grids[1].runs[0].said())
    assert set(submitted) == SUBMITTED


def test_each_training_had_one_gpu_of_its_own(grids: tuple[ClusterStudy, ClusterStudy]) -> None:
    runs = []
    for path in (grids[1].root / "results/tiny/heart/4x/seed0").glob("*/manifest.json"):
        [run] = json.loads(path.read_text())["runs"]
        runs.append(run)
    assert len({run["job"] for run in runs}) == len(runs) == 9
    assert {run["gpus"] for run in runs} == {"0", "1"}


def test_nothing_else_has_a_gpu(grids: tuple[ClusterStudy, ClusterStudy]) -> None:
    path = grids[1].root / "results/tiny/heart/4x/seed0/teacher/volumes.manifest.json"
    [run] = json.loads(path.read_text())["runs"]
    assert run["job"]
    assert not run["gpus"]


def test_files_that_appear_late(study: ClusterStudy, undisturbed: ClusterStudy) -> None:
    """A slow file system, simulated: the last file of a training is away for a while when the job
    looks for it, and again when Snakemake does."""
    manifest = study.teacher / "manifest.json"
    away = manifest.with_name("away")
    seen = []

    def hide(state: str) -> None:
        manifest.replace(away)
        # The job that has just written it goes on until it is there again.
        if study.is_in_state(state):
            seen.append(state)
        time.sleep(5)
        away.replace(manifest)

    def hide_twice() -> None:
        wait_until(manifest.exists, "the manifest")
        hide("R")
        wait_until(partial(study.is_in_state, "CD"), "the job's end")
        hide("CD")

    run = study.launch()
    hiding = threading.Thread(target=hide_twice)
    hiding.start()
    assert run.end() == 0, run.said()
    hiding.join()
    assert seen == ["R", "CD"]
    assert_same_result(study, undisturbed)
