"""The benchmark's baseline steps as the engine does: losses, gradients, Adam."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path

import numpy as np
import pytest
import torch
from textbook_case import (
    KINDS,
    NETWORKS,
    Case,
    assert_close,
    gradients_by_convolution,
    textbook,
    textbook_name,
)

from pipeline_src.training.optimiser import Adam
from pipeline_src.training.step import EpochLosses, training_step

pytest_plugins = ["textbook_fixtures"]


def test_every_kind_is_known_and_no_other() -> None:
    assert sorted(textbook.KINDS) == sorted(KINDS)
    with pytest.raises(ValueError, match="'at' is none of teacher, student"):
        textbook.build("at", np.ones((4, 4)))


@pytest.mark.parametrize("kind", KINDS)
def test_loss_and_gradients_are_those_of_the_pipeline(case: Case, kind: str) -> None:
    batch, own = case.both(3)
    objective, step = case.objective(kind), case.step(kind)
    expected, found = objective.loss(own), step.loss(batch)
    assert expected.item() > 0
    assert found.item() == pytest.approx(expected.item(), rel=1e-5)
    expected.backward()
    found.backward()
    gradients = gradients_by_convolution(step.trained)
    assert len(gradients) >= 3 * NETWORKS.student.depth
    wanted = gradients_by_convolution(objective.trained)
    assert set(gradients) == {textbook_name(name) for name in wanted}
    for name, gradient in wanted.items():
        assert_close(gradients[textbook_name(name)], gradient, 1e-4)


def test_congruence_of_one_slice_has_no_neighbours(case: Case) -> None:
    batch, own = case.both(1)
    assert case.step("cc_features").loss(batch).item() == 0
    assert case.objective("cc_features").loss(own).item() == 0


@pytest.mark.parametrize("kind", KINDS)
def test_a_step_moves_the_trained_weights_alone(case: Case, kind: str) -> None:
    batch, _ = case.both(3)
    step = case.step(kind)
    before = {name: p.detach().clone() for name, p in step.trained.named_parameters()}
    frozen = step.teacher.state_dict() if hasattr(step, "teacher") else {}
    teacher = {name: value.clone() for name, value in frozen.items()}
    losses = [step.run(batch)]
    for name, parameter in step.trained.named_parameters():
        assert torch.isfinite(parameter).all()
        moved = not torch.equal(parameter, before[name])
        if parameter.grad is None:
            assert not moved, name
        elif name.endswith("weight"):
            assert moved, name
            # Adam's first step is about as long as the rate; its epsilon shortens that of FSP,
            # whose gradients are as small.
            largest = (parameter.detach() - before[name]).abs().max().item()
            gradient = parameter.grad.abs().max().item()
            assert largest == pytest.approx(1e-3 * gradient / (gradient + 1e-8), rel=0.05)
    losses.append(step.run(batch))
    assert np.isfinite(losses).all()
    assert losses[0] != losses[1]
    assert step.total_loss == sum(losses)
    for name, value in teacher.items():
        assert torch.equal(frozen[name], value)
    assert bool(frozen) == kind.endswith(("_features", "_reconstruction"))


@pytest.mark.parametrize("kind", ["teacher", "sft", "at_features"])
def test_some_steps_of_training_are_those_of_the_engine(case: Case, kind: str) -> None:
    batch, _ = case.both(4)
    objective, step = case.objective(kind), case.step(kind)
    adam = Adam(dict(objective.trained.named_parameters()))
    adam.set_rate(1e-3)
    losses = EpochLosses(5, torch.device("cpu"))
    engine = training_step(objective, adam, case.slices, losses)
    for _ in range(5):
        engine(torch.arange(4))
    expected = losses.values.tolist()
    assert [step.run(batch) for _ in range(5)] == pytest.approx(expected, rel=1e-3)
    assert expected[-1] < expected[0]


def test_the_textbook_is_built_on_the_device_that_is_asked_for(tmp_path: Path) -> None:
    contenders = import_module("benchmarks.contenders")
    contenders.write_data(tmp_path, 48)
    work = contenders.Work("textbook", "at_reconstruction", tmp_path, 1, "meta")
    step = contenders.Textbook(work)._step
    weights = [*step.trained.parameters(), *step.teacher.parameters(), step.fidelity.mask]
    assert {tensor.device.type for tensor in weights} == {"meta"}
