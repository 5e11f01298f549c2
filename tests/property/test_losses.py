"""The five feature losses: what each must do whatever the features are."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from loss_helpers import (
    CASES,
    FORMS,
    METHODS,
    QUICK,
    SEEDS,
    STUDENT,
    TEACHER,
    compare,
    every_loss,
    loss_of,
    random_features,
    scaled,
)

from pipeline_src.config.distillation import Method
from pipeline_src.config.networks import Network, Networks
from pipeline_src.distillation.base import build_loss
from pipeline_src.distillation.losses.fsp import fsp_matrix
from pipeline_src.errors import InputError
from pipeline_src.models.taps import Tap


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
        build_loss("fsp", Method(form="authors", cascades=cascades), pair)


@pytest.mark.parametrize("method", ["fitnets", "fsp"])
def test_original_form_refuses_networks_of_other_widths(method: str) -> None:
    pair = Networks(teacher=Network(depth=5, features=4), student=Network(depth=3, features=3))
    with pytest.raises(InputError, match=rf"methods\.{method}\.form.*4 features.*student 3"):
        build_loss(method, Method(form="original"), pair)
    assert build_loss(method, Method(form="authors"), pair).form == "authors"


@pytest.mark.parametrize("method", METHODS)
def test_chosen_cascades_are_the_ones_tapped(method: str) -> None:
    pair = Networks(teacher=TEACHER, student=STUDENT)
    taps = build_loss(method, Method(form="authors", cascades=[2]), pair).taps()
    place = "mid" if method == "at" else "out"
    expected = [Tap(place, 2), Tap(place, 3)] if method == "fsp" else [Tap(place, 2)]
    assert taps == expected
