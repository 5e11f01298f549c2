"""Tests and intervals against hand-computed cases and exact enumeration."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from statistics_helpers import QUICK, half_width, random_matrix

from pipeline_src.evaluation.statistics import (
    SMALLEST_P,
    bootstrap_interval,
    bootstrap_intervals,
    holm,
    mean_p,
    spreads,
    wilcoxon_p,
    wilcoxon_ps,
)

# Wilcoxon.


def enumerated_p(differences: list[float]) -> float:
    """Two-sided p of the signed-rank sum over all patterns of signs, with mid-ranks for ties."""
    kept = [d for d in differences if d != 0]
    sizes = [abs(d) for d in kept]
    ranks = [
        sum(other < size for other in sizes) + (sum(other == size for other in sizes) + 1) / 2
        for size in sizes
    ]
    seen = sum(rank for rank, d in zip(ranks, kept, strict=True) if d > 0)
    sums = [
        sum(rank for rank, plus in zip(ranks, signs, strict=True) if plus)
        for signs in itertools.product((False, True), repeat=len(kept))
    ]
    upper = np.mean([s >= seen for s in sums])
    lower = np.mean([s <= seen for s in sums])
    return float(min(1, 2 * min(upper, lower)))


@pytest.mark.parametrize(
    "differences",
    [
        [0.3, -0.1, 0.5, 0.7, 0.2, 0.4],
        [1.1, -2.2, 3.3, -4.4, 5.5, 6.6, 7.7, -0.5],
        [-1, -2, -3, -4, -5],
        [1, 1, 2, -2, 3, 3, 3, -1],  # ties
        [0, 0, 1, 2, 3, -4, 5, 6],  # zeros
        [0, 1, 1, -1, 2, 0, 2],  # both
        [0.5],
    ],
)
def test_wilcoxon_counts_patterns_of_signs(differences: list[float]) -> None:
    assert wilcoxon_p(np.array(differences)) == pytest.approx(enumerated_p(differences))


def test_wilcoxon_by_hand() -> None:
    # Negative rank 1 alone: sums of 0 and 1 below, 2 of 64 patterns, and as many above.
    assert wilcoxon_p(np.array([0.3, -0.1, 0.5, 0.7, 0.2, 0.4])) == pytest.approx(4 / 64)


@pytest.mark.parametrize("patients", range(1, 13))
def test_wilcoxon_is_least_where_all_signs_are_equal(patients: int) -> None:
    assert wilcoxon_p(np.arange(1.0, patients + 1)) == pytest.approx(2.0 ** (1 - patients))


@pytest.mark.parametrize("patients", [1, 2, 20, 60])
def test_wilcoxon_of_no_difference_at_all_is_one(patients: int) -> None:
    assert wilcoxon_p(np.zeros(patients)) == 1


@pytest.mark.parametrize("zeros", [1, 30])
def test_many_patients_with_ties_and_zeros_raise_no_warning(zeros: int) -> None:
    differences = np.concatenate([np.zeros(zeros), np.repeat([1.0, -1.0, 2.0], 20)])
    assert wilcoxon_p(differences) == wilcoxon_p(differences[zeros:])
    assert 0 < wilcoxon_p(differences) < 0.01


# Holm.


def test_holm_by_hand() -> None:
    # In rising order 4 x 0.005, 3 x 0.01, 2 x 0.03, 1 x 0.04, the last not below the one before.
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])


def test_holm_is_at_most_one_and_leaves_one_comparison_alone() -> None:
    assert holm([0.6, 0.7, 0.4]) == pytest.approx([1, 1, 1])
    assert holm([0.03]) == pytest.approx([0.03])
    assert holm([0.02, 0.02]) == pytest.approx([0.04, 0.04])
    assert len(holm([])) == 0


def test_holm_does_not_count_what_is_no_number() -> None:
    adjusted = holm([math.nan, 0.01, math.nan, 0.04])
    assert adjusted == pytest.approx([math.nan, 0.02, math.nan, 0.04], nan_ok=True)


@QUICK
@given(p=st.lists(st.floats(0, 1), min_size=1, max_size=12))
def test_holm_lies_between_no_correction_and_bonferroni_and_keeps_the_order(p: list[float]) -> None:
    adjusted = holm(p)
    assert (adjusted >= p).all()
    assert (adjusted <= np.minimum(1, np.multiply(p, len(p)))).all()
    assert (np.diff(adjusted[np.argsort(p)]) >= 0).all()
    assert holm(p[::-1]) == pytest.approx(adjusted[::-1])


# Intervals and p-values of the mean.


@pytest.mark.parametrize("level", [0.8, 0.95])
@pytest.mark.parametrize("shape", [(40, 60), (60, 40), (1, 50), (50, 1)])
def test_interval_of_many_is_the_analytic_one(shape: tuple[int, int], level: float) -> None:
    matrix = random_matrix(*shape, seed=0, mean=3)
    low, high = bootstrap_interval(matrix, seed=0, resamples=20_000, level=level)
    assert high - low == pytest.approx(2 * half_width(matrix, level), rel=0.05)
    assert (low + high) / 2 == pytest.approx(matrix.mean(), abs=0.05 * (high - low))


def test_interval_of_two_patients_by_hand() -> None:
    # Both resampled means beyond 5 are 6, in a quarter of the resamples: 1 from the mean, stretched
    # by sqrt(2) and t(1) / z.
    low, high = bootstrap_interval(np.array([[4.0, 6.0]]), seed=0)
    stretched = math.sqrt(2) * 12.7062 / 1.95996
    assert [low, high] == pytest.approx([5 - stretched, 5 + stretched], rel=1e-4)


def test_interval_of_three_seeds_by_hand() -> None:
    # One seed is drawn three times in 1 of 27 resamples, more than one in 40.
    low, high = bootstrap_interval(np.array([[1.0], [2.0], [6.0]]), seed=0)
    stretch = math.sqrt(3 / 2) * 4.30265 / 1.95996
    assert [low, high] == pytest.approx([3 - 2 * stretch, 3 + 3 * stretch], rel=1e-4)


def test_seeds_that_differ_widen_the_interval() -> None:
    patients = np.random.default_rng(0).standard_normal(30)
    alike = np.tile(patients, (3, 1))
    apart = alike + np.array([[-1.0], [0.0], [1.0]])
    low, high = bootstrap_interval(alike, seed=0)
    assert high - low == pytest.approx(2 * half_width(alike, 0.95), rel=0.05)
    wider_low, wider_high = bootstrap_interval(apart, seed=0)
    assert wider_high - wider_low > 4 * (high - low)


def test_interval_depends_on_the_bootstraps_seed_alone() -> None:
    matrix = random_matrix(3, 20, seed=1)
    assert bootstrap_interval(matrix, seed=4) == bootstrap_interval(matrix, seed=4)
    assert bootstrap_interval(matrix, seed=4) != bootstrap_interval(matrix, seed=5)


def test_one_seed_and_one_patient_have_neither_interval_nor_p() -> None:
    one = np.array([[1.0]])
    assert all(map(math.isnan, bootstrap_interval(one, seed=0)))
    assert math.isnan(mean_p(one))


@pytest.mark.parametrize("shape", [(1, 8), (8, 1), (1, 2)])
def test_p_of_one_factor_is_students(shape: tuple[int, int]) -> None:
    for seed, mean in enumerate((0.1, 0.5, 2.0, -2.0)):
        matrix = random_matrix(*shape, seed, mean)
        assert mean_p(matrix) == pytest.approx(stats.ttest_1samp(matrix.ravel(), 0).pvalue)


@pytest.mark.parametrize("mean", [0.3, -1.0, 5.0])
def test_p_of_the_mean_is_where_the_analytic_interval_touches_zero(mean: float) -> None:
    matrix = random_matrix(4, 15, seed=2)
    matrix += mean - matrix.mean()
    assert half_width(matrix, 1 - mean_p(matrix)) == pytest.approx(abs(mean), rel=1e-6)


def test_p_of_the_mean_without_difference_and_without_variance() -> None:
    assert mean_p(np.zeros((3, 10))) == 1
    assert mean_p(np.full((3, 10), 0.1)) == SMALLEST_P
    assert mean_p(np.array([[1.0, -1.0], [-1.0, 1.0]])) == 1


def test_tests_of_many_samples_are_those_of_each() -> None:
    rng = np.random.default_rng(5)
    samples = [rng.standard_normal(n) + 0.3 for n in (3, 12, 12, 12, 50, 51, 51)]
    samples += [np.round(samples[1], 1), np.where(samples[2] > 0, samples[2], 0), np.zeros(4)]
    assert wilcoxon_ps(samples) == [wilcoxon_p(sample) for sample in samples]
    assert wilcoxon_ps([]) == []


def test_intervals_of_many_matrices_are_those_of_each() -> None:
    matrices = [
        random_matrix(*shape, k) for k, shape in enumerate([(5, 19)] * 7 + [(1, 6), (4, 1)])
    ]
    matrices += [np.zeros((5, 19)), np.ones((1, 1))]
    together = bootstrap_intervals(matrices, seed=1)
    alone = [bootstrap_interval(matrix, seed=1) for matrix in matrices]
    np.testing.assert_array_equal(together, alone)
    assert together[-2] == (0, 0)
    assert np.isnan(together[-1]).all()


def test_spreads_are_those_of_the_seeds_and_of_the_patients() -> None:
    # Seeds 0, 1, 5 and patients 0, 10, 20, 30 add up.
    matrix = np.array([[0.0], [1.0], [5.0]]) + np.array([0.0, 10.0, 20.0, 30.0])
    assert spreads(matrix) == pytest.approx((math.sqrt(7), math.sqrt(500 / 3)))
    assert spreads(matrix[:1]) == (0, pytest.approx(math.sqrt(500 / 3)))
    assert spreads(matrix[:, :1]) == (pytest.approx(math.sqrt(7)), 0)
