"""Whole trainings on a tiny store: what they write, and that they do so again."""

from __future__ import annotations

import json
import math
from importlib.metadata import version
from pathlib import Path

import pytest
import torch
from training_helpers import (
    TRAIN,
    Files,
    Scripted,
    history,
    run_stage,
    sft_inputs,
    state,
    std_inputs,
    study_with,
    train,
)

from pipeline_src.data.store import read_store
from pipeline_src.files import sha256_file
from pipeline_src.models.weights import load_network
from pipeline_src.planning.plans import training_plan
from pipeline_src.planning.step_code import PACKAGE, digests
from pipeline_src.sampling.masks import read_mask

pytest_plugins = ["shared_fixtures"]


COLUMNS = [
    "epoch",
    "train_loss",
    "validation_loss",
    "validation_psnr_db",
    "learning_rate",
    "seconds",
]

RUNS = {
    "teacher": ["reconstruction"],
    "sft_teacher": ["student_friendly"],
    "student": ["reconstruction"],
    "std_kd_at two_stage": ["features", "reconstruction"],
    "std_kd_at joint": ["joint"],
    "sft_kd_at two_stage": ["features", "reconstruction"],
    "sft_kd_at joint": ["joint"],
}
every_run = pytest.mark.parametrize("run", RUNS)


@every_run
def test_training_writes_weights_histories_and_manifest_and_nothing_else(
    run: str, runs: dict[str, Path]
) -> None:
    expected = {"weights.safetensors", "manifest.json"}
    expected |= {f"history_{stage}.csv" for stage in RUNS[run]}
    if run == "sft_teacher":
        expected.add("student_weights.safetensors")
    assert {path.name for path in runs[run].iterdir()} == expected


@every_run
def test_history_has_one_row_an_epoch(run: str, runs: dict[str, Path]) -> None:
    for stage in RUNS[run]:
        rows = history(runs[run] / f"history_{stage}.csv")
        assert list(rows[0]) == COLUMNS
        assert [row["epoch"] for row in rows] == ["1", "2"]
        assert all(math.isfinite(float(value)) for row in rows for value in row.values())
        assert all(float(row["learning_rate"]) == 1e-3 for row in rows)


@every_run
def test_manifest_says_what_was_trained_from_what(
    run: str, runs: dict[str, Path], files: Files
) -> None:
    manifest = json.loads((runs[run] / "manifest.json").read_text())
    protocol = "joint" if run.endswith("joint") else "two_stage"
    plan = training_plan(study_with(distillation={"protocol": protocol}), run.split()[0], 0)
    assert manifest["settings"] == plan.model_dump(mode="json")
    assert manifest["dataset"] == "tiny"
    assert manifest["acceleration"] == "4x"
    assert manifest["data_digest"] == read_store(files.store).digest
    assert manifest["mask"] == read_mask(files.mask).description
    given_digests = {"store": sha256_file(files.store), "mask": sha256_file(files.mask)}
    teacher = "sft_teacher" if run.startswith("sft_kd") else "teacher"
    if "kd" in run:
        given_digests["teacher"] = sha256_file(runs[teacher] / "weights.safetensors")
    if run.startswith("sft_kd"):
        given_digests["warm_start"] = sha256_file(runs[teacher] / "student_weights.safetensors")
    assert {role: given["sha256"] for role, given in manifest["inputs"].items()} == given_digests
    for given in manifest["inputs"].values():
        assert sha256_file(runs[run] / given["path"]) == given["sha256"]
    assert manifest["histories"] == [f"history_{stage}.csv" for stage in RUNS[run]]
    assert "weights.safetensors" in manifest["outputs"]
    for name, digest in manifest["outputs"].items():
        assert digest == sha256_file(runs[run] / name)
    assert ("distillation/losses/at.py" in manifest["code"]) == ("kd" in run)
    engine = PACKAGE / "training/engine.py"
    assert manifest["code"]["training/engine.py"] == digests([engine])["training/engine.py"]
    [recorded] = manifest["runs"]
    assert recorded["seconds"] > 0
    assert recorded["processor"]
    assert {"python", "torch", "numpy"} <= set(manifest["made_by"]["packages"])
    assert manifest["made_by"]["packages"]["torch"] == version("torch")
    network = load_network(runs[run] / "weights.safetensors")
    assert manifest["parameters"] == sum(p.numel() for p in network.parameters())


@every_run
def test_best_epoch_is_the_lowest_validation_loss_of_the_last_stage(
    run: str, runs: dict[str, Path]
) -> None:
    rows = history(runs[run] / f"history_{RUNS[run][-1]}.csv")
    best = min(rows, key=lambda row: float(row["validation_loss"]))
    manifest = json.loads((runs[run] / "manifest.json").read_text())
    assert {k: str(v) for k, v in manifest["best_epoch"].items()} == best


@pytest.mark.parametrize(
    "model", ["teacher", "sft_teacher", "student", "std_kd_at", "sft_kd_at", "std_kd_fsp"]
)
def test_the_same_run_twice_gives_the_same_bits(
    model: str, runs: dict[str, Path], files: Files, tmp_path: Path
) -> None:
    inputs = {
        "std_kd_at": std_inputs(files, runs),
        "std_kd_fsp": std_inputs(files, runs),
        "sft_kd_at": sft_inputs(files, runs),
    }.get(model, files.inputs())
    # The state of the global generator must not matter.
    torch.manual_seed(1)
    first = train(study_with(), model, inputs, tmp_path / "first")
    torch.manual_seed(2)
    second = train(study_with(), model, inputs, tmp_path / "second")
    for path in first.glob("*.safetensors"):
        assert path.read_bytes() == (second / path.name).read_bytes()
    name = f"{model} two_stage" if "kd" in model else model
    if name in runs:
        assert sha256_file(runs[name] / "weights.safetensors") == sha256_file(
            first / "weights.safetensors"
        )


@pytest.mark.parametrize("model", ["teacher", "sft_kd_at"])
def test_another_seed_gives_other_weights(
    model: str, runs: dict[str, Path], files: Files, tmp_path: Path
) -> None:
    inputs = sft_inputs(files, runs) if "kd" in model else files.inputs()
    other = state(
        train(study_with(), model, inputs, tmp_path / "other", seed=1) / "weights.safetensors"
    )
    name = f"{model} two_stage" if "kd" in model else model
    first = state(runs[name] / "weights.safetensors")
    assert not any(torch.equal(other[name], value) for name, value in first.items())


def test_training_lowers_the_loss(files: Files, tmp_path: Path) -> None:
    study = study_with(training={"epochs": 12, "learning_rate": 0.01})
    rows = history(train(study, "student", files.inputs(), tmp_path) / "history_reconstruction.csv")
    assert float(rows[-1]["train_loss"]) < 0.8 * float(rows[0]["train_loss"])


def test_learning_rate_falls_by_the_factor_at_every_step(files: Files, tmp_path: Path) -> None:
    study = study_with(training={"epochs": 5, "lr_step": 2, "lr_factor": 0.5})
    rows = history(train(study, "student", files.inputs(), tmp_path) / "history_reconstruction.csv")
    rates = [float(row["learning_rate"]) for row in rows]
    assert rates == pytest.approx([1e-3, 1e-3, 5e-4, 5e-4, 2.5e-4])


def test_weights_move_by_the_learning_rate_of_their_epoch(files: Files) -> None:
    objective = Scripted([4, 3, 2, 1])
    before = {k: v.clone() for k, v in objective.trained.state_dict().items()}
    training = {"epochs": 4, "batch_size": TRAIN, "learning_rate": 0.02, "lr_step": 2}
    settings = study_with(training=training | {"lr_factor": 0.1}).training
    parts = [files.slices(part)[0] for part in ("train", "validation")]
    run_stage("scripted", 0, objective, *parts, settings, 0)
    # One batch an epoch; Adam moves by the rate against a constant gradient.
    for name, value in objective.trained.state_dict().items():
        wanted = before[name] - (0.02 + 0.02 + 0.002 + 0.002)
        torch.testing.assert_close(value, wanted, rtol=0, atol=1e-5)
