"""Options of student-friendly training: branches, the domain of imitation, weights of terms."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from pipeline_src.cli import main
from pipeline_src.config import Study, check_study, training_plan
from pipeline_src.config.method import Network, StudentFriendly
from pipeline_src.data.preparation import PreparedData
from pipeline_src.data.store import write_store
from pipeline_src.models.dccnn import DCCNN
from pipeline_src.models.sft import SFTNetwork
from pipeline_src.models.taps import Features, Tap, tapped
from pipeline_src.models.weights import load_network
from pipeline_src.sampling.data_fidelity import LineDataFidelity
from pipeline_src.sampling.masks import drawn_mask, write_mask
from pipeline_src.training.builder import Inputs
from pipeline_src.training.data import Batch
from pipeline_src.training.objectives import StudentFriendlyTraining, feature_imitation
from pipeline_src.training.run import run_training

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
    network = SFTNetwork(TEACHER, STUDENT, branches)
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
    loss = StudentFriendlyTraining(network, fidelity, weights).loss(batch)
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
        return StudentFriendlyTraining(sft_network(), fidelity, only(**weights)).loss(batch).item()

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
    StudentFriendlyTraining(network, fidelity, weights).loss(batch).backward()

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
