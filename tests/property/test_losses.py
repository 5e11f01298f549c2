"""The five feature losses: what each must do whatever the features are."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from pipeline_src.config.method import Method, Network, Networks
from pipeline_src.data.store import Store
from pipeline_src.distillation.base import DistillationLoss, build_loss
from pipeline_src.distillation.losses.fsp import fsp_matrix
from pipeline_src.errors import InputError
from pipeline_src.models.dccnn import DCCNN
from pipeline_src.models.taps import Features, Tap
from pipeline_src.sampling.data_fidelity import LineDataFidelity
from pipeline_src.training.data import Slices
from pipeline_src.training.objectives import Distillation
from pipeline_src.training.teacher import FrozenTeacher

METHODS = ("at", "cc", "fitnets", "fsp", "sp")
FORMS = ("authors", "original")
CASES = [(method, form) for method in METHODS for form in FORMS]
every_loss = pytest.mark.parametrize(("method", "form"), CASES)

TEACHER = Network(depth=5, features=3)
STUDENT = Network(depth=3, features=3)
QUICK = settings(max_examples=8, deadline=None)
SEEDS = st.integers(0, 2**32 - 1)


def loss_of(method: str, form: str) -> DistillationLoss:
    options = Method.model_validate({"form": form})
    return build_loss(method, options, Networks(teacher=TEACHER, student=STUDENT))


def random_features(loss: DistillationLoss, batch: int, seed: int) -> Features:
    """Features of the shapes that a network gives; middle ones are ReLU outputs."""
    generator = torch.Generator().manual_seed(seed)
    features: Features = {}
    for tap in loss.taps():
        channels = 3 if tap.place == "mid" else 1
        value = torch.randn(batch, channels, 5, 6, generator=generator)
        features[tap] = value.relu() if tap.place == "mid" else value
    return features


def compare(loss: DistillationLoss, student: Features, teacher: Features) -> Tensor:
    return loss.compare(loss.summarise(student), loss.summarise(teacher))


def scaled(features: Features, factor: float | Tensor) -> Features:
    return {tap: value * factor for tap, value in features.items()}


@every_loss
@QUICK
@given(seed=SEEDS, batch=st.integers(1, 4))
def test_zero_for_identical_features(method: str, form: str, seed: int, batch: int) -> None:
    loss = loss_of(method, form)
    features = random_features(loss, batch, seed)
    assert compare(loss, features, features).item() == 0


@every_loss
@QUICK
@given(seed=SEEDS, batch=st.integers(2, 4))
def test_positive_for_different_features(method: str, form: str, seed: int, batch: int) -> None:
    loss = loss_of(method, form)
    value = compare(
        loss, random_features(loss, batch, seed), random_features(loss, batch, seed + 1)
    )
    assert value.shape == ()
    assert torch.isfinite(value)
    assert value > 0


@every_loss
@QUICK
@given(seed=SEEDS, batch=st.integers(1, 4))
def test_summary_of_a_batch_is_the_summaries_of_its_slices(
    method: str, form: str, seed: int, batch: int
) -> None:
    loss = loss_of(method, form)
    features = random_features(loss, batch, seed)
    together = loss.summarise(features)
    alone = [
        loss.summarise({tap: value[b : b + 1] for tap, value in features.items()})
        for b in range(batch)
    ]
    assert len(together) == len(alone[0]) > 0
    for place, summary in enumerate(together):
        assert summary.shape[0] == batch
        torch.testing.assert_close(summary, torch.cat([one[place] for one in alone]))


@every_loss
@QUICK
@given(seed=SEEDS, batch=st.integers(1, 4))
def test_gradient_of_the_features_is_finite(method: str, form: str, seed: int, batch: int) -> None:
    loss = loss_of(method, form)
    student = random_features(loss, batch, seed)
    leaves = [value.requires_grad_() for value in student.values()]
    compare(loss, student, random_features(loss, batch, seed + 1)).backward()
    for leaf in leaves:
        assert leaf.grad is not None
        assert torch.isfinite(leaf.grad).all()
    if batch > 1:
        assert any((leaf.grad != 0).any() for leaf in leaves if leaf.grad is not None)


@every_loss
def test_gradient_is_finite_where_features_are_zero(method: str, form: str) -> None:
    loss = loss_of(method, form)
    student = {tap: value * 0 for tap, value in random_features(loss, 3, 0).items()}
    leaves = [value.requires_grad_() for value in student.values()]
    value = compare(loss, student, random_features(loss, 3, 1))
    value.backward()
    assert torch.isfinite(value)
    for leaf in leaves:
        assert leaf.grad is not None
        assert torch.isfinite(leaf.grad).all()


INVARIANT = [("sp", "authors"), ("sp", "original"), ("at", "original"), ("cc", "original")]


@pytest.mark.parametrize(("method", "form"), INVARIANT)
@QUICK
@given(seed=SEEDS, factor=st.floats(0.05, 20))
def test_positive_scaling_of_one_network_changes_nothing(
    method: str, form: str, seed: int, factor: float
) -> None:
    loss = loss_of(method, form)
    student, teacher = random_features(loss, 4, seed), random_features(loss, 4, seed + 1)
    expected = compare(loss, student, teacher)
    for value in (
        compare(loss, scaled(student, factor), teacher),
        compare(loss, student, scaled(teacher, factor)),
    ):
        torch.testing.assert_close(value, expected, rtol=1e-4, atol=1e-7)


@pytest.mark.parametrize("method", ["at", "cc"])
@QUICK
@given(seed=SEEDS)
def test_original_at_and_cc_ignore_the_scale_of_each_slice(method: str, seed: int) -> None:
    loss = loss_of(method, "original")
    student, teacher = random_features(loss, 3, seed), random_features(loss, 3, seed + 1)
    factors = torch.tensor([0.2, 1.0, 7.0]).view(3, 1, 1, 1)
    torch.testing.assert_close(
        compare(loss, scaled(student, factors), teacher),
        compare(loss, student, teacher),
        rtol=1e-4,
        atol=1e-7,
    )


@pytest.mark.parametrize(("method", "form"), [c for c in CASES if c not in INVARIANT])
def test_the_other_losses_do_see_the_scale_of_one_slice(method: str, form: str) -> None:
    loss = loss_of(method, form)
    student, teacher = random_features(loss, 3, 0), random_features(loss, 3, 1)
    factors = torch.tensor([0.2, 1.0, 7.0]).view(3, 1, 1, 1)
    changed = compare(loss, scaled(student, factors), teacher)
    assert not torch.isclose(changed, compare(loss, student, teacher), rtol=1e-2)


def test_authors_cc_of_one_slice_is_zero_with_a_zero_gradient() -> None:
    loss = loss_of("cc", "authors")
    student, teacher = random_features(loss, 1, 0), random_features(loss, 1, 1)
    leaves = [value.requires_grad_() for value in student.values()]
    value = compare(loss, student, teacher)
    value.backward()
    assert value.item() == 0
    assert all(leaf.grad is not None and (leaf.grad == 0).all() for leaf in leaves)


@QUICK
@given(seed=SEEDS, batch=st.integers(1, 3))
def test_fsp_matrix_is_the_gram_matrix_over_pixels(seed: int, batch: int) -> None:
    rng = np.random.default_rng(seed)
    first = rng.standard_normal((batch, 2, 3, 4))
    second = rng.standard_normal((batch, 3, 3, 4))
    expected = np.zeros((batch, 2, 3))
    for b, m, n in np.ndindex(*expected.shape):
        for row in range(3):
            for column in range(4):
                expected[b, m, n] += first[b, m, row, column] * second[b, n, row, column] / 12
    found = fsp_matrix(torch.from_numpy(first), torch.from_numpy(second)).numpy()
    np.testing.assert_allclose(found, expected, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("method", ["cc", "sp"])
@QUICK
@given(seed=SEEDS)
def test_original_relational_losses_do_not_see_the_order_of_the_slices(
    method: str, seed: int
) -> None:
    loss = loss_of(method, "original")
    student, teacher = random_features(loss, 4, seed), random_features(loss, 4, seed + 1)
    order = torch.randperm(4, generator=torch.Generator().manual_seed(seed % 2**31))
    torch.testing.assert_close(
        compare(
            loss,
            {tap: value[order] for tap, value in student.items()},
            {tap: value[order] for tap, value in teacher.items()},
        ),
        compare(loss, student, teacher),
        rtol=1e-4,
        atol=1e-7,
    )


def test_default_cascades_are_the_papers() -> None:
    found = {method: loss_of(method, "authors").cascades for method in METHODS}
    assert found == {
        "at": (1, 2, 3, 4, 5),
        "cc": (1, 2, 3, 4, 5),
        "fitnets": (3,),
        "fsp": (1, 2, 3),
        "sp": (1, 2, 3, 4),
    }


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("cascades", [2, 3, 7])
def test_default_cascades_exist_in_networks_of_any_depth(method: str, cascades: int) -> None:
    pair = Networks(
        teacher=Network(depth=5, cascades=cascades), student=Network(depth=3, cascades=cascades)
    )
    for form in FORMS:
        loss = build_loss(method, Method.model_validate({"form": form}), pair)
        assert {tap.cascade for tap in loss.taps()} <= set(range(1, cascades + 1))


@pytest.mark.parametrize(("count", "cascades"), [(5, [5]), (1, None)])
def test_fsp_refuses_a_cascade_that_has_no_next_one(count: int, cascades: list[int] | None) -> None:
    pair = Networks(
        teacher=Network(depth=5, cascades=count), student=Network(depth=3, cascades=count)
    )
    with pytest.raises(InputError, match=r"methods\.fsp"):
        build_loss("fsp", Method(cascades=cascades), pair)


@pytest.mark.parametrize("method", ["fitnets", "fsp"])
def test_original_form_refuses_networks_of_other_widths(method: str) -> None:
    pair = Networks(teacher=Network(depth=5, features=4), student=Network(depth=3, features=3))
    with pytest.raises(InputError, match=rf"methods\.{method}\.form.*4 features.*student 3"):
        build_loss(method, Method(form="original"), pair)
    assert build_loss(method, Method(form="authors"), pair).form == "authors"


@pytest.mark.parametrize("method", METHODS)
def test_chosen_cascades_are_the_ones_tapped(method: str) -> None:
    pair = Networks(teacher=TEACHER, student=STUDENT)
    taps = build_loss(method, Method(cascades=[2]), pair).taps()
    place = "mid" if method == "at" else "out"
    expected = [Tap(place, 2), Tap(place, 3)] if method == "fsp" else [Tap(place, 2)]
    assert taps == expected


# Through the networks and the objective of a training.


def random_slices(count: int = 5, part: str = "train") -> Slices:
    rng = np.random.default_rng(3)
    images = rng.random((count, 16, 16), dtype=np.float32)
    index = pd.DataFrame(
        {"patient": "p", "frame": "", "part": part, "slice": range(count), "volume": 0}
    )
    store = Store(images, index, pd.DataFrame(), pd.DataFrame(), {}, "")
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
    objective = Distillation(
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


@every_loss
def test_teacher_is_left_unchanged_by_a_step_of_the_student(method: str, form: str) -> None:
    loss = loss_of(method, form)
    teacher, student = networks()
    before = {name: value.clone() for name, value in teacher.state_dict().items()}
    objective = Distillation(
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
        objective = Distillation(student, fidelity(), memory, loss, **weights)
        losses.append([objective.loss(b) for b in slices.batches(2, torch.tensor([4, 1, 0, 3, 2]))])
    torch.testing.assert_close(losses[0], losses[1], rtol=1e-5, atol=1e-8)
    batch = slices.batch(torch.tensor([3, 0]))
    torch.testing.assert_close(cached.image(batch), anew.image(batch), rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(cached.summary(batch), anew.summary(batch), rtol=1e-5, atol=1e-6)


def test_remembered_answers_need_no_further_run_of_the_teacher() -> None:
    loss = loss_of("at", "authors")
    teacher, _ = networks()
    slices = random_slices()
    runs: list[int] = []
    cached = frozen(loss, teacher, 1 << 24)
    assert cached.remember(slices)
    teacher.register_forward_hook(lambda *_: runs.append(1))
    cached.summary(slices.batch(torch.arange(3)))
    assert runs == []
    frozen(loss, teacher, 0).summary(slices.batch(torch.arange(3)))
    assert runs == [1]


def test_memory_is_shared_between_the_parts_and_never_exceeded() -> None:
    loss = loss_of("at", "authors")
    teacher, _ = networks()
    train, validation = random_slices(5), random_slices(3, "validation")
    # One reconstruction and five attention maps of 16 x 16 numbers of four bytes a slice.
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
    torch.testing.assert_close(both.image(batch), memory.image(batch), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("weight", ["reconstruction_weight", "feature_weight", "imitation_weight"])
def test_each_weight_of_a_distillation_scales_its_own_term(weight: str) -> None:
    loss = loss_of("sp", "authors")
    teacher, student = networks()
    batch = random_slices().batch(torch.arange(4))

    def value(**weights: float) -> float:
        memory = frozen(loss, teacher, 0)
        return Distillation(student, fidelity(), memory, loss, **weights).loss(batch).item()

    names = ["reconstruction_weight", "feature_weight", "imitation_weight"]
    alone = value(**{weight: 1.0})
    assert alone > 0
    others = sum(value(**{name: 1.0}) for name in names if name != weight)
    assert value(**dict.fromkeys(names, 1.0) | {weight: 3.0}) == pytest.approx(
        others + 3 * alone, rel=1e-5
    )
