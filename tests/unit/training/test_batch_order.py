"""The order in which trainings see the slices."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from training_helpers import (
    SIZE,
    TRAIN,
    VALIDATION,
    Files,
    std_inputs,
    study_with,
    train,
)

from pipeline_src.training.seeding import batch_order, derived_seed
from pipeline_src.training.step import training_step

pytest_plugins = ["shared_fixtures"]


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

    def watched(*arguments: Any) -> Callable[[Tensor], None]:
        step = training_step(*arguments)

        def noted(indices: Tensor) -> None:
            seen.append(indices.tolist())
            step(indices)

        return noted

    monkeypatch.setattr("pipeline_src.training.engine.training_step", watched)
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
    assert torch.equal(
        torch.cat([batch.target for batch in batches]),
        slices.batch(torch.arange(len(slices))).target,
    )
    assert batches[0].target.shape == (2, 1, SIZE, SIZE)
