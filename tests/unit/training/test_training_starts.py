"""What each training starts from."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from training_helpers import (
    Files,
    sft_inputs,
    state,
    std_inputs,
    study_with,
    train,
)

from pipeline_src.models.weights import save_weights
from pipeline_src.training.builder import fresh_network
from pipeline_src.training.engine import Stage

pytest_plugins = ["shared_fixtures"]


# Adam moves every weight by at most the rate, so at this one nothing moves.
STANDSTILL = 1e-30


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

    class Watched(Stage):
        def run(self, *arguments: Any) -> None:
            network = self._objective.network
            before = {k: v.clone() for k, v in network.state_dict().items()}
            super().run(*arguments)
            after = {k: v.clone() for k, v in network.state_dict().items()}
            seen.append((self.name, before, after))

    monkeypatch.setattr("pipeline_src.training.stages.Stage", Watched)
    train(study_with(), "std_kd_at", std_inputs(files, runs), tmp_path)
    assert [name for name, *_ in seen] == ["features", "reconstruction"]
    assert_same(seen[1][1], seen[0][2], seen[0][2])
    assert not torch.equal(
        seen[0][1]["cascades.1.convolutions.0.weight"],
        seen[0][2]["cascades.1.convolutions.0.weight"],
    )
