"""Whole trainings on a tiny store: what they write, what they start from, what they refuse."""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from pipeline_src.config import Study, check_study, training_plan
from pipeline_src.data.preparation import PreparedData
from pipeline_src.data.store import read_store, write_store
from pipeline_src.errors import InputError
from pipeline_src.files import sha256_file, sha256_json
from pipeline_src.models.sft import SFTNetwork
from pipeline_src.models.weights import load_network, save_weights
from pipeline_src.provenance import code_digest
from pipeline_src.sampling.data_fidelity import LineDataFidelity, data_fidelity
from pipeline_src.sampling.masks import drawn_mask, read_mask, write_mask
from pipeline_src.training.builder import Inputs, fresh_network
from pipeline_src.training.data import Batch, Slices
from pipeline_src.training.engine import Epoch, run_stage
from pipeline_src.training.objectives import Objective, StudentFriendlyTraining
from pipeline_src.training.run import CODE, choose_device, run_training
from pipeline_src.training.seeding import batch_order, derived_seed

SIZE = 16
TRAIN, VALIDATION = 6, 3
LABELS = {"dataset": "tiny", "acceleration": "4x"}
COLUMNS = [
    "epoch",
    "train_loss",
    "validation_loss",
    "validation_psnr_db",
    "learning_rate",
    "seconds",
]
# Adam moves every weight by at most the rate, so at this one nothing moves.
STANDSTILL = 1e-30

CONFIGURATION: dict[str, Any] = {
    "study": "tiny",
    "accelerations": [4],
    "datasets": {
        "tiny": {
            "source": {
                "kind": "phantom",
                "anatomy": "brain",
                "patients": 3,
                "slices": 3,
                "matrix": SIZE,
            },
            "preparation": {"matrix": [SIZE, SIZE]},
            "split": {"train": 1, "validation": 1, "test": 1},
        }
    },
    "sampling": {"center_lines": 2},
    "networks": {
        "teacher": {"depth": 5, "cascades": 3, "features": 3},
        "student": {"depth": 3, "cascades": 3, "features": 3},
    },
    "methods": {"at": {}, "fsp": {}},
    "evaluation": {"panel_methods": ["at"]},
    "training": {"epochs": 2, "batch_size": 4, "threads": 1, "device": "cpu"},
}


def study_with(**sections: dict[str, Any]) -> Study:
    """The tiny study with values laid over it, section by section."""
    data = CONFIGURATION | {
        name: {**CONFIGURATION.get(name, {}), **values} for name, values in sections.items()
    }
    return check_study(data)


def prepared_data(size: int = SIZE) -> PreparedData:
    """Smooth blobs: two training volumes and one for validation."""
    rng = np.random.default_rng(5)
    y, x = np.mgrid[:size, :size] / size
    prepared = PreparedData()
    for volume, (part, patient) in enumerate([("train", "a"), ("train", "b"), ("validation", "c")]):
        for index in range(3):
            cy, cx, width = rng.uniform(0.3, 0.7, 3) * (1, 1, 0.5)
            image = np.exp(-((y - cy) ** 2 + (x - cx) ** 2) / width**2)
            prepared.images.append((image / (1 + volume)).astype(np.float32))
            prepared.slices.append(
                {
                    "patient": patient,
                    "frame": "",
                    "part": part,
                    "slice": index,
                    "volume": volume,
                }
            )
    return prepared


@dataclass(frozen=True)
class Files:
    store: Path
    mask: Path

    def inputs(self, teacher: Path | None = None, warm_start: Path | None = None) -> Inputs:
        return Inputs(self.store, self.mask, teacher, warm_start)

    def slices(self, part: str) -> tuple[Slices, LineDataFidelity]:
        fidelity = data_fidelity(read_mask(self.mask))
        assert isinstance(fidelity, LineDataFidelity)
        return Slices(read_store(self.store), part, fidelity, torch.device("cpu")), fidelity


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Files:
    folder = tmp_path_factory.mktemp("data")
    write_store(folder / "volumes.h5", prepared_data(), {"dataset": "tiny"})
    write_mask(folder / "mask.npz", drawn_mask((SIZE, SIZE), 4, 0, 2))
    return Files(folder / "volumes.h5", folder / "mask.npz")


def train(study: Study, model: str, inputs: Inputs, output: Path, seed: int = 0) -> Path:
    run_training(training_plan(study, model, seed), inputs, output, LABELS)
    return output


@pytest.fixture(scope="module")
def runs(files: Files, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Every kind of training, distillation in both protocols."""
    folder = tmp_path_factory.mktemp("runs")
    study = study_with()
    made = {
        model: train(study, model, files.inputs(), folder / model)
        for model in ("teacher", "sft_teacher", "student")
    }
    for protocol in ("two_stage", "joint"):
        study = study_with(distillation={"protocol": protocol})
        made[f"std_kd_at {protocol}"] = train(
            study,
            "std_kd_at",
            files.inputs(made["teacher"] / "weights.safetensors"),
            folder / f"std_kd_{protocol}",
        )
        made[f"sft_kd_at {protocol}"] = train(
            study, "sft_kd_at", sft_inputs(files, made), folder / f"sft_kd_{protocol}"
        )
    return made


def sft_inputs(files: Files, runs: dict[str, Path]) -> Inputs:
    folder = runs["sft_teacher"]
    return files.inputs(folder / "weights.safetensors", folder / "student_weights.safetensors")


def std_inputs(files: Files, runs: dict[str, Path]) -> Inputs:
    return files.inputs(runs["teacher"] / "weights.safetensors")


def state(path: Path) -> dict[str, Tensor]:
    return load_network(path).state_dict()


def history(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as stream:
        return list(csv.DictReader(stream))


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
    assert manifest["plan"] == plan.model_dump(mode="json")
    assert manifest["plan_sha256"] == sha256_json(plan.model_dump(mode="json"))
    assert manifest["dataset"] == "tiny"
    assert manifest["acceleration"] == "4x"
    assert manifest["data_digest"] == read_store(files.store).digest
    assert manifest["mask"] == read_mask(files.mask).description
    digests = {"store": sha256_file(files.store), "mask": sha256_file(files.mask)}
    teacher = "sft_teacher" if run.startswith("sft_kd") else "teacher"
    if "kd" in run:
        digests["teacher"] = sha256_file(runs[teacher] / "weights.safetensors")
    if run.startswith("sft_kd"):
        digests["warm_start"] = sha256_file(runs[teacher] / "student_weights.safetensors")
    assert manifest["inputs_sha256"] == digests
    assert manifest["histories"] == [f"history_{stage}.csv" for stage in RUNS[run]]
    assert "weights.safetensors" in manifest["weights_sha256"]
    for name, digest in manifest["weights_sha256"].items():
        assert digest == sha256_file(runs[run] / name)
    assert manifest["code_sha256"] == code_digest(*CODE)
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


# Which weights are kept.


class Scripted(Objective):
    """Validation losses that are told beforehand; training moves each weight by the rate."""

    def __init__(self, losses: list[float]) -> None:
        self.trained = self.network = fresh_network(
            study_with().networks.student, seed=0, role="student"
        )
        self.losses = iter(losses)

    def loss(self, batch: Batch) -> Tensor:
        return torch.stack([p.sum() for p in self.trained.parameters()]).sum()

    def validate(self, batch: Batch) -> tuple[Tensor, Tensor]:
        return torch.tensor(next(self.losses)), torch.zeros_like(batch.target)


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
        lambda *_: None,
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
        lambda *_: None,
        keep="last",
    )
    for name, value in objective.trained.state_dict().items():
        torch.testing.assert_close(value, before[name] - 0.03, rtol=0, atol=1e-5)


@pytest.mark.parametrize("selection", ["best", "last"])
def test_selection_of_the_feature_stage_reaches_that_stage_alone(
    selection: str,
    files: Files,
    runs: dict[str, Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    seen: dict[str, str] = {}

    def watched(name: str, *rest: Any, **options: Any) -> list[Epoch]:
        seen[name] = options["keep"]
        return run_stage(name, *rest, **options)

    monkeypatch.setattr("pipeline_src.training.run.run_stage", watched)
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
    network = load_network(folder / "weights.safetensors")
    with torch.no_grad():
        image = network(slices.zero_filled, fidelity)
    assert F.l1_loss(image, slices.target).item() == pytest.approx(min(losses), rel=1e-5)
    assert max(losses) > 1.01 * min(losses)


def test_validation_psnr_is_at_the_data_range_of_each_volume(files: Files, tmp_path: Path) -> None:
    study = study_with(training={"epochs": 1})
    folder = train(study, "student", files.inputs(), tmp_path)
    (row,) = history(folder / "history_reconstruction.csv")
    slices, fidelity = files.slices("validation")
    with torch.no_grad():
        image = load_network(folder / "weights.safetensors")(slices.zero_filled, fidelity)
    peak = slices.target.max().item()
    assert peak < 0.5
    values = [
        10 * math.log10(peak**2 / float(((a - b) ** 2).mean()))
        for a, b in zip(image, slices.target, strict=True)
    ]
    assert float(row["validation_psnr_db"]) == pytest.approx(np.mean(values), rel=1e-5)


# What each training starts from.


@pytest.fixture(scope="module")
def starts(
    files: Files, runs: dict[str, Path], tmp_path_factory: pytest.TempPathFactory
) -> Callable[[str], dict[str, Tensor]]:
    """The weights that a training starts from: those it ends with at a rate of nothing."""
    folder = tmp_path_factory.mktemp("starts")
    study = study_with(training={"learning_rate": STANDSTILL, "epochs": 1})

    def start(model: str) -> dict[str, Tensor]:
        inputs = files.inputs()
        if model.startswith("std_kd"):
            inputs = std_inputs(files, runs)
        elif model.startswith("sft_kd"):
            inputs = sft_inputs(files, runs)
        name = "student_weights" if model == "sft student" else "weights"
        output = train(study, model.replace("sft student", "sft_teacher"), inputs, folder / model)
        return state(output / f"{name}.safetensors")

    return start


def assert_same(first: dict[str, Tensor], second: dict[str, Tensor], names: Iterable[str]) -> None:
    for name in names:
        assert torch.equal(first[name], second[name]), name


def test_every_student_of_a_seed_starts_from_the_same_weights(
    starts: Callable[[str], dict[str, Tensor]],
) -> None:
    student = starts("student")
    for model in ("std_kd_at", "std_kd_fsp", "sft student"):
        assert_same(starts(model), student, student)


def test_both_teachers_of_a_seed_start_from_the_same_weights(
    starts: Callable[[str], dict[str, Tensor]],
) -> None:
    teacher = starts("teacher")
    assert_same(starts("sft_teacher"), teacher, teacher)


def test_sft_kd_student_starts_from_sft_blocks_except_its_first(
    starts: Callable[[str], dict[str, Tensor]], runs: dict[str, Path]
) -> None:
    start, own = starts("sft_kd_at"), starts("student")
    blocks = state(runs["sft_teacher"] / "student_weights.safetensors")
    first = [name for name in start if name.startswith("cascades.0.")]
    later = [name for name in start if name not in first]
    assert first
    assert_same(start, own, first)
    assert_same(start, blocks, later)
    assert not any(torch.equal(own[name], blocks[name]) for name in later)


def test_sft_kd_student_keeps_its_own_first_block_whatever_the_file_holds(
    files: Files,
    runs: dict[str, Path],
    starts: Callable[[str], dict[str, Tensor]],
    tmp_path: Path,
) -> None:
    study = study_with(training={"learning_rate": STANDSTILL, "epochs": 1})
    blocks = fresh_network(study.networks.student, seed=99, role="student")
    save_weights(tmp_path / "blocks.safetensors", blocks)
    teacher = runs["sft_teacher"] / "weights.safetensors"
    inputs = files.inputs(teacher, tmp_path / "blocks.safetensors")
    start = state(train(study, "sft_kd_at", inputs, tmp_path / "out") / "weights.safetensors")
    first = [name for name in start if name.startswith("cascades.0.")]
    assert_same(start, starts("student"), first)
    assert_same(start, blocks.state_dict(), [name for name in start if name not in first])
    assert not any(torch.equal(start[name], blocks.state_dict()[name]) for name in first)


def test_students_first_block_is_not_trained_by_sft(
    runs: dict[str, Path], starts: Callable[[str], dict[str, Tensor]]
) -> None:
    blocks, own = state(runs["sft_teacher"] / "student_weights.safetensors"), starts("student")
    assert_same(blocks, own, [name for name in own if name.startswith("cascades.0.")])


def test_second_stage_starts_from_the_best_weights_of_the_first(
    files: Files, runs: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[tuple[str, dict[str, Tensor], dict[str, Tensor]]] = []

    def watched(
        name: str, number: int, objective: Objective, *rest: Any, **options: Any
    ) -> list[Epoch]:
        before = {k: v.clone() for k, v in objective.network.state_dict().items()}
        rows = run_stage(name, number, objective, *rest, **options)
        seen.append(
            (name, before, {k: v.clone() for k, v in objective.network.state_dict().items()})
        )
        return rows

    monkeypatch.setattr("pipeline_src.training.run.run_stage", watched)
    train(study_with(), "std_kd_at", std_inputs(files, runs), tmp_path)
    assert [name for name, *_ in seen] == ["features", "reconstruction"]
    assert_same(seen[1][1], seen[0][2], seen[0][2])
    assert not torch.equal(
        seen[0][1]["cascades.1.convolutions.0.weight"],
        seen[0][2]["cascades.1.convolutions.0.weight"],
    )


def test_sft_loss_is_the_weighted_sum_of_its_terms(files: Files) -> None:
    slices, fidelity = files.slices("train")
    batch = slices.batch(torch.arange(3))
    networks = study_with().networks
    torch.manual_seed(0)
    network = SFTNetwork(networks.teacher, networks.student)

    def value(**weights: Any) -> float:
        chosen = {"teacher_weight": 0, "student_weight": 0, "imitation_weight": 0} | weights
        sft = study_with(sft=chosen).sft
        return StudentFriendlyTraining(network, fidelity, sft).loss(batch).item()

    teacher, student = value(teacher_weight=1), value(student_weight=1)
    imitation = value(imitation_weight=1, imitation_normalisation="mean")
    assert min(teacher, student, imitation) > 0
    assert value(
        teacher_weight=2, student_weight=3, imitation_weight=5, imitation_normalisation="mean"
    ) == pytest.approx(2 * teacher + 3 * student + 5 * imitation, rel=1e-5)
    assert value(imitation_weight=1, imitation_normalisation="numel") == pytest.approx(
        imitation / (3 * SIZE * SIZE), rel=1e-5
    )


def test_imitation_changes_the_reconstruction_stage(
    files: Files, runs: dict[str, Path], tmp_path: Path
) -> None:
    study = study_with(distillation={"imitation_weight": 1.0})
    folder = train(study, "std_kd_at", std_inputs(files, runs), tmp_path)
    plain = runs["std_kd_at two_stage"]
    features = [history(f / "history_features.csv") for f in (folder, plain)]
    assert features[0][-1]["validation_loss"] == features[1][-1]["validation_loss"]
    losses = [
        float(history(f / "history_reconstruction.csv")[0]["validation_loss"])
        for f in (folder, plain)
    ]
    assert losses[0] > losses[1]


def test_memory_for_the_teacher_does_not_change_the_losses(
    files: Files, runs: dict[str, Path], tmp_path: Path
) -> None:
    study = study_with(distillation={"teacher_cache_mib": 0})
    folder = train(study, "std_kd_at", std_inputs(files, runs), tmp_path)
    for stage in ("features", "reconstruction"):
        pairs = zip(
            history(folder / f"history_{stage}.csv"),
            history(runs["std_kd_at two_stage"] / f"history_{stage}.csv"),
            strict=True,
        )
        for anew, kept in pairs:
            for column in ("train_loss", "validation_loss"):
                assert float(anew[column]) == pytest.approx(float(kept[column]), rel=1e-4)


# What is refused.


@pytest.mark.parametrize(
    ("model", "stage"),
    [
        ("student", "reconstruction"),
        ("sft_teacher", "student_friendly"),
        ("std_kd_at", "features"),
    ],
)
def test_loss_that_is_not_finite_stops_with_stage_and_epoch_and_leaves_nothing(
    model: str, stage: str, files: Files, runs: dict[str, Path], tmp_path: Path
) -> None:
    study = study_with(training={"learning_rate": 1e30, "epochs": 3})
    inputs = std_inputs(files, runs) if "kd" in model else files.inputs()
    with pytest.raises(InputError) as caught:
        train(study, model, inputs, tmp_path / "out")
    text = str(caught.value)
    assert text.startswith(f"stage {stage}, epoch 1: the loss is not finite (training ")
    assert "training.learning_rate" in text
    assert "\n" not in text
    assert not list(tmp_path.rglob("*"))


def test_epoch_of_the_first_loss_that_is_not_finite_is_named(files: Files) -> None:
    with pytest.raises(InputError, match=r"stage scripted, epoch 3: .*validation nan"):
        run_stage(
            "scripted",
            0,
            Scripted([2.0, 1.0, math.nan]),
            files.slices("train")[0],
            files.slices("validation")[0],
            study_with(training={"epochs": 5}).training,
            0,
            lambda *_: None,
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
    with pytest.raises(InputError, match="absent: weights cannot be read"):
        train(study_with(), "std_kd_at", files.inputs(absent), tmp_path / "out")


def test_cuda_is_refused_where_there_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(InputError, match="no CUDA device"):
        choose_device("cuda")
    assert choose_device("auto") == torch.device("cpu")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert choose_device("auto") == torch.device("cuda")
    assert choose_device("cpu") == torch.device("cpu")


# The order of slices.


def test_batch_order_is_a_permutation() -> None:
    for epoch in (1, 2, 3):
        assert sorted(batch_order(0, 0, epoch, 37).tolist()) == list(range(37))


def test_batch_order_differs_by_seed_stage_and_epoch_and_repeats() -> None:
    orders = {
        tuple(batch_order(seed, stage, epoch, 20).tolist())
        for seed in (0, 1)
        for stage in (0, 1)
        for epoch in (1, 2, 3)
    }
    assert len(orders) == 12
    torch.manual_seed(7)
    assert torch.equal(batch_order(3, 0, 2, 20), batch_order(3, 0, 2, 20))


def test_drawing_an_order_leaves_the_global_generator_alone() -> None:
    before = torch.random.get_rng_state()
    batch_order(0, 0, 1, 10)
    assert torch.equal(torch.random.get_rng_state(), before)


def test_derived_seeds_differ_by_name_and_do_not_run_together() -> None:
    seeds = [
        derived_seed(0, "order", 1, 23),
        derived_seed(0, "order", 12, 3),
        derived_seed(0, "weights", 1, 23),
        derived_seed(1, "order", 1, 23),
    ]
    assert len(set(seeds)) == 4
    assert all(0 <= seed < 2**56 for seed in seeds)


def test_every_model_of_a_seed_sees_the_same_batches(
    files: Files, runs: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[list[int]] = []

    def watched(self: Slices, size: int, order: Tensor | None = None) -> Iterable[Batch]:
        for batch in original(self, size, order):
            if order is not None:
                seen.append(batch.indices.tolist())
            yield batch

    original = Slices.batches
    monkeypatch.setattr(Slices, "batches", watched)
    orders = {}
    for model in ("teacher", "sft_teacher", "student", "std_kd_at"):
        seen.clear()
        inputs = std_inputs(files, runs) if "kd" in model else files.inputs()
        train(study_with(), model, inputs, tmp_path / model)
        orders[model] = list(seen)
    expected = [
        indices
        for epoch in (1, 2)
        for indices in map(Tensor.tolist, batch_order(0, 0, epoch, TRAIN).split(4))
    ]
    assert [len(indices) for indices in expected] == [4, 2, 4, 2]
    for model in ("teacher", "sft_teacher", "student"):
        assert orders[model] == expected
    assert orders["std_kd_at"][: len(expected)] == expected
    assert orders["std_kd_at"][len(expected) :] != expected


def test_validation_has_every_slice_once_in_the_stores_order(files: Files) -> None:
    slices, _ = files.slices("validation")
    assert len(slices) == VALIDATION
    batches = list(slices.batches(2))
    assert [batch.indices.tolist() for batch in batches] == [[0, 1], [2]]
    assert torch.equal(torch.cat([batch.target for batch in batches]), slices.target)
    assert batches[0].target.shape == (2, 1, SIZE, SIZE)
