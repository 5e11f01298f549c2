"""Pairs of teacher and student of other depths and cascade counts."""

from __future__ import annotations

from itertools import product
from typing import Any

import numpy as np
import pytest
import torch

from pipeline_src.config import check_study
from pipeline_src.config.distillation import PAPER_METHODS, Method, StudentFriendly
from pipeline_src.config.networks import Network, Networks
from pipeline_src.distillation.base import build_loss
from pipeline_src.errors import InputError
from pipeline_src.models.dccnn import DCCNN
from pipeline_src.models.sft import SFTNetwork
from pipeline_src.planning.study_models import Models
from pipeline_src.sampling.data_fidelity import LineDataFidelity
from pipeline_src.training.data import Batch
from pipeline_src.training.objectives import DistillationObjective, StudentFriendlyObjective
from pipeline_src.training.teacher import FrozenTeacher

PAIRS = [((5, 5), (3, 5)), ((5, 3), (3, 3)), ((7, 5), (3, 5)), ((4, 2), (2, 2))]
ROWS, COLUMNS = 12, 10


def pair(teacher: tuple[int, int], student: tuple[int, int]) -> Networks:
    return Networks(
        teacher=Network(depth=teacher[0], cascades=teacher[1], features=8),
        student=Network(depth=student[0], cascades=student[1], features=8),
    )


@pytest.fixture
def batch() -> Batch:
    generator = torch.Generator().manual_seed(0)
    target = torch.rand(3, 1, ROWS, COLUMNS, generator=generator)
    return Batch("train", torch.arange(3), target, fidelity().zero_filled(target), torch.ones(3))


def fidelity() -> LineDataFidelity:
    lines = np.zeros(ROWS, dtype=np.bool_)
    lines[[0, 1, 5, 11]] = True
    return LineDataFidelity(lines)


@pytest.mark.parametrize(("teacher", "student"), PAIRS)
@pytest.mark.parametrize(
    ("name", "form"), [("imitation", None), *product(PAPER_METHODS, ["authors", "original"])]
)
def test_every_loss_trains_the_student_of_the_pair(
    batch: Batch, teacher: Any, student: Any, form: Any, name: str
) -> None:
    torch.manual_seed(0)
    networks = pair(teacher, student)
    loss = build_loss(name, Method(form=form), networks)
    assert max(tap.cascade for tap in loss.taps()) <= student[1]
    frozen = FrozenTeacher(DCCNN(networks.teacher), fidelity(), loss, cache_bytes=0, batch_size=3)
    learner = DCCNN(networks.student)
    value = DistillationObjective(learner, fidelity(), frozen, loss, feature_weight=1.0).loss(batch)
    assert torch.isfinite(value)
    assert value > 0
    value.backward()
    assert any(p.grad is not None and p.grad.any() for p in learner.parameters())
    assert all(p.grad is None for p in frozen.network.parameters())


@pytest.mark.parametrize(("teacher", "student"), PAIRS)
def test_student_friendly_training_of_the_pair(batch: Batch, teacher: Any, student: Any) -> None:
    torch.manual_seed(0)
    networks = pair(teacher, student)
    network = SFTNetwork(DCCNN(networks.teacher), DCCNN(networks.student))
    _, branches = network(batch.zero_filled, fidelity())
    assert len(branches) == teacher[1] - 1
    value = StudentFriendlyObjective(network, fidelity(), StudentFriendly()).loss(batch)
    value.backward()
    # All of the teacher learns, and all of the student but its first cascade.
    assert all(p.grad is not None for p in network.teacher.parameters())
    for number, cascade in enumerate(network.student.cascades):
        assert all((p.grad is None) == (number == 0) for p in cascade.parameters())


@pytest.mark.parametrize(("teacher", "student"), PAIRS)
def test_a_study_of_the_pair_is_planned(
    tiny_study: dict[str, Any], teacher: Any, student: Any
) -> None:
    networks = pair(teacher, student)
    study = check_study(tiny_study | {"networks": networks.model_dump()})
    models = Models(study)
    plan = models.plan("sft_kd_at", 0)
    assert plan.network == networks.student
    assert plan.distillation is not None
    assert plan.distillation.teacher == networks.teacher
    assert (networks.teacher.name, networks.student.name) == (
        f"D{teacher[0]}C{teacher[1]}",
        f"D{student[0]}C{student[1]}",
    )


def test_cascade_counts_that_differ_are_one_clear_line(tiny_study: dict[str, Any]) -> None:
    networks = pair((5, 5), (3, 3)).model_dump()
    with pytest.raises(InputError, match=r"networks.student.cascades: 3 differs from .* 5"):
        check_study(tiny_study | {"networks": networks})
