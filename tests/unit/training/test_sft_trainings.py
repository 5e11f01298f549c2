"""Whole student-friendly trainings under their options, and options that are refused."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from pipeline_src.cli import main
from pipeline_src.config import Study, check_study
from pipeline_src.data.preparation import PreparedData
from pipeline_src.data.store import write_store
from pipeline_src.models.weights import load_network
from pipeline_src.planning.plans import training_plan
from pipeline_src.running.training_run import run_training
from pipeline_src.sampling.masks import drawn_mask, write_mask
from pipeline_src.training.builder import Inputs

SIZE = 16


# Whole trainings.


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> Inputs:
    folder = tmp_path_factory.mktemp("data")
    rng = np.random.default_rng(3)
    y, x = np.mgrid[:SIZE, :SIZE] / SIZE
    prepared = PreparedData()
    for volume, part in enumerate(["train", "train", "validation"]):
        for index in range(2):
            cy, cx, width = rng.uniform(0.3, 0.7, 3)
            image = np.exp(-((y - cy) ** 2 + (x - cx) ** 2) / (width / 2) ** 2)
            prepared.images.append(image.astype(np.float32))
            prepared.slices.append(
                {
                    "patient": f"p{volume}",
                    "frame": "",
                    "part": part,
                    "slice": index,
                    "volume": volume,
                }
            )
    write_store(folder / "volumes.h5", prepared, {"dataset": "blobs"})
    write_mask(folder / "mask.npz", drawn_mask((SIZE, SIZE), 4, 0, 2))
    return Inputs(folder / "volumes.h5", folder / "mask.npz")


NETWORKS = {
    "teacher": {"depth": 4, "cascades": 3, "features": 8},
    "student": {"depth": 3, "cascades": 3, "features": 8},
}


def trained(
    study: dict[str, Any], model: str, inputs: Inputs, folder: Path, **values: Any
) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Weights of the model, and of the student blocks where it has any."""
    training = {"epochs": 3, "batch_size": 2, "threads": 1, "device": "cpu", "learning_rate": 0.01}
    given: dict[str, Any] = {"networks": NETWORKS, "methods": {}, "training": training}
    checked: Study = check_study(study | given | values)
    run_training(training_plan(checked, model, 7), inputs, folder, {})
    blocks = folder / "student_weights.safetensors"
    return (
        load_network(folder / "weights.safetensors").state_dict(),
        load_network(blocks).state_dict() if blocks.exists() else {},
    )


def that_matter(state: dict[str, Tensor]) -> set[str]:
    """All but the biases of last convolutions: constants, which data fidelity takes out again."""
    last = max(int(name.split(".")[3]) for name in state)
    return {name for name in state if not name.endswith(f"convolutions.{last}.bias")}


def moved(first: dict[str, Tensor], second: dict[str, Tensor]) -> set[str]:
    assert set(first) == set(second)
    return {n for n in that_matter(first) if (first[n] - second[n]).abs().max() > 1e-4}


def test_the_teachers_term_alone_trains_the_teacher_as_on_its_own(
    inputs: Inputs, tiny_study: dict[str, Any], tmp_path: Path
) -> None:
    alone, _ = trained(tiny_study, "teacher", inputs, tmp_path / "alone")
    sft = {"teacher_weight": 1.0, "student_weight": 0.0, "imitation_weight": 0.0}
    teacher, student = trained(tiny_study, "sft_teacher", inputs, tmp_path / "sft", sft=sft)
    for name, tensor in alone.items():
        torch.testing.assert_close(teacher[name], tensor, rtol=1e-3, atol=1e-5)
    # It did learn, and the other terms do change it.
    start, blocks = trained(
        tiny_study,
        "sft_teacher",
        inputs,
        tmp_path / "start",
        training={"epochs": 1, "learning_rate": 1e-30, "threads": 1, "device": "cpu"},
    )
    assert moved(start, teacher) == that_matter(teacher)
    full, _ = trained(tiny_study, "sft_teacher", inputs, tmp_path / "full")
    assert moved(full, teacher)
    assert moved(blocks, student) == set()


@pytest.mark.parametrize("branches", [None, 1])
def test_imitation_of_features_trains_both_networks(
    branches: int | None, inputs: Inputs, tiny_study: dict[str, Any], tmp_path: Path
) -> None:
    start_teacher, start_student = trained(
        tiny_study,
        "sft_teacher",
        inputs,
        tmp_path / "start",
        training={"epochs": 1, "learning_rate": 1e-30, "threads": 1, "device": "cpu"},
    )
    sft = {
        "imitation_domain": "features",
        "imitation_normalisation": "mean",
        "student_weight": 0.0,
        "branches": branches,
    }
    teacher, student = trained(tiny_study, "sft_teacher", inputs, tmp_path / "sft", sft=sft)
    assert moved(start_teacher, teacher) == that_matter(teacher)
    # The student learns by imitation alone: what lies behind its last middle feature has no part.
    unused = {name for name in student if name.startswith("cascades.0.")}
    unused.add("cascades.2.convolutions.2.weight")
    assert moved(start_student, student) == that_matter(student) - unused
    # The weight of imitation matters to the teacher.
    without, _ = trained(
        tiny_study,
        "sft_teacher",
        inputs,
        tmp_path / "without",
        sft=sft | {"imitation_weight": 0.0},
    )
    assert moved(without, teacher)


def test_fewer_branches_train_the_later_student_blocks_all_the_same(
    inputs: Inputs, tiny_study: dict[str, Any], tmp_path: Path
) -> None:
    results = [
        trained(tiny_study, "sft_teacher", inputs, tmp_path / str(n), sft={"branches": n})
        for n in (1, 2)
    ]
    first = {name for name in results[0][1] if name.startswith("cascades.0.")}
    assert moved(results[0][1], results[1][1]) == that_matter(results[0][1]) - first
    assert moved(results[0][0], results[1][0]) == that_matter(results[0][0])


# What is refused.


@pytest.mark.parametrize(
    ("given", "fragments"),
    [
        ({"sft": {"branches": 0}}, ("sft.branches: 0", "greater than 0")),
        ({"sft": {"branches": -1}}, ("sft.branches: -1", "greater than 0")),
        ({"sft": {"branches": 1.5}}, ("sft.branches: 1.5", "integer")),
        ({"sft": {"branches": 3}}, ("sft.branches: 3", "the 2 that 3 cascades allow")),
        ({"sft": {"branch": 1}}, ("sft.branch: unknown key", "did you mean 'sft.branches'")),
        ({"sft": {"imitation_domain": "feature"}}, ("imitation_domain: 'feature'", "'features'")),
        ({"sft": {"imitation_normalisation": "sum"}}, ("'sum'", "'mean' or 'numel'")),
        ({"sft": {"teacher_weight": -1}}, ("sft.teacher_weight: -1", "equal to 0")),
        (
            {"sft": {"imitation_domain": "features"}, "networks": {"student": {"features": 5}}},
            ("sft.imitation_domain: 'features'", "teacher has 8 features and the student 5"),
        ),
        pytest.param(
            {"sft": {"imitation_domain": "features"}, "networks": {"student": {"padding": 2}}},
            ("padding", "2", "0"),
        ),
        pytest.param(
            {"methods": {"at": {}}, "networks": {"student": {"padding": 2}}}, ("padding", "2", "0")
        ),
    ],
    ids=str,
)
def test_wrong_options_are_refused_in_one_line(
    given: dict[str, Any],
    fragments: tuple[str, ...],
    tiny_study: dict[str, Any],
    write_config: Any,
    capsys: pytest.CaptureFixture[str],
) -> None:
    networks = copy.deepcopy(NETWORKS)
    networks["student"] |= given.get("networks", {}).get("student", {})
    study = tiny_study | {"methods": {}} | given | {"networks": networks}
    assert main(["check", "--config", str(write_config(study))]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.count("\n") == 1
    for fragment in fragments:
        assert fragment in captured.err


def test_unequal_features_may_imitate_images(tiny_study: dict[str, Any]) -> None:
    networks = {"teacher": {"features": 3}, "student": {"features": 5}}
    study = check_study(tiny_study | {"networks": networks, "sft": {"imitation_domain": "image"}})
    assert study.networks.student.features == 5
