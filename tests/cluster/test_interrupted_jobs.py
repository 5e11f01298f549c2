"""What SLURM and its users do to a job: after each, the same weights as without it."""

from __future__ import annotations

import os
import signal

from cluster_helpers import ClusterStudy, slurm
from slurm_node import SlurmNode
from snakemake_helpers import assert_same_result


def test_scancel(study: ClusterStudy, undisturbed: ClusterStudy) -> None:
    run = study.launch()
    study.wait_until_training()
    slurm("scancel", study.job())
    study.assert_resumed(undisturbed, run)
    assert "CANCELLED" in run.said()


def test_warning_before_the_time_limit(study: ClusterStudy, undisturbed: ClusterStudy) -> None:
    """The signal of `sbatch --signal`, sent as SLURM sends it: to all processes of the steps."""
    run = study.launch()
    study.wait_until_training()
    slurm("scancel", "--signal=USR1", study.job())
    study.assert_resumed(undisturbed, run)


def test_requeue(study: ClusterStudy, undisturbed: ClusterStudy) -> None:
    run = study.launch()
    study.wait_until_training()
    job = study.job()
    slurm("scontrol", "requeue", job)
    study.assert_resumed(undisturbed, run)
    assert run.said().count("has been submitted") == 1


def test_preemption_that_requeues(
    study: ClusterStudy, undisturbed: ClusterStudy, node: SlurmNode
) -> None:
    run = study.launch(train="scavenge_requeue")
    study.wait_until_training()
    node.occupy("urgent", seconds=5)
    study.assert_resumed(undisturbed, run)
    assert run.said().count("has been submitted") == 1


def test_preemption_that_cancels(
    study: ClusterStudy, undisturbed: ClusterStudy, node: SlurmNode
) -> None:
    """The plugin alone would wait for ever: for it PREEMPTED is a job that will come back."""
    run = study.launch(train="scavenge_cancel")
    study.wait_until_training()
    node.occupy("urgent", seconds=5)
    study.assert_resumed(undisturbed, run)
    assert "was preempted; it is back in the queue" in run.said()


def test_memory_limit(study: ClusterStudy, undisturbed: ClusterStudy) -> None:
    run = study.launch(train="gpu mem_mb=220+900*(attempt-1)")
    assert run.end() == 0, run.said()
    # Whether the whole job or a process of it is called OUT_OF_MEMORY is a matter of chance.
    logs = (study.root / ".snakemake/slurm_logs").rglob("*.log")
    assert any("oom-kill" in log.read_text() for log in logs), run.said()
    assert_same_result(study, undisturbed)


def test_time_limit(study: ClusterStudy, undisturbed: ClusterStudy) -> None:
    """A minute is SLURM's shortest limit; the training stands still until it is over."""
    run = study.launch(train="gpu runtime=1")
    study.wait_until_training()
    os.kill(study.training(), signal.SIGSTOP)
    study.assert_resumed(undisturbed, run)
    assert "TIMEOUT" in run.said()
