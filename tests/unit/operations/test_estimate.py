"""What jobs ask for and what a study takes: told from its plan, and from how fast trainings are."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from estimate_helpers import even_speed

from pipeline_src.acceleration.graphs import Replayed
from pipeline_src.cli import main
from pipeline_src.config import Study
from pipeline_src.config.load import check_study
from pipeline_src.errors import InputError
from pipeline_src.operations.estimate import speed
from pipeline_src.operations.estimate.schedule import Task, longest_path, makespan
from pipeline_src.operations.estimate.speed import (
    CAPTURED_AFTER,
    Range,
    Speed,
    settled,
    speed_of_results,
)
from pipeline_src.operations.estimate.study import PRIORITY, count_slices, estimate, trainings
from pipeline_src.operations.estimate.work import (
    SliceCounts,
    activation_bytes,
    branch_cascades,
    evaluation_memory,
    evaluation_minutes,
    slices_of_store,
    training_bytes,
    training_memory,
    training_minutes,
    training_multiply_adds,
)
from pipeline_src.planning.plans import TrainingPlan
from pipeline_src.planning.study_models import Models
from pipeline_src.training.builder import Inputs

WriteConfig = Callable[[dict[str, Any]], Path]
ROOT = Path(__file__).resolve().parents[3]
SLICES = SliceCounts(train=40, validation=8, test=4, rows=96, columns=64)


@pytest.fixture
def study(tiny_study: dict[str, Any]) -> Study:
    return check_study(tiny_study, "the test")


def doubled(study: Study, **changes: Any) -> Models:
    return Models(study.model_copy(update={"training": study.training.model_copy(update=changes)}))


# Work.


def test_multiply_adds_of_a_standard_training(study: Study) -> None:
    plan = Models(study).plan("student", 0)
    per_pixel = 5 * 9 * (32 + 32 * 32 + 32)
    one = per_pixel * 96 * 64 + 5 * 96 * 96 * 64
    assert training_multiply_adds(plan, SLICES) == one * (3 * 40 + 8)


def test_sft_adds_the_student_cascades_of_its_branches(study: Study) -> None:
    models = Models(study)
    plan = models.plan("sft_teacher", 0)
    # Branches leave after cascades 1 to 4 of 5, and have 4, 3, 2, 1 student cascades.
    assert branch_cascades(plan) == 10
    teacher = training_multiply_adds(models.plan("teacher", 0), SLICES)
    student = training_multiply_adds(models.plan("student", 0), SLICES)
    assert training_multiply_adds(plan, SLICES) == teacher + 2 * student


def test_distillation_counts_both_stages_and_the_teacher_once(study: Study) -> None:
    models = Models(study)
    teacher = training_multiply_adds(models.plan("teacher", 0), SLICES)
    student = training_multiply_adds(models.plan("student", 0), SLICES)
    distilled = training_multiply_adds(models.plan("std_kd_at", 0), SLICES)
    assert distilled - 2 * student == teacher * (40 + 8) // (3 * 40 + 8)


def test_work_grows_with_epochs_and_memory_does_not(study: Study) -> None:
    one, two = (doubled(study, epochs=n).plan("teacher", 0) for n in (1, 2))
    assert training_multiply_adds(two, SLICES) == 2 * training_multiply_adds(one, SLICES)
    assert training_bytes(two, SLICES) == training_bytes(one, SLICES)


def test_features_are_those_of_a_batch(study: Study) -> None:
    one, two = (doubled(study, batch_size=n).plan("teacher", 0) for n in (2, 4))
    assert activation_bytes(one, SLICES) == 5 * 4 * 2 * 32 * 96 * 64 * 4
    assert activation_bytes(two, SLICES) == 2 * activation_bytes(one, SLICES)


# Limits.


def test_limits_grow_with_attempt_matrix_and_network(study: Study) -> None:
    models, large = Models(study), SliceCounts(4000, 800, 400, 240, 240)
    teacher, student = models.plan("teacher", 0), models.plan("student", 0)
    for limit in (training_memory, training_minutes):
        first = limit(teacher, large, False, 1)
        assert limit(teacher, large, False, 2) == 2 * first
        assert first > limit(student, large, False, 1)
        assert first > limit(teacher, SLICES, False, 1)


def test_a_gpu_needs_less_time_and_more_memory_beside_it(study: Study) -> None:
    plan, large = Models(study).plan("teacher", 0), SliceCounts(4000, 800, 400, 240, 240)
    assert training_minutes(plan, large, True, 1) < training_minutes(plan, large, False, 1)
    assert training_memory(plan, large, True, 1) > training_memory(plan, large, False, 1)


def test_a_training_on_a_gpu_asks_for_room_for_all_of_its_images(study: Study) -> None:
    plan, larger = Models(study).plan("student", 0), SliceCounts(20000, 4000, 0, 240, 240)
    mib = 24000 * larger.bytes_of_one / 2**20
    assert training_memory(plan, larger, True, 1) > mib > training_memory(plan, larger, False, 1)


def test_evaluation_takes_longer_for_more_models(study: Study) -> None:
    plans = [Models(study).plan("teacher", 0)]
    large = SliceCounts(4000, 800, 400, 240, 240)
    one = evaluation_minutes(plans, large, 1, 1)
    assert evaluation_minutes(13 * plans, large, 1, 1) > one
    assert evaluation_memory(large, 2) == 2 * evaluation_memory(large, 1)


# Schedules.

DIAMOND = [
    Task("teacher", 4, on_gpu=True),
    Task("long", 10, on_gpu=True, priority=1),
    Task("a", 3, ("teacher",), on_gpu=True),
    Task("b", 3, ("teacher",), on_gpu=True),
    Task("measure", 2, ("a", "b", "long")),
]


@pytest.mark.parametrize(("gpus", "seconds"), [(1, 22), (2, 12), (3, 12)])
def test_makespan(gpus: int, seconds: float) -> None:
    # One: 10 + 4 + 3 + 3, then 2. Two: long beside teacher, a, b.
    assert makespan(DIAMOND, gpus) == seconds


def test_priority_goes_first() -> None:
    low = [Task("first", 1, on_gpu=True), Task("long", 5, on_gpu=True)]
    high = [low[0], Task("long", 5, on_gpu=True, priority=1)]
    after = Task("after", 1, ("long",), on_gpu=False)
    assert makespan([*low, after], 1) == 7
    assert makespan([*high, after], 1) == 6


def test_longest_path() -> None:
    assert longest_path(DIAMOND) == (12, ["long", "measure"])


def test_jobs_without_gpu_find_room_at_once() -> None:
    assert makespan([Task(str(n), 5) for n in range(9)], 1) == 5


def test_priorities_are_those_of_the_rules() -> None:
    rules = (ROOT / "workflow/rules/training.smk").read_text()
    plain, _, sft = rules.partition("use rule train as train_sft_teacher")
    found = [re.findall(r"priority: (\d+)", text)[0] for text in (plain, sft)]
    assert {"teacher": int(found[0]), "sft_teacher": int(found[1])} == PRIORITY


# A study.


def test_study_is_counted_and_added_up(study: Study) -> None:
    slices = count_slices(study)
    assert slices["heads"] == SliceCounts(2, 1, 1, 16, 16)
    found = estimate(study, even_speed(study), slices, gpus=[1, 100], gpu=False)
    work = sum(training_multiply_adds(t.plan, t.slices) for t in trainings(study, slices))
    # Each model of the setting together, and zero filling.
    assert found.jobs == {"preparations": 1, "trainings": 17, "evaluations": 2, "cost": 1}
    assert found.device_hours.median * 3600 == pytest.approx(work * 1e-9 + 17 * 2)
    assert found.walls[1].median > found.walls[100].median
    assert found.walls[100].median == pytest.approx(found.critical[0])
    assert found.walls[1].low < found.walls[1].median < found.walls[1].high


def test_faster_machines_are_not_faster_to_start(study: Study) -> None:
    slices = count_slices(study)
    options: Any = {"gpus": [1], "gpu": True}
    found = estimate(study, even_speed(study), slices, faster=1e9, **options)
    assert found.device_hours.median * 3600 == pytest.approx(17 * 2, rel=1e-3)


def test_overhead_of_jobs_is_added_to_each(study: Study) -> None:
    slices = count_slices(study)
    plain, slow = (
        estimate(study, even_speed(study), slices, gpus=[1], gpu=False, job_overhead=seconds)
        for seconds in (0, 10)
    )
    # Seventeen trainings one after another, then the evaluation.
    assert slow.walls[1].median - plain.walls[1].median == pytest.approx(180, abs=1)


def test_unknown_kind_is_refused(study: Study) -> None:
    known = Speed({("D5C5 fp32", 16, 16): Range(1, 1, 1)}, Range(0, 0, 0), "results/x")
    with pytest.raises(InputError, match="results/x: no training of the kind 'D3C5 fp32'"):
        known.seconds(Models(study).plan("student", 0), SLICES)


def test_nearest_size_is_taken(study: Study) -> None:
    plan = Models(study).plan("teacher", 0)
    speeds = {
        ("D5C5 fp32", 16, 16): Range(1, 1, 1),
        ("D5C5 fp32", 100, 60): Range(2, 2, 2),
    }
    seconds = Speed(speeds, Range(0, 0, 0), "").seconds(plan, SLICES)
    assert seconds.median == 2 * training_multiply_adds(plan, SLICES)


def test_command_times_each_kind_here(
    write_config: WriteConfig, tiny_study: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    tiny_study["methods"] = {"at": {}}
    path = write_config(tiny_study)
    assert main(["estimate", "--configfile", str(path), "--gpus", "1", "2"]) == 0
    said = capsys.readouterr().out
    # Teacher, SFT teacher, student (and its controls), AT.
    assert "4 kinds of training timed here for a moment (cpu)" in said
    assert "trainings at once" in said
    assert "7" in said.splitlines()[1]


def test_speeds_of_earlier_results(
    tmp_path: Path, write_config: WriteConfig, tiny_study: dict[str, Any]
) -> None:
    config = str(write_config(tiny_study))
    store, mask = tmp_path / "heads/volumes.h5", tmp_path / "heads/4x/mask.npz"
    names = ["--config", config, "--dataset", "heads"]
    assert main(["prepare", *names, "--output", str(store)]) == 0
    assert main(["mask", *names, "--acceleration", "4x", "--output", str(mask)]) == 0
    given = ["--data", str(store), "--mask", str(mask), "--acceleration", "4x", "--seed", "0"]
    output = tmp_path / "heads/4x/seed0/teacher"
    assert main(["train", *names, *given, "--model", "teacher", "--output", str(output)]) == 0
    found = speed_of_results(tmp_path)
    assert set(found.per_multiply_add) == {("D5C5 fp32", 16, 16)}
    assert re.fullmatch(r"1 trainings in .* \(cpu, (compiled|library) convolutions\)", found.source)
    assert slices_of_store(store) == SliceCounts(2, 1, 1, 16, 16)


def test_capturing_on_a_gpu_is_no_epoch() -> None:
    """Everything that is done once an epoch is captured in the fourth, the last at the latest."""
    assert Replayed.WARM_UP + 1 == CAPTURED_AFTER
    assert settled([5.0, 1.0, 1.0, 3.0, 1.0, 1.25, 1.5]) == [1.25, 1.0, 1.0, 1.25, 1.0, 1.25, 1.5]
    assert settled([5.0, 1.0, 1.0, 3.0]) == [5.0, 1.0, 1.0, 3.0]


def test_a_calibration_on_a_gpu_times_replays_alone(
    tmp_path: Path, tiny_study: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = Models(check_study(tiny_study)).plan("teacher", 0)
    asked: list[tuple[int, int]] = []

    def trained(short: TrainingPlan, inputs: Inputs, output: Path, _labels: object) -> None:
        asked.append((short.training.epochs, slices_of_store(inputs.store).train))
        output.mkdir()
        seconds = [9.0, 1.0, 1.0, 5.0, *[1.0] * (short.training.epochs - 4)]
        rows = "".join(f"{one}\n" for one in seconds)
        (output / "history_reconstruction.csv").write_text(f"seconds\n{rows}")

    monkeypatch.setattr("pipeline_src.running.training_run.run_training", trained)
    monkeypatch.setattr(
        "pipeline_src.training.device.choose_device", lambda _wanted: torch.device("cuda")
    )
    found, _ = speed._short_training(plan, 16, 16, tmp_path / "calibrated")
    [(epochs, slices)] = asked
    assert slices == speed.BATCHES_ON_GPU * plan.training.batch_size
    work = training_multiply_adds(
        plan.model_copy(update={"training": plan.training.model_copy(update={"epochs": epochs})}),
        SliceCounts(slices, plan.training.batch_size, 0, 16, 16),
    )
    assert found.low == found.high == pytest.approx(epochs / work)


def test_results_without_a_training_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no finished training"):
        speed_of_results(tmp_path)


@pytest.mark.parametrize("option", [("--gpus", "0"), ("--faster", "-1")])
def test_command_refuses_nonsense(
    option: tuple[str, str],
    write_config: WriteConfig,
    tiny_study: dict[str, Any],
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["estimate", "--config", str(write_config(tiny_study)), *option]) == 2
    assert f"{option[0]} must be more than 0" in capsys.readouterr().err
