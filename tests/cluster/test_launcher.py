"""Snakemake dies or goes deaf while its jobs run; and what it is spared."""

from __future__ import annotations

import os
import signal

from cluster_helpers import EPOCHS, ClusterStudy
from slurm_node import SlurmNode
from snakemake_helpers import WEIGHTS, Run, assert_same_result
from waiting import wait_until

from pipeline_src.operations.cluster.launcher import snakemake_in
from pipeline_src.running.interruption import is_alive


def kill_snakemake(study: ClusterStudy) -> None:
    """The one that submits, and no other."""
    process = snakemake_in(study.root)
    assert process is not None
    os.kill(process, signal.SIGKILL)
    wait_until(lambda: not is_alive(process), "its end")


def test_snakemake_killed(study: ClusterStudy, undisturbed: ClusterStudy) -> None:
    run = study.launch()
    study.wait_until_training()
    kill_snakemake(study)
    study.assert_resumed(undisturbed, run)
    said = run.said()
    assert "Snakemake was killed (SIGKILL); starting it again" in said
    assert "cancelling 1 jobs that an earlier Snakemake left behind: train heart_4x_0" in said


def test_a_configuration_edited_before_snakemake_is_killed(
    study: ClusterStudy, undisturbed: ClusterStudy
) -> None:
    """The study goes on as it was begun: the file may be for the next one by now."""
    run = study.launch()
    study.wait_until_training()
    file = study.root / "tiny.yaml"
    file.write_text(file.read_text().replace(f"epochs: {EPOCHS}", "epochs: 2"))
    kill_snakemake(study)
    study.assert_resumed(undisturbed, run)
    assert "launch: goes on with results/tiny/config.yaml" in run.said()


def test_killed_with_its_launcher_and_waited_for(
    study: ClusterStudy, undisturbed: ClusterStudy
) -> None:
    """What the orphan has trained to its end is taken as it is."""
    first = study.launch()
    study.wait_until_training()
    first.send(signal.SIGKILL)
    kill_snakemake(study)
    second = study.launch(launcher=("--orphans", "wait"))
    assert second.end() == 0, second.said()
    assert "waiting for 1 jobs that an earlier Snakemake left behind" in second.said()
    assert "complete; the same training has ended before" in study.training_log()
    assert study.recorded_runs() == 1
    assert_same_result(study, undisturbed)


def test_plain_snakemake_killed_and_submitted_again(
    study: ClusterStudy, undisturbed: ClusterStudy
) -> None:
    """Without the launcher too a training is never done twice at once: its second job waits."""
    study.submit()
    study.wait_until_training()
    trains = study.training()
    # Held, since it could end before the second job begins.
    os.kill(trains, signal.SIGSTOP)
    try:
        kill_snakemake(study)
        assert study.start_command("snakemake", "--unlock").end() == 0
        second = study.submit()
        wait_until(lambda: "waiting for process" in study.training_log(), "the second job")
    finally:
        os.kill(trains, signal.SIGCONT)
    assert second.end() == 0, second.said()
    assert_same_result(study, undisturbed)
    assert study.recorded_runs() == 1


def test_second_launcher_refuses(study: ClusterStudy) -> None:
    first = study.launch()
    wait_until(lambda: "submitted" in first.said(), "a job")
    second = study.launch()
    assert second.end() == 2
    assert second.said().startswith("error: ")
    assert "is launching here already" in second.said()
    _interrupt(first)


def test_snakemake_that_runs_is_left_alone(study: ClusterStudy) -> None:
    first = study.submit()
    wait_until(lambda: "submitted" in first.said(), "a job")
    second = study.launch()
    assert second.end() == 2
    assert f"Snakemake runs here as process {first.process.pid}" in second.said()
    _interrupt(first)


def test_lock_of_an_unknown_snakemake_is_not_taken_unasked(
    study: ClusterStudy, undisturbed: ClusterStudy
) -> None:
    study.submit()
    study.wait_until_training()
    kill_snakemake(study)
    refused = study.launch()
    assert refused.end() == 2
    assert "launch with --unlock" in refused.said()
    study.assert_resumed(undisturbed, study.launch(launcher=("--unlock",)))


def test_interrupted_launcher_leaves_no_job(study: ClusterStudy, node: SlurmNode) -> None:
    run = study.launch()
    study.wait_until_training()
    _interrupt(run)
    wait_until(lambda: not node.squeue(), "jobs to end")
    assert (study.root / WEIGHTS).parent.joinpath("training.state").exists()


def _interrupt(run: Run) -> None:
    run.send(signal.SIGINT)
    assert run.end() != 0
