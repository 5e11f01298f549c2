"""Snakemake, its trainings or both are killed, stopped and started again."""

from __future__ import annotations

import os
import shutil
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from snakemake_helpers import (
    WEIGHTS,
    Study,
    assert_nothing_left,
    assert_same_result,
    new_study,
    untrained_copy,
    wait_until,
)

from pipeline_src.files import sha256_file

Seen = Callable[..., None]


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Study]:
    """The study after an uninterrupted run. Tests must leave it as they found it."""
    study = new_study(tmp_path_factory.mktemp("whole") / "project")
    study.run()
    yield study
    study.stop()


@pytest.fixture(scope="module", params=[False, True], ids=["processes", "forks"])
def forking(request: pytest.FixtureRequest) -> bool:
    """Whether trainings are processes of their own or forks of a server."""
    return bool(request.param)


@pytest.fixture
def study(whole: Study, forking: bool, tmp_path: Path) -> Iterator[Study]:
    """The study with its data, nothing trained yet."""
    study = untrained_copy(whole, tmp_path / "project", forking)
    yield study
    study.stop()


@pytest.fixture(scope="module")
def killed(
    whole: Study, forking: bool, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Study]:
    """The study after a run without retries whose training was killed half-way."""
    study = untrained_copy(whole, tmp_path_factory.mktemp("killed") / "project", forking)
    run, training = study.start_and_catch()
    os.kill(training, signal.SIGKILL)
    assert run.end() == 1
    yield study
    study.stop()


@pytest.fixture
def after_kill(killed: Study, tmp_path: Path) -> Iterator[Study]:
    """A copy of it, to go on in."""
    shutil.copytree(killed.root, tmp_path / "project", symlinks=True)
    study = Study(tmp_path / "project", forking=killed.forking)
    yield study
    study.stop()


def test_a_retry_goes_on_from_the_state(study: Study, whole: Study, seen: Seen) -> None:
    run, training = study.start_and_catch("--retries", "2")
    os.kill(training, signal.SIGKILL)
    assert run.end() == 0, run.said()
    assert run.said().count("Trying to restart job") == 1
    assert "goes on after" in study.training_log()
    assert_same_result(study, whole)
    seen("SIGKILL of the training, --retries 2", study.trains, 1, "the retry went on; same bits")


def test_without_retries_snakemake_names_the_job_and_the_next_run_goes_on(
    killed: Study, after_kill: Study, whole: Study, seen: Seen
) -> None:
    _, error = killed.runs[0].said().split("Error in rule train:\n")
    assert WEIGHTS in error
    assert "logs/train/heart_4x_seed0_teacher.log" in error
    after_kill.run()
    assert "goes on after" in after_kill.training_log()
    assert after_kill.recorded_runs() == 2
    assert_same_result(after_kill, whole)
    seen(
        "SIGKILL of the training, no retries",
        after_kill.trains,
        1,
        "job named; same bits when run again",
    )


def test_another_learning_rate_after_a_kill_trains_anew(
    after_kill: Study, whole: Study, seen: Seen
) -> None:
    path = after_kill.root / "tiny.yaml"
    path.write_text(path.read_text().replace("learning_rate: 0.001", "learning_rate: 0.002"))
    after_kill.run()
    assert "not resumed, it is the state of another training" in after_kill.training_log()
    assert "goes on after" not in after_kill.training_log()
    assert after_kill.recorded_runs() == 1
    assert sha256_file(after_kill.root / WEIGHTS) != sha256_file(whole.root / WEIGHTS)
    assert_nothing_left(after_kill)
    seen(
        "learning rate changed after a kill",
        after_kill.trains,
        1,
        "refused with a line; trained anew",
    )


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_to_all_processes_stops_them_and_the_next_run_goes_on(
    number: signal.Signals, study: Study, whole: Study, seen: Seen
) -> None:
    """SIGINT is Ctrl-C; SIGTERM is what clusters, containers and `timeout` send."""
    run, _ = study.start_and_catch()
    run.send_to_all(number)
    assert run.end() == 1, run.said()
    study.wait_until_not_training()
    assert f"stopped by {number.name} in stage" in study.training_log()
    assert "\nstopped: the same command goes on" in run.said()
    assert (study.teacher / "training.state").exists()
    assert not (study.root / WEIGHTS).exists()
    assert not study.is_locked()
    study.run()
    assert "goes on after" in study.training_log()
    assert_same_result(study, whole)
    seen(f"{number.name} to all of Snakemake", study.trains, 1, "saved; same bits when run again")


def test_a_training_that_outlives_its_shell_is_told_as_stopped(
    study: Study, whole: Study, seen: Seen
) -> None:
    run, training = study.start_and_catch()
    # Its shell ends by the signal, and Snakemake with it, before it can say that it stops.
    os.kill(training, signal.SIGSTOP)
    run.send_to_all(signal.SIGTERM)
    assert run.end() == 1, run.said()
    os.kill(training, signal.SIGCONT)
    study.wait_until_not_training()
    assert "\nfailed: " not in run.said()
    assert "\nstopped: the same command goes on" in run.said()
    study.run()
    assert_same_result(study, whole)
    seen("SIGTERM, the shell ends first", study.trains, 1, "told as stopped; same bits")


def test_sigterm_to_snakemake_alone_lets_the_training_finish_and_starts_nothing_more(
    study: Study, whole: Study, seen: Seen
) -> None:
    pupil = WEIGHTS.replace("teacher", "std_kd_at")
    run, _ = study.start_and_catch(target=pupil)
    run.send(signal.SIGTERM)
    assert run.end() == 1, run.said()
    assert study.recorded_runs() == 1
    assert_same_result(study, whole)
    plan = study.run("-n", target=pupil)
    assert "Training std_kd_at" in plan
    assert "Training teacher" not in plan
    seen("SIGTERM to Snakemake alone", study.trains, 1, "training finished first; nothing to redo")


def test_a_new_snakemake_waits_for_the_training_of_one_that_was_killed(
    study: Study, whole: Study, seen: Seen
) -> None:
    run, training = study.start_and_catch()
    # It must not end before the new one has met it.
    os.kill(training, signal.SIGSTOP)
    run.send(signal.SIGKILL)
    run.end()
    refused = study.start("--quiet", "all")
    assert refused.end() == 1
    assert f"stopped: another snakemake works in {study.root}, or was killed" in refused.said()
    study.run("--unlock")
    new = study.start()
    wait_until(lambda: f"waiting for process {training} on" in study.training_log(), "its wait")
    assert not (study.root / WEIGHTS).exists()
    os.kill(training, signal.SIGCONT)
    assert new.end() == 0, new.said()
    assert "goes on after" in study.training_log()
    assert study.recorded_runs() == 2
    assert_same_result(study, whole)
    seen("SIGKILL of Snakemake alone", study.trains, 1, "the new one waited and went on; same bits")


def test_a_training_stops_when_its_snakemake_is_killed(
    study: Study, whole: Study, seen: Seen
) -> None:
    """Or it would end with a result of which no Snakemake knows."""
    run, _ = study.start_and_catch()
    run.send(signal.SIGKILL)
    run.end()
    study.wait_until_not_training()
    assert not (study.root / WEIGHTS).exists()
    study.run("--unlock")
    study.run()
    assert "goes on after" in study.training_log()
    assert study.recorded_runs() == 2
    assert_same_result(study, whole)
    seen("... and nothing else", study.trains, 1, "the training stopped by itself; same bits later")
