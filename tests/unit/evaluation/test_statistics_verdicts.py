"""Verdicts on models: of hand-made cases, and what must hold whatever the metrics are."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from statistics_helpers import QUICK, Array, half_width, random_matrix

from pipeline_src.errors import InputError
from pipeline_src.evaluation.comparison import Comparison, compare_family
from pipeline_src.evaluation.statistics import (
    bootstrap_interval,
    mean_p,
    patients_needed,
    wilcoxon_p,
)

SEEDS = st.integers(0, 2**32 - 1)


@pytest.mark.parametrize("alpha", [0.05, 0.0625, 0.01])
@pytest.mark.parametrize("family", [1, 2, 3, 10, 16, 40])
def test_fewest_patients_that_can_differ(family: int, alpha: float) -> None:
    needed = patients_needed(family, alpha)
    assert family * 2.0 ** (1 - needed) < alpha
    assert family * 2.0 ** (1 - (needed - 1)) >= alpha


def compared(matrix: Array, **options: Any) -> Comparison:
    """Comparison of a matrix in a family of its own."""
    return compare_family({"pair": pd.DataFrame(matrix)}, **{"seed": 0} | options)["pair"]


def clear(seeds: int, patients: int) -> Array:
    """Of a first model that is better by 1, with every seed and patient."""
    return 1 + 0.02 * random_matrix(seeds, patients, seed=3)


def test_a_clear_difference() -> None:
    matrix = clear(3, 10)
    found = compared(matrix)
    assert found.verdict == "better"
    assert (found.seeds, found.patients) == (3, 10)
    assert found.effect == pytest.approx(matrix.mean())
    assert (found.low, found.high) == pytest.approx(bootstrap_interval(matrix, seed=0))
    assert found.low < found.effect < found.high
    assert found.p == wilcoxon_p(matrix.mean(axis=0)) == 2.0**-9
    assert found.p_mean == mean_p(matrix)
    assert found.p_holm == max(found.p, found.p_mean)
    assert found.reason == f"corrected p {found.p_holm:.2g}, interval excludes 0"
    assert compared(-matrix).verdict == "worse"


def test_for_an_error_lower_is_better() -> None:
    assert compared(clear(3, 10), higher_is_better=False).verdict == "worse"
    found = compared(-clear(3, 10), higher_is_better=False)
    assert found.verdict == "better"
    assert found.effect < 0


@pytest.mark.parametrize("sign", [1, -1])
def test_being_better_by_the_margin_is_tested_on_the_better_side(sign: int) -> None:
    better = 0.3 + random_matrix(1, 10, seed=3)
    found = compared(sign * better, higher_is_better=sign == 1, margin=0.4)
    expected = stats.ttest_1samp(better[0], 0.4, alternative="less").pvalue
    assert found.p_below == pytest.approx(expected, rel=1e-3)
    assert found.margin == 0.4


def test_tests_against_the_margin_are_corrected_for_the_family() -> None:
    matrix = 0.1 * random_matrix(4, 12, seed=5)
    alone = compared(matrix, margin=0.5)
    found = compare_family({k: pd.DataFrame(matrix) for k in range(3)}, seed=0, margin=0.5)
    for name in ("p_below", "p_equivalence"):
        expected = [3 * getattr(alone, name)] * 3
        assert expected[0] < 1
        assert [getattr(one, name) for one in found.values()] == pytest.approx(expected)


def test_identical_models() -> None:
    found = compared(np.zeros((3, 10)))
    assert (found.effect, found.low, found.high) == (0, 0, 0)
    assert (found.p, found.p_mean, found.p_holm) == (1, 1, 1)
    assert found.verdict == "no difference shown"
    assert found.reason == "corrected p 1, interval includes 0"


@pytest.mark.parametrize(
    ("shape", "reason"),
    [
        ((1, 10), "1 seed, 3 needed"),
        ((2, 10), "2 seeds, 3 needed"),
        ((2, 5), "2 seeds, 3 needed; 5 patients, 6 needed"),
        ((1, 1), "1 seed, 3 needed; 1 patient, 6 needed"),
    ],
)
def test_too_little_cannot_tell(shape: tuple[int, int], reason: str) -> None:
    found = compared(clear(*shape))
    assert found.verdict == "cannot tell"
    assert found.reason == reason
    assert found.effect == pytest.approx(1, abs=0.1)


def test_just_enough_can_tell() -> None:
    assert compared(clear(3, 6)).verdict == "better"
    assert compared(clear(2, 6), minimum_seeds=2, alpha=0.05).verdict == "better"


def test_one_seed_is_measured_over_patients() -> None:
    matrix = clear(1, 10)
    found = compared(matrix)
    assert found.p_mean == pytest.approx(stats.ttest_1samp(matrix[0], 0).pvalue, rel=1e-3)
    assert found.p_holm == 2.0**-9
    assert (found.low, found.high) == pytest.approx(bootstrap_interval(matrix, seed=0))


def test_a_larger_family_needs_more_patients() -> None:
    pairs = {k: pd.DataFrame(clear(3, 4 if k == 0 else 9)) for k in range(10)}
    found = compare_family(pairs, seed=0)
    assert found[0].scope == "these patients"
    assert found[0].reason.endswith("about these 4 patients, too few for others")
    assert all(found[k].scope == "patients and seeds" for k in range(1, 10))
    assert all(found[k].verdict == "better" for k in range(1, 10))


def test_one_seed_and_one_patient_do_not_count_in_the_correction() -> None:
    found = compare_family(
        {"one": pd.DataFrame([[1.0]]), "many": pd.DataFrame(clear(3, 10))}, seed=0
    )
    assert math.isnan(found["one"].p_holm)
    assert found["many"].p_holm == max(found["many"].p, found["many"].p_mean)


def test_patients_that_agree_do_not_make_up_for_seeds_that_do_not() -> None:
    matrix = clear(3, 20) + np.array([[-0.9], [0.0], [0.9]])
    found = compared(matrix)
    assert found.p < 1e-5
    assert found.p_mean > 0.05
    assert found.verdict == "no difference shown"
    assert "interval includes 0" in found.reason


def test_an_outlying_mean_does_not_make_up_for_patients_that_disagree() -> None:
    # All patients but one hardly differ, on either side of 0.
    patients = np.linspace(-0.010, 0.011, 12)
    found = compared(np.tile([*patients, 5.0], (3, 1)))
    assert found.p > 0.05
    assert found.verdict == "no difference shown"


def test_small_p_values_do_not_make_up_for_an_interval_around_zero() -> None:
    # A long tail below: resampling reaches further down than the symmetric interval.
    patients = -(np.arange(20.0) ** 4)
    matrix = np.tile(patients - patients.mean(), (3, 1))
    matrix += 1.02 * half_width(matrix, 0.95)
    found = compared(matrix)
    assert found.p_holm < 0.05
    assert found.low < 0
    assert found.verdict == "no difference shown"


def test_the_family_is_corrected_for() -> None:
    borderline = random_matrix(5, 12, seed=7)
    borderline += 0.9 * half_width(borderline, 0.99) - borderline.mean()
    alone = compared(borderline)
    assert alone.verdict == "better"
    null = borderline - borderline.mean()
    found = compare_family(
        {0: pd.DataFrame(borderline), **{k: pd.DataFrame(null) for k in range(1, 10)}}, seed=0
    )[0]
    assert found.p_holm == pytest.approx(10 * alone.p_holm)
    assert found.verdict == "no difference shown"
    assert "interval excludes 0" in found.reason
    assert (found.low, found.high) == (alone.low, alone.high)


def test_intervals_have_the_level_of_alpha_and_depend_on_no_other_pair() -> None:
    matrix = random_matrix(5, 20, seed=1)
    pairs = {k: pd.DataFrame(m) for k, m in enumerate((matrix, clear(4, 9), matrix))}
    found = compare_family(pairs, seed=3, alpha=0.2)
    for k in (0, 2):
        assert (found[k].low, found[k].high) == bootstrap_interval(matrix, seed=3, level=0.8)


def test_an_empty_family() -> None:
    assert compare_family({}, seed=0) == {}


@pytest.mark.parametrize("matrix", [[[1.0, math.nan]], [[math.inf, 1.0]], [[]]])
def test_missing_differences_are_refused(matrix: list[list[float]]) -> None:
    with pytest.raises(InputError, match="pair: a difference is missing"):
        compared(np.array(matrix))


# Whatever the metrics are.

SHAPES = st.tuples(st.integers(1, 6), st.integers(1, 25))
MEANS = st.sampled_from([0.0, 0.5, 2.0, 5.0])
FLIPPED = {"better": "worse", "worse": "better"}


@QUICK
@given(shape=SHAPES, seed=SEEDS, mean=MEANS)
def test_swapping_the_models_turns_everything_round(
    shape: tuple[int, int], seed: int, mean: float
) -> None:
    matrix = random_matrix(*shape, seed, mean)
    one, other = compared(matrix), compared(-matrix)
    assert other.effect == -one.effect
    assert (-other.high, -other.low) == pytest.approx((one.low, one.high), nan_ok=True)
    for name in ("p", "p_mean", "p_holm"):
        assert getattr(other, name) == pytest.approx(getattr(one, name), nan_ok=True)
    assert other.verdict == FLIPPED.get(one.verdict, one.verdict)
    assert compared(matrix, higher_is_better=False).verdict == other.verdict


@QUICK
@given(shape=SHAPES, seed=SEEDS, constant=st.floats(-100, 100))
def test_a_constant_moves_effect_and_interval(
    shape: tuple[int, int], seed: int, constant: float
) -> None:
    matrix = random_matrix(*shape, seed)
    before, after = compared(matrix), compared(matrix + constant)
    for name in ("effect", "low", "high"):
        expected = getattr(before, name) + constant
        assert getattr(after, name) == pytest.approx(expected, abs=1e-9, nan_ok=True)


@QUICK
@given(shape=SHAPES, seed=SEEDS, mean=MEANS, unit=st.sampled_from([1e-4, 1000.0]))
def test_the_unit_does_not_matter(
    shape: tuple[int, int], seed: int, mean: float, unit: float
) -> None:
    matrix = random_matrix(*shape, seed, mean)
    before, after = compared(matrix), compared(unit * matrix)
    assert after.verdict == before.verdict
    assert after.p_holm == pytest.approx(before.p_holm, nan_ok=True)
    expected = (unit * before.low, unit * before.high)
    assert (after.low, after.high) == pytest.approx(expected, nan_ok=True)


@QUICK
@given(shape=SHAPES, seed=SEEDS, mean=MEANS)
def test_the_order_of_patients_and_seeds_does_not_matter(
    shape: tuple[int, int], seed: int, mean: float
) -> None:
    matrix = random_matrix(*shape, seed, mean)
    rng = np.random.default_rng(seed)
    shuffled = rng.permutation(rng.permutation(matrix, axis=0), axis=1)
    one, other = compared(matrix), compared(shuffled)
    assert other.effect == pytest.approx(one.effect)
    assert other.p == pytest.approx(one.p, nan_ok=True)
    assert other.p_mean == pytest.approx(one.p_mean, nan_ok=True)
    # Other resamples are drawn.
    width = one.high - one.low
    assert other.low == pytest.approx(one.low, abs=0.1 * width, nan_ok=True)
    assert other.high == pytest.approx(one.high, abs=0.1 * width, nan_ok=True)
