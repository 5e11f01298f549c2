"""Distillation losses through the networks and the objective of a training."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import torch
from loss_helpers import (
    STUDENT,
    TEACHER,
    every_loss,
    loss_of,
)

from pipeline_src.data.store import Store
from pipeline_src.distillation.base import DistillationLoss
from pipeline_src.models.dccnn import DCCNN
from pipeline_src.sampling.data_fidelity import LineDataFidelity
from pipeline_src.training.data import Slices
from pipeline_src.training.objectives import DistillationObjective
from pipeline_src.training.teacher import FrozenTeacher


def random_slices(count: int = 5, part: str = "train") -> Slices:
    rng = np.random.default_rng(3)
    images = rng.random((count, 16, 16), dtype=np.float32)
    index = pd.DataFrame(
        {"patient": "p", "frame": "", "part": part, "slice": range(count), "volume": 0}
    )
    store = Store(images, index, pd.DataFrame(), pd.DataFrame(), {part: 1}, {}, "")
    return Slices(store, part, fidelity(), torch.device("cpu"))


def fidelity() -> LineDataFidelity:
    lines = np.zeros(16, dtype=np.bool_)
    lines[[0, 1, 3, 15]] = True
    return LineDataFidelity(lines)


def networks() -> tuple[DCCNN, DCCNN]:
    torch.manual_seed(1)
    return DCCNN(TEACHER), DCCNN(STUDENT)


def frozen(loss: DistillationLoss, teacher: DCCNN, cache_bytes: int) -> FrozenTeacher:
    return FrozenTeacher(teacher, fidelity(), loss, cache_bytes=cache_bytes, batch_size=2)


@every_loss
@pytest.mark.parametrize("batch", [1, 4])
def test_gradient_reaches_the_student_and_never_the_teacher(
    method: str, form: str, batch: int
) -> None:
    loss = loss_of(method, form)
    teacher, student = networks()
    objective = DistillationObjective(
        student, fidelity(), frozen(loss, teacher, 0), loss, feature_weight=1.0
    )
    value = objective.loss(random_slices().batch(torch.arange(batch)))
    value.backward()
    assert torch.isfinite(value)
    assert all(p.grad is None and not p.requires_grad for p in teacher.parameters())
    gradients = [p.grad for p in student.parameters() if p.grad is not None]
    assert gradients
    assert all(torch.isfinite(g).all() for g in gradients)
    if batch > 1:
        assert any((g != 0).any() for g in gradients)


def test_each_weight_multiplies_the_distance_to_what_it_is_named_after() -> None:
    loss = loss_of("imitation", None)
    teacher, student = networks()
    batch = random_slices().batch(torch.arange(4))
    with torch.no_grad():
        of_student, of_teacher = (n(batch.zero_filled, fidelity()) for n in (student, teacher))
    to_target = float((of_student - batch.target).abs().mean())
    to_teacher = float((of_student - of_teacher).abs().mean())
    assert to_teacher != pytest.approx(to_target, rel=0.01)
    memory = frozen(loss, teacher, 0)
    for weight, wanted in (
        ("reconstruction_weight", 3 * to_target),
        ("imitation_weight", 3 * to_teacher),
        # The feature of this loss is the reconstruction.
        ("feature_weight", 3 * to_teacher),
    ):
        objective = DistillationObjective(student, fidelity(), memory, loss, **{weight: 3.0})
        assert objective.loss(batch).item() == pytest.approx(wanted, rel=1e-5)
        assert objective.validate(batch)[0].item() == pytest.approx(wanted, rel=1e-5)


@every_loss
def test_the_feature_stage_ends_at_the_last_cascade_compared(method: str, form: str) -> None:
    loss = loss_of(method, form)
    teacher, student = networks()
    memory = frozen(loss, teacher, 1 << 20)
    batch = random_slices().batch(torch.arange(4))
    ran: list[int] = []
    for number, cascade in enumerate(student.cascades, start=1):
        cascade.register_forward_hook(lambda *_, number=number: ran.append(number))
    last = max(tap.cascade for tap in loss.taps())
    alone = DistillationObjective(student, fidelity(), memory, loss, feature_weight=1.0)
    value = alone.loss(batch)
    assert ran == list(range(1, last + 1))
    # Validation reconstructs as well, and has the same loss to the bit, where the method selects
    # by it.
    ran.clear()
    validated = alone.validate(batch)[0]
    if "compare_for_selection" in vars(type(loss)) and form == "authors":
        assert validated != value
    else:
        assert torch.equal(validated, value)
    weights = {"feature_weight": 1.0, "reconstruction_weight": 1.0}
    DistillationObjective(student, fidelity(), memory, loss, **weights).loss(batch)
    assert ran == 2 * list(range(1, len(student.cascades) + 1))


@every_loss
def test_teacher_is_left_unchanged_by_a_step_of_the_student(method: str, form: str) -> None:
    loss = loss_of(method, form)
    teacher, student = networks()
    before = {name: value.clone() for name, value in teacher.state_dict().items()}
    objective = DistillationObjective(
        student,
        fidelity(),
        frozen(loss, teacher, 1 << 20),
        loss,
        reconstruction_weight=1.0,
        feature_weight=1.0,
        imitation_weight=1.0,
    )
    optimiser = torch.optim.Adam(student.parameters(), lr=0.1)
    started = student.state_dict()["cascades.0.convolutions.0.weight"].clone()
    objective.loss(random_slices().batch(torch.arange(4))).backward()
    optimiser.step()
    assert not torch.equal(student.state_dict()["cascades.0.convolutions.0.weight"], started)
    for name, value in teacher.state_dict().items():
        assert torch.equal(value, before[name]), name


@every_loss
def test_remembered_answers_equal_those_of_a_teacher_that_runs_anew(method: str, form: str) -> None:
    loss = loss_of(method, form)
    teacher, student = networks()
    slices = random_slices()
    cached, anew = frozen(loss, teacher, 1 << 24), frozen(loss, teacher, 0)
    assert cached.remember(slices)
    assert not anew.remember(slices)
    weights = {"reconstruction_weight": 1.0, "feature_weight": 0.7, "imitation_weight": 0.3}
    losses = []
    for memory in (cached, anew):
        objective = DistillationObjective(student, fidelity(), memory, loss, **weights)
        losses.append([objective.loss(b) for b in slices.batches(2, torch.tensor([4, 1, 0, 3, 2]))])
    torch.testing.assert_close(losses[0], losses[1], rtol=1e-5, atol=1e-8)
    batch = slices.batch(torch.tensor([3, 0]))
    torch.testing.assert_close(cached.answers(batch), anew.answers(batch), rtol=1e-5, atol=1e-6)


def test_remembered_answers_need_no_further_run_of_the_teacher() -> None:
    loss = loss_of("at", "authors")
    teacher, _ = networks()
    slices = random_slices()
    runs: list[int] = []
    cached = frozen(loss, teacher, 1 << 24)
    assert cached.remember(slices)
    teacher.register_forward_hook(lambda *_: runs.append(1))
    cached.answers(slices.batch(torch.arange(3)))
    assert runs == []
    frozen(loss, teacher, 0).answers(slices.batch(torch.arange(3)))
    assert runs == [1]


def test_memory_is_shared_between_the_parts_and_never_exceeded() -> None:
    loss = loss_of("at", "authors")
    teacher, _ = networks()
    train, validation = random_slices(5), random_slices(3, "validation")
    # One reconstruction and five attention maps of 16 x 16 numbers of four bytes per slice.
    per_slice = 6 * 16 * 16 * 4
    memory = frozen(loss, teacher, per_slice * 7)
    assert memory.remember(train)
    assert not memory.remember(validation)
    assert frozen(loss, teacher, per_slice * 5).remember(train)
    assert not frozen(loss, teacher, per_slice * 5 - 1).remember(train)
    both = frozen(loss, teacher, per_slice * 8)
    assert both.remember(train)
    assert both.remember(validation)
    batch = validation.batch(torch.tensor([2]))
    torch.testing.assert_close(both.answers(batch), memory.answers(batch), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("weight", ["reconstruction_weight", "feature_weight", "imitation_weight"])
def test_each_weight_of_a_distillation_scales_its_own_term(weight: str) -> None:
    loss = loss_of("sp", "authors")
    teacher, student = networks()
    batch = random_slices().batch(torch.arange(4))

    def value(**weights: float) -> float:
        memory = frozen(loss, teacher, 0)
        return (
            DistillationObjective(student, fidelity(), memory, loss, **weights).loss(batch).item()
        )

    names = ["reconstruction_weight", "feature_weight", "imitation_weight"]
    alone = value(**{weight: 1.0})
    assert alone > 0
    others = sum(value(**{name: 1.0}) for name in names if name != weight)
    assert value(**dict.fromkeys(names, 1.0) | {weight: 3.0}) == pytest.approx(
        others + 3 * alone, rel=1e-5
    )
