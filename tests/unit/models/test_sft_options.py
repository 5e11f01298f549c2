"""Options of student-friendly training: branches, the domain of imitation, gradients of terms."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from pipeline_src.config.distillation import StudentFriendly
from pipeline_src.config.networks import Network
from pipeline_src.models.dccnn import DCCNN
from pipeline_src.models.sft import SFTNetwork
from pipeline_src.models.taps import Features, Tap, tapped
from pipeline_src.sampling.data_fidelity import LineDataFidelity
from pipeline_src.training.data import Batch
from pipeline_src.training.objectives import StudentFriendlyObjective, feature_imitation

SIZE = 16
BATCH = 3
CASCADES = 4
TEACHER = Network(depth=4, cascades=CASCADES, features=3, padding=2)
STUDENT = Network(depth=3, cascades=CASCADES, features=3, padding=2)
NORMALISATIONS = ("mean", "numel")


@pytest.fixture
def fidelity() -> LineDataFidelity:
    lines = np.zeros(SIZE, dtype=np.bool_)
    lines[[0, 1, 5, 15]] = True
    return LineDataFidelity(lines)


@pytest.fixture
def batch(fidelity: LineDataFidelity) -> Batch:
    target = torch.rand(BATCH, 1, SIZE, SIZE, generator=torch.Generator().manual_seed(1))
    return Batch(
        "train", torch.arange(BATCH), target, fidelity.zero_filled(target), target.amax((1, 2, 3))
    )


def sft_network(branches: int | None = None) -> SFTNetwork:
    """Always the same weights, large enough for the branches to differ."""
    torch.manual_seed(0)
    network = SFTNetwork(DCCNN(TEACHER), DCCNN(STUDENT), branches)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.mul_(2)
    return network


# Fewer branches.


@pytest.mark.parametrize("branches", range(1, CASCADES))
def test_fewer_branches_are_the_first_of_all_branches(
    branches: int, batch: Batch, fidelity: LineDataFidelity
) -> None:
    with torch.no_grad():
        teacher, all_branches = sft_network()(batch.zero_filled, fidelity)
        fewer_teacher, fewer = sft_network(branches)(batch.zero_filled, fidelity)
    assert all_branches.shape == (CASCADES - 1, BATCH, 1, SIZE, SIZE)
    assert fewer.shape == (branches, BATCH, 1, SIZE, SIZE)
    torch.testing.assert_close(fewer, all_branches[:branches], rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(fewer_teacher, teacher, rtol=1e-5, atol=1e-6)
    # The branches differ from each other by far more than the tolerance.
    for first in range(CASCADES - 1):
        for second in range(first):
            assert (all_branches[first] - all_branches[second]).abs().max() > 1e-4


@pytest.mark.parametrize("branches", range(1, CASCADES))
def test_a_branch_is_the_teacher_up_to_its_cascade_and_the_student_after_it(
    branches: int, batch: Batch, fidelity: LineDataFidelity
) -> None:
    network = sft_network(branches)
    with torch.no_grad():
        _, found = network(batch.zero_filled, fidelity)
        for number in range(1, branches + 1):
            x = batch.zero_filled
            blocks = [*network.teacher.cascades[:number], *network.student.cascades[number:]]
            assert len(blocks) == CASCADES
            for block in blocks:
                x = fidelity(block(x), batch.zero_filled)
            torch.testing.assert_close(found[number - 1], x, rtol=1e-5, atol=1e-6)


# Imitation in the feature domain.


def middle(network: DCCNN, cascade: int, image: Tensor) -> tuple[Tensor, Tensor]:
    """Middle feature of a block (from 1) by a plain loop, and the block's output."""
    block: Any = network.cascades[cascade - 1]
    depth = network.network.depth
    pad = network.network.padding
    x = nn.functional.pad(image, (pad,) * 4)
    feature = x
    for number, convolution in enumerate(block.convolutions, start=1):
        x = convolution(x)
        if number < depth:
            x = x.relu()
        if number == (depth + 1) // 2:
            feature = x
    return feature, x[..., pad:-pad, pad:-pad] if pad else x


def explicit_feature_imitation(
    network: SFTNetwork, branches: int, batch: Batch, fidelity: LineDataFidelity, numel: bool
) -> Tensor:
    """The mean over pairs of a branch and a cascade it goes through, each pair by itself."""
    of_teacher, path = {}, [batch.zero_filled]
    for k in range(1, CASCADES + 1):
        of_teacher[k], out = middle(network.teacher, k, path[-1])
        path.append(fidelity(out, batch.zero_filled))
    terms = []
    for branch in range(1, branches + 1):
        x = path[branch]
        for k in range(branch + 1, CASCADES + 1):
            feature, out = middle(network.student, k, x)
            x = fidelity(out, batch.zero_filled)
            term = (feature - of_teacher[k]).abs().sum() / feature.numel()
            terms.append(term / of_teacher[k].numel() if numel else term)
    assert len(terms) == sum(CASCADES - branch for branch in range(1, branches + 1))
    return torch.stack(terms).mean()


def only(**weights: Any) -> StudentFriendly:
    """The named terms; the others weigh nothing."""
    nothing = {"teacher_weight": 0, "student_weight": 0, "imitation_weight": 0}
    return StudentFriendly.model_validate(nothing | weights)


@pytest.mark.parametrize("normalisation", NORMALISATIONS)
@pytest.mark.parametrize("branches", range(1, CASCADES))
def test_feature_imitation_is_the_mean_over_branches_and_their_cascades(
    normalisation: str, branches: int, batch: Batch, fidelity: LineDataFidelity
) -> None:
    network = sft_network(branches)
    taps = [Tap("mid", k) for k in range(2, CASCADES + 1)]
    with (
        torch.no_grad(),
        tapped(network.teacher, taps) as of_teacher,
        tapped(network.student, taps) as of_student,
    ):
        network(batch.zero_filled, fidelity)
        found = feature_imitation(of_student, of_teacher, normalisation)
    expected = explicit_feature_imitation(
        network, branches, batch, fidelity, normalisation == "numel"
    )
    assert found.shape == ()
    assert found.item() == pytest.approx(expected.item(), rel=1e-5, abs=0)
    assert found.item() > 0

    weights = only(
        imitation_weight=2, imitation_domain="features", imitation_normalisation=normalisation
    )
    loss = StudentFriendlyObjective(network, fidelity, weights).loss(batch)
    assert loss.item() == pytest.approx(2 * expected.item(), rel=1e-5, abs=0)


def test_feature_imitation_by_hand() -> None:
    # Cascade 2 is on the path of branch 1 alone, cascade 3 on those of branches 1 and 2.
    teacher: Features = {
        Tap("mid", 2): torch.full((1, 2, 2, 2), 1.0),
        Tap("mid", 3): torch.full((1, 2, 2, 2), 4.0),
    }
    student: Features = {
        Tap("mid", 2): torch.full((1, 2, 2, 2), 3.0),
        Tap("mid", 3): torch.stack([torch.full((2, 2, 2), v) for v in (5.0, 10.0)]),
    }
    # |3 - 1|, |5 - 4| and |10 - 4|.
    assert feature_imitation(student, teacher, "mean").item() == pytest.approx((2 + 1 + 6) / 3)
    assert feature_imitation(student, teacher, "numel").item() == pytest.approx((2 + 1 + 6) / 24)


def test_domains_of_imitation_differ_and_the_other_terms_do_not(
    batch: Batch, fidelity: LineDataFidelity
) -> None:
    def value(**weights: Any) -> float:
        return StudentFriendlyObjective(sft_network(), fidelity, only(**weights)).loss(batch).item()

    for term in ("teacher_weight", "student_weight"):
        image, features = (value(**{term: 1}, imitation_domain=d) for d in ("image", "features"))
        assert image == features > 0
    image, features = (
        value(imitation_weight=1, imitation_domain=d, imitation_normalisation="mean")
        for d in ("image", "features")
    )
    assert image != pytest.approx(features, rel=1e-2)


# Where the gradient goes.


def gradients(
    weights: StudentFriendly, batch: Batch, fidelity: LineDataFidelity, branches: int | None = None
) -> tuple[list[float], list[float]]:
    """Largest gradient of each cascade of the teacher and of the student."""
    network = sft_network(branches)
    StudentFriendlyObjective(network, fidelity, weights).loss(batch).backward()

    def largest(role: DCCNN) -> list[float]:
        return [
            max(0.0 if p.grad is None else p.grad.abs().max().item() for p in block.parameters())
            for block in role.cascades
        ]

    return largest(network.teacher), largest(network.student)


@pytest.mark.parametrize("domain", ["image", "features"])
@pytest.mark.parametrize("normalisation", NORMALISATIONS)
def test_gradient_of_imitation_reaches_teacher_and_student(
    domain: str, normalisation: str, batch: Batch, fidelity: LineDataFidelity
) -> None:
    weights = only(
        imitation_weight=1, imitation_domain=domain, imitation_normalisation=normalisation
    )
    teacher, student = gradients(weights, batch, fidelity)
    assert all(value > 0 for value in teacher)
    assert student[0] == 0
    assert all(value > 0 for value in student[1:])


def test_gradient_of_the_students_reaches_the_teacher_as_far_as_the_branches_share_it(
    batch: Batch, fidelity: LineDataFidelity
) -> None:
    for branches in range(1, CASCADES):
        teacher, student = gradients(only(student_weight=1), batch, fidelity, branches)
        assert [value > 0 for value in teacher] == [k <= branches for k in range(1, CASCADES + 1)]
        assert [value > 0 for value in student] == [k > 1 for k in range(1, CASCADES + 1)]


def test_gradient_of_the_teachers_term_reaches_the_teacher_alone(
    batch: Batch, fidelity: LineDataFidelity
) -> None:
    teacher, student = gradients(only(teacher_weight=1), batch, fidelity)
    assert all(value > 0 for value in teacher)
    assert student == [0] * CASCADES
