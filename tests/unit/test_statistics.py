"""Comparisons of models against hand-computed cases, exact enumeration and what must hold."""

from __future__ import annotations

import itertools
import math
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import stats

from pipeline_src.errors import InputError
from pipeline_src.evaluation.statistics import (
    SMALLEST_P,
    Comparison,
    bootstrap_interval,
    compare_family,
    holm,
    mean_p,
    paired_differences,
    patients_needed,
    sign_p,
    wilcoxon_p,
)

Array = NDArray[np.float64]
QUICK = settings(max_examples=25, deadline=None)
SEEDS = st.integers(0, 2**32 - 1)

# Pairing.

VOLUMES = (("p1", "ED"), ("p1", "ES"), ("p2", "ED"), ("p2", "ES"))


def rows(values: dict[tuple[int, str, str], float], **others: Any) -> pd.DataFrame:
    """Rows of a model of the values of each seed, patient and frame."""
    fixed = {
        "dataset": "heart",
        "acceleration": "4x",
        "model": "at",
        "training": "sft_kd",
        "variant": "",
        "part": "test",
    }
    return pd.DataFrame(
        [
            fixed | {"seed": s, "patient": p, "frame": f, "psnr_db": value} | others
            for (s, p, f), value in values.items()
        ]
    )


def numbered(start: float, step: float, seeds: tuple[int, ...] = (0, 1)) -> dict[Any, float]:
    keys = [(s, p, f) for s in seeds for p, f in VOLUMES]
    return {key: start + step * k for k, key in enumerate(keys)}


FIRST = rows(numbered(30, 2))  # 30, 32, ..., 44
SECOND = rows(numbered(29, 1), training="std_kd")  # 29, 30, ..., 36


def test_differences_are_the_mean_over_a_patients_volumes() -> None:
    # First less second is 1, 2, 3, 4 with seed 0 and 5, 6, 7, 8 with seed 1.
    matrix = paired_differences(FIRST, SECOND, "psnr_db")
    expected = pd.DataFrame(
        [[1.5, 3.5], [5.5, 7.5]],
        index=pd.Index([0, 1], name="seed"),
        columns=pd.Index(["p1", "p2"], name="patient"),
    )
    pd.testing.assert_frame_equal(matrix, expected, check_column_type=False, check_dtype=False)


def test_volumes_are_paired_whatever_the_order_of_the_rows() -> None:
    shuffled = SECOND.sample(frac=1, random_state=0)
    assert not shuffled.index.equals(SECOND.index)
    pd.testing.assert_frame_equal(
        paired_differences(FIRST, shuffled, "psnr_db"),
        paired_differences(FIRST, SECOND, "psnr_db"),
    )


def test_a_patient_counts_once_however_many_volumes_there_are() -> None:
    one = {(0, "p1", "ED"): 1.0, (0, "p1", "ES"): 3.0, (0, "p2", ""): 8.0}
    other = dict.fromkeys(one, 0.0)
    matrix = paired_differences(rows(one), rows(other), "psnr_db")
    assert matrix.to_numpy().tolist() == [[2, 8]]
    assert matrix.to_numpy().mean() == 5


@pytest.mark.parametrize("empty", ["", None, math.nan])
def test_frames_may_be_empty(empty: Any) -> None:
    values = {(0, "p1", ""): 2.0, (0, "p2", ""): 5.0}
    one, other = rows(values), rows(dict.fromkeys(values, 1.0))
    one["frame"] = empty
    assert paired_differences(one, other, "psnr_db").to_numpy().tolist() == [[1, 4]]
    other["frame"] = empty
    assert paired_differences(one, other, "psnr_db").to_numpy().tolist() == [[1, 4]]


def without(table: pd.DataFrame, **where: Any) -> pd.DataFrame:
    drop = np.logical_and.reduce([table[column] == value for column, value in where.items()])
    assert drop.any()
    return table[~drop]


@pytest.mark.parametrize(
    ("first", "second", "message"),
    [
        (
            without(FIRST, patient="p2"),
            SECOND,
            "at sft_kd: not measured, but at std_kd is: seed 0, patient p2, frame ED and 3 more",
        ),
        (
            FIRST,
            without(SECOND, seed=1, patient="p2", frame="ES"),
            "at std_kd: not measured, but at sft_kd is: seed 1, patient p2, frame ES",
        ),
        (
            FIRST,
            without(SECOND, seed=1),
            "at std_kd: not measured, but at sft_kd is: seed 1, patient p1, frame ED and 3 more",
        ),
        (
            without(FIRST, seed=0, frame="ES"),
            without(SECOND, seed=0, frame="ES"),
            "at sft_kd: not measured, but with another seed: "
            "seed 0, patient p1, frame ES and 1 more",
        ),
        (
            pd.concat([FIRST, FIRST.head(1)]),
            SECOND,
            "at sft_kd: measured more than once: seed 0, patient p1, frame ED",
        ),
        (
            FIRST.assign(psnr_db=[math.inf] + [30.0] * 7),
            SECOND,
            "at sft_kd: psnr_db is no finite number: seed 0, patient p1, frame ED",
        ),
        (
            FIRST,
            SECOND.assign(frame="", patient=list("abcdefgh"), psnr_db=[1.0] * 7 + [math.nan]),
            "at std_kd: psnr_db is no finite number: seed 1, patient h",
        ),
        (FIRST, SECOND.assign(seed=math.nan), "at std_kd: has no seed"),
        (FIRST, SECOND.drop(columns="psnr_db"), "no metric 'psnr_db'"),
        (FIRST.head(0), SECOND, "rows of one model are compared, not of none"),
        (pd.concat([FIRST, SECOND]), SECOND, "rows of one model .* of at sft_kd and at std_kd"),
        (FIRST, SECOND.assign(acceleration="5x"), "of one acceleration .* not of 4x and 5x"),
        (FIRST, SECOND.assign(dataset="brain"), "of one dataset .* not of brain and heart"),
        (FIRST, SECOND.assign(part="train"), "of one part .* not of test and train"),
    ],
)
def test_models_that_cannot_be_paired_are_refused(
    first: pd.DataFrame, second: pd.DataFrame, message: str
) -> None:
    with pytest.raises(InputError, match=f"{message}(;|$| in)"):
        paired_differences(first, second, "psnr_db")


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


def random_matrix(seeds: int, patients: int, seed: int, mean: float = 0.0) -> Array:
    rng = np.random.default_rng(seed)
    by_seed, by_patient = rng.standard_normal((seeds, 1)), rng.standard_normal(patients)
    return mean + by_seed + by_patient + 0.3 * rng.standard_normal((seeds, patients))


def half_width(matrix: Array, level: float) -> float:
    """Of the grand mean: Student's quantile of each factor times its standard error, squared and
    added."""
    squares = []
    for means in (matrix.mean(axis=0), matrix.mean(axis=1)):
        if len(means) > 1:
            error = means.std(ddof=1) / math.sqrt(len(means))
            squares.append((stats.t.ppf((1 + level) / 2, len(means) - 1) * error) ** 2)
    return math.sqrt(sum(squares))


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


def test_sign_p_by_hand() -> None:
    # 0, 1, 9 or 10 of 10 coins: 2 x (1 + 10) of 1024.
    assert sign_p(9, 10) == pytest.approx(22 / 1024)
    assert sign_p(1, 10) == pytest.approx(22 / 1024)
    assert sign_p(5, 10) == 1


# Verdicts.


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
        ((3, 5), "5 patients, 6 needed for a family of 1"),
        ((3, 1), "1 patient, 6 needed for a family of 1"),
        ((1, 1), "1 seed, 3 needed; 1 patient, 6 needed for a family of 1"),
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
    assert found[0].verdict == "cannot tell"
    assert found[0].reason == "4 patients, 9 needed for a family of 10"
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
    assert other.p == pytest.approx(one.p)
    assert other.p_mean == pytest.approx(one.p_mean, nan_ok=True)
    # Other resamples are drawn.
    width = one.high - one.low
    assert other.low == pytest.approx(one.low, abs=0.1 * width, nan_ok=True)
    assert other.high == pytest.approx(one.high, abs=0.1 * width, nan_ok=True)
