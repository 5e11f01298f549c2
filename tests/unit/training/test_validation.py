"""Validation passes: what they find, and how many slices they may take at once."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch.nn.functional import l1_loss
from training_helpers import Files, study_with

from pipeline_src.planning.plans import training_plan
from pipeline_src.training.builder import Builder, fresh_network
from pipeline_src.training.objectives import Objective, ReconstructionObjective
from pipeline_src.training.step import AT_ONCE, Validation, pass_size

pytest_plugins = ["shared_fixtures"]

CPU, CUDA = torch.device("cpu"), torch.device("cuda")


def test_each_slice_is_looked_at_once_in_order(files: Files) -> None:
    slices, fidelity = files.slices("validation")
    network = fresh_network(study_with().networks.student, 0, "student")
    look = Validation(ReconstructionObjective(network, fidelity), slices, 2)
    for _ in range(2):
        look()
    assert [indices.tolist() for indices in look.batches] == [[0, 1], [2]]
    with torch.no_grad():
        whole = slices.batch(torch.arange(3))
        image = network(whole.zero_filled, fidelity)
    wanted = [l1_loss(image[i], whole.target[i]) for i in (slice(0, 2), slice(2, 3))]
    assert look.losses.tolist() == pytest.approx([loss.item() for loss in wanted], rel=1e-6)
    mse = (image - whole.target).square().mean(dim=(1, 2, 3))
    psnr = 10 * torch.log10(whole.data_range.square() / mse)
    assert look.psnr.tolist() == pytest.approx(psnr.tolist(), rel=1e-6)


def test_the_data_range_of_a_slice_is_the_maximum_of_its_volume(files: Files) -> None:
    slices, _ = files.slices("train")
    first, second = (slices.batch(torch.arange(k, k + 3)).target.max().item() for k in (0, 3))
    assert first != second
    assert slices.batch(torch.tensor([4, 0, 5])).data_range.tolist() == [second, first, second]


@pytest.mark.parametrize(
    ("model", "stage", "alone"),
    [
        ("teacher", "reconstruction", True),
        ("sft_teacher", "student_friendly", True),
        ("std_kd_fsp", "features", False),
        ("std_kd_fsp", "reconstruction", True),
    ],
)
def test_more_slices_at_once_only_where_none_depends_on_another(
    files: Files, runs: dict[str, Path], model: str, stage: str, alone: bool
) -> None:
    objective = objective_of(files, runs, model, stage)
    assert pass_size(objective, CPU, 4) == 4
    assert pass_size(objective, CUDA, 4) == (AT_ONCE if alone else 4)
    assert pass_size(objective, CUDA, 64) == 64
    if alone:
        slices, _ = files.slices("validation")
        with torch.no_grad():
            together = objective.validate(slices.batch(torch.arange(3)))[0]
            apart = [objective.validate(slices.batch(torch.tensor([i])))[0] for i in range(3)]
        assert together.item() == pytest.approx(torch.stack(apart).mean().item(), rel=1e-5)


def objective_of(files: Files, runs: dict[str, Path], model: str, stage: str) -> Objective:
    plan = training_plan(study_with(), model, 0)
    slices, fidelity = files.slices("validation")
    teacher = runs["teacher"] / "weights.safetensors" if plan.distillation else None
    inputs = files.inputs(teacher)
    return Builder(plan, inputs, fidelity, CPU).objective(stage, [slices])


def test_a_loss_of_ones_own_is_taken_to_depend_on_the_batch() -> None:
    assert Objective.depends_on_batch
