"""What a training refuses, and that it leaves nothing behind."""

from __future__ import annotations

import math
import re
from pathlib import Path

import pytest
import torch
from training_helpers import (
    SIZE,
    Files,
    Scripted,
    run_stage,
    sft_inputs,
    std_inputs,
    study_with,
    train,
)

from pipeline_src.errors import InputError
from pipeline_src.models.weights import save_weights
from pipeline_src.sampling.masks import drawn_mask, write_mask
from pipeline_src.training.builder import Inputs, fresh_network
from pipeline_src.training.device import choose_device

pytest_plugins = ["shared_fixtures"]


@pytest.mark.parametrize(
    ("model", "stage", "loss"),
    [
        ("student", "reconstruction", "the loss"),
        ("sft_teacher", "student_friendly", "the loss"),
        ("std_kd_at", "features", "the feature loss of methods.at"),
    ],
)
def test_loss_that_is_not_finite_stops_with_stage_and_epoch_and_leaves_nothing(
    model: str, stage: str, loss: str, files: Files, runs: dict[str, Path], tmp_path: Path
) -> None:
    study = study_with(training={"learning_rate": 1e30, "epochs": 3})
    inputs = std_inputs(files, runs) if "kd" in model else files.inputs()
    with pytest.raises(InputError) as caught:
        train(study, model, inputs, tmp_path / "out")
    text = str(caught.value)
    assert re.match(rf"stage {stage}, epoch 1, training batch 2 \(patients .*\): {loss} is ", text)
    assert text.endswith("not finite; lower training.learning_rate or check the data")
    assert "\n" not in text
    assert not list(tmp_path.rglob("*"))


def test_epoch_of_the_first_loss_that_is_not_finite_is_named(files: Files) -> None:
    with pytest.raises(InputError, match=r"stage scripted, epoch 3, validation batch 1 .*nan"):
        run_stage(
            "scripted",
            0,
            Scripted([2.0, 1.0, math.nan]),
            files.slices("train")[0],
            files.slices("validation")[0],
            study_with(training={"epochs": 5}).training,
            0,
        )


def test_mask_of_another_size_is_refused(files: Files, tmp_path: Path) -> None:
    write_mask(tmp_path / "mask.npz", drawn_mask((24, SIZE), 4, 0, 2))
    with pytest.raises(InputError, match=r"mask\.npz: mask of 24x16 for slices of 16x16 in .*\.h5"):
        train(study_with(), "student", Inputs(files.store, tmp_path / "mask.npz"), tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_teacher_weights_of_another_network_are_refused(
    files: Files, runs: dict[str, Path], tmp_path: Path
) -> None:
    student = runs["student"] / "weights.safetensors"
    with pytest.raises(InputError, match=r"weights\.safetensors: holds .*plan's teacher is"):
        train(study_with(), "std_kd_at", files.inputs(student), tmp_path / "out")
    padded = study_with().networks.teacher.model_copy(update={"padding": 3})
    save_weights(tmp_path / "padded.safetensors", fresh_network(padded, 0, "teacher"))
    with pytest.raises(InputError, match=r"padded\.safetensors: holds"):
        train(
            study_with(),
            "std_kd_at",
            files.inputs(tmp_path / "padded.safetensors"),
            tmp_path / "out",
        )
    assert not (tmp_path / "out").exists()


def test_warm_start_from_another_network_is_refused(
    files: Files, runs: dict[str, Path], tmp_path: Path
) -> None:
    weights = runs["teacher"] / "weights.safetensors"
    with pytest.raises(InputError, match=r"weights do not fit D3C3"):
        train(study_with(), "sft_kd_at", files.inputs(weights, weights), tmp_path / "out")


@pytest.mark.parametrize(
    ("model", "given", "asked"),
    [
        ("std_kd_at", [], "--teacher"),
        ("sft_kd_at", ["teacher"], "--warm-start"),
        ("sft_kd_at", ["warm_start"], "--teacher"),
    ],
)
def test_distillation_without_a_file_it_needs_is_refused(
    model: str, given: list[str], asked: str, files: Files, runs: dict[str, Path], tmp_path: Path
) -> None:
    complete = vars(sft_inputs(files, runs))
    inputs = Inputs(files.store, files.mask, **{name: complete[name] for name in given})
    with pytest.raises(InputError, match=f"{model}: .*{asked}"):
        train(study_with(), model, inputs, tmp_path / "out")


def test_missing_and_damaged_inputs_are_named(files: Files, tmp_path: Path) -> None:
    absent = tmp_path / "absent"
    with pytest.raises(InputError, match="absent: does not exist"):
        train(study_with(), "student", Inputs(absent, files.mask), tmp_path / "out")
    with pytest.raises(InputError, match="absent: does not exist"):
        train(study_with(), "student", Inputs(files.store, absent), tmp_path / "out")
    with pytest.raises(InputError, match="absent: cannot be read"):
        train(study_with(), "std_kd_at", files.inputs(absent), tmp_path / "out")


def test_cuda_is_refused_where_there_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(InputError, match="no CUDA device"):
        choose_device("cuda")
    assert choose_device("auto") == torch.device("cpu")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert choose_device("auto") == torch.device("cuda")
    assert choose_device("cpu") == torch.device("cpu")
