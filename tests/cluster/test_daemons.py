"""SLURM's own daemons fail, and nodes go: jobs and Snakemake get over it."""

from __future__ import annotations

import signal
import time

from cluster_helpers import ClusterStudy
from slurm_node import SlurmNode
from snakemake_helpers import WEIGHTS, assert_same_result
from waiting import wait_until


def test_slurmd_killed_and_started_again(
    study: ClusterStudy, undisturbed: ClusterStudy, node: SlurmNode
) -> None:
    """The job itself lives on; its end is told to the new daemon."""
    run = study.launch()
    study.wait_until_training()
    node.kill("slurmd", signal.SIGKILL)
    time.sleep(3)
    node.start_slurmd()
    assert run.end() == 0, run.said()
    assert_same_result(study, undisturbed)
    assert study.recorded_runs() == 1


def test_slurmctld_away_for_a_minute(
    study: ClusterStudy, undisturbed: ClusterStudy, node: SlurmNode
) -> None:
    """The training ends meanwhile, and is taken as it is, whatever became of its job: the plugin
    turns to accounting, of which there is none here, and never hears of its jobs again."""
    run = study.launch(launcher=("--grace", "0.5"))
    study.wait_until_training()
    node.kill("slurmctld")
    time.sleep(60)
    wait_until((study.root / WEIGHTS).exists, "the training's end")
    node.start_slurmctld()
    assert run.end() == 0, run.said()
    said = run.said()
    assert said.index("SLURM does not answer") < said.index("SLURM answers again")
    assert "has not noticed the end of these jobs" in said
    assert "complete; the same training has ended before" in study.training_log()
    assert_same_result(study, undisturbed)
    assert study.recorded_runs() == 1


def test_drained_node(study: ClusterStudy, undisturbed: ClusterStudy, node: SlurmNode) -> None:
    """Its running job ends in peace; what waits for it is told to people."""
    node.update(state="drain", reason="new_cables")
    try:
        run = study.launch(launcher=("--silence", "0.1"))
        wait_until(lambda: "new_cables" in run.said(), "the launcher's report")
    finally:
        node.update(state="resume")
    said = run.said()
    assert "no progress" in said
    assert "(train heart_4x_0_teacher): PENDING" in said
    assert f"node {node.host} is drained: new_cables" in said
    study.wait_until_training()
    node.update(state="drain", reason="new_cables")
    try:
        assert run.end() == 0, run.said()
    finally:
        node.update(state="resume")
    assert_same_result(study, undisturbed)
    assert study.recorded_runs() == 1
