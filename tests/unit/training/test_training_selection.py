"""Which weights a training keeps, and the validation that decides it."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from training_helpers import (
    TRAIN,
    Files,
    Scripted,
    history,
    run_stage,
    std_inputs,
    study_with,
    train,
)

from pipeline_src.errors import Interrupted
from pipeline_src.models.weights import load_network
from pipeline_src.training.engine import Stage

pytest_plugins = ["shared_fixtures"]


@pytest.mark.parametrize(("losses", "best"), [([3, 1, 2], 2), ([1, 2, 3], 1), ([2, 1, 1], 2)])
def test_weights_of_the_lowest_validation_loss_are_kept(
    losses: list[float], best: int, files: Files
) -> None:
    objective = Scripted(losses)
    before = {k: v.clone() for k, v in objective.trained.state_dict().items()}
    settings = study_with(
        training={"epochs": 3, "batch_size": TRAIN, "learning_rate": 0.01, "lr_step": 100}
    ).training
    rows = run_stage(
        "scripted",
        0,
        objective,
        files.slices("train")[0],
        files.slices("validation")[0],
        settings,
        0,
    )
    assert [row.validation_loss for row in rows] == losses
    # One batch an epoch; Adam moves by the rate against a constant gradient.
    for name, value in objective.trained.state_dict().items():
        torch.testing.assert_close(value, before[name] - 0.01 * best, rtol=0, atol=1e-5)


def test_last_weights_are_kept_where_asked_for(files: Files) -> None:
    objective = Scripted([1, 3, 2])
    before = {k: v.clone() for k, v in objective.trained.state_dict().items()}
    settings = study_with(
        training={"epochs": 3, "batch_size": TRAIN, "learning_rate": 0.01}
    ).training
    train_slices, validation = files.slices("train")[0], files.slices("validation")[0]
    run_stage(
        "scripted",
        0,
        objective,
        train_slices,
        validation,
        settings,
        0,
        keep="last",
    )
    for name, value in objective.trained.state_dict().items():
        torch.testing.assert_close(value, before[name] - 0.03, rtol=0, atol=1e-5)


def test_each_slice_counts_the_same_in_the_validation_loss(files: Files) -> None:
    # Passes of two slices and of one; a mean over passes would prefer the first epoch.
    objective = Scripted([4, 1, 3, 2.5])
    before = {k: v.clone() for k, v in objective.trained.state_dict().items()}
    settings = study_with(
        training={"epochs": 2, "batch_size": 2, "learning_rate": 0.01, "lr_step": 100}
    ).training
    parts = [files.slices(part)[0] for part in ("train", "validation")]
    rows = run_stage("scripted", 0, objective, *parts, settings, 0)
    assert [row.validation_loss for row in rows] == pytest.approx([9 / 3, 8.5 / 3])
    # Three batches of six training slices an epoch.
    for name, value in objective.trained.state_dict().items():
        torch.testing.assert_close(value, before[name] - 0.06, rtol=0, atol=1e-5)


@pytest.mark.parametrize(("losses", "best"), [([1, 3, 2], 1), ([2, 3, 1], 3)])
def test_a_resumed_stage_knows_the_loss_of_its_best_epoch(
    losses: list[float], best: int, files: Files
) -> None:
    settings = study_with(
        training={"epochs": 3, "batch_size": TRAIN, "learning_rate": 0.01, "lr_step": 100}
    ).training
    parts = [files.slices(part)[0] for part in ("train", "validation")]

    def leave(*_: object, epoch_over: bool) -> None:
        raise Interrupted

    left, resumed = Scripted(losses), Scripted(losses[1:])
    before = {k: v.clone() for k, v in left.trained.state_dict().items()}
    first = Stage("scripted", 0, left, *parts, settings, 0)
    with pytest.raises(Interrupted):
        first.run(lambda *_: None, leave)
    second = Stage("scripted", 0, resumed, *parts, settings, 0)
    second.restore(first.tensors(), first.history, first.position)
    second.run(lambda *_: None, lambda *_, **__: None)
    assert [row.validation_loss for row in second.history] == losses
    for name, value in resumed.trained.state_dict().items():
        torch.testing.assert_close(value, before[name] - 0.01 * best, rtol=0, atol=1e-5)


@pytest.mark.parametrize("selection", ["best", "last"])
def test_selection_of_the_feature_stage_reaches_that_stage_alone(
    selection: str,
    files: Files,
    runs: dict[str, Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    seen: dict[str, str] = {}

    def watched(name: str, *rest: Any, **options: Any) -> Stage:
        seen[name] = options["keep"]
        return Stage(name, *rest, **options)

    monkeypatch.setattr("pipeline_src.training.stages.Stage", watched)
    study = study_with(distillation={"feature_stage_selection": selection})
    train(study, "std_kd_at", std_inputs(files, runs), tmp_path)
    assert seen == {"features": selection, "reconstruction": "best"}


@pytest.mark.parametrize("model", ["student", "sft_teacher"])
def test_kept_weights_give_the_lowest_validation_loss_of_the_history(
    model: str, files: Files, tmp_path: Path
) -> None:
    study = study_with(training={"epochs": 8, "learning_rate": 0.03, "lr_step": 100})
    folder = train(study, model, files.inputs(), tmp_path)
    stage = "reconstruction" if model == "student" else "student_friendly"
    losses = [float(row["validation_loss"]) for row in history(folder / f"history_{stage}.csv")]
    slices, fidelity = files.slices("validation")
    whole = slices.batch(torch.arange(len(slices)))
    network = load_network(folder / "weights.safetensors")
    with torch.no_grad():
        image = network(whole.zero_filled, fidelity)
    assert F.l1_loss(image, whole.target).item() == pytest.approx(min(losses), rel=1e-5)
    assert max(losses) > 1.01 * min(losses)


def test_validation_psnr_is_at_the_data_range_of_each_volume(files: Files, tmp_path: Path) -> None:
    study = study_with(training={"epochs": 1})
    folder = train(study, "student", files.inputs(), tmp_path)
    (row,) = history(folder / "history_reconstruction.csv")
    slices, fidelity = files.slices("validation")
    whole = slices.batch(torch.arange(len(slices)))
    with torch.no_grad():
        image = load_network(folder / "weights.safetensors")(whole.zero_filled, fidelity)
    peak = whole.target.max().item()
    assert peak < 0.5
    values = [
        10 * math.log10(peak**2 / float(((a - b) ** 2).mean()))
        for a, b in zip(image, whole.target, strict=True)
    ]
    assert float(row["validation_psnr_db"]) == pytest.approx(np.mean(values), rel=1e-5)
