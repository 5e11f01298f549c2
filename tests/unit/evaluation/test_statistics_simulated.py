"""Comparisons of simulated studies, where it is known which model is better.

Differences are effect + seed + patient + residual, all normal unless said otherwise. Rates are
held to the stated one within three standard errors of so many simulated studies.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray
from statistics_helpers import fewer_resamples, three_errors

from pipeline_src.evaluation.comparison import Comparison, compare_family
from pipeline_src.evaluation.statistics import bootstrap_interval

Array = NDArray[np.float64]

#: Standard deviations between seeds, between patients and of the residual.
SPREADS = {
    "patients": (0.0, 1.0, 0.0),
    "seeds": (1.0, 0.0, 0.05),
    "both": (0.5, 1.0, 0.0),
    "both and residual": (0.5, 1.0, 0.7),
    "residual": (0.0, 0.0, 1.0),
}
SIZES = [(seeds, patients) for seeds in (3, 5) for patients in (10, 20, 50)]
STUDIES = 400
every_spread = pytest.mark.parametrize("spread", SPREADS)


@pytest.fixture(autouse=True)
def _fewer_resamples(monkeypatch: pytest.MonkeyPatch) -> None:
    fewer_resamples(monkeypatch, 500)


def simulated(
    spread: tuple[float, float, float],
    size: tuple[int, int],
    studies: int,
    effect: float = 0.0,
    skewed: bool = False,
) -> Iterator[Array]:
    """Matrices `(seeds, patients)` of so many studies."""
    rng = np.random.default_rng([*size, studies])
    between_seeds, between_patients, residual = spread
    seeds, patients = size
    for _ in range(studies):
        patient = rng.exponential(size=patients) - 1 if skewed else rng.standard_normal(patients)
        yield (
            effect
            + between_seeds * rng.standard_normal((seeds, 1))
            + between_patients * patient
            + residual * rng.standard_normal(size)
        )


# Intervals.


def coverage(spread: str, size: tuple[int, int], skewed: bool = False) -> float:
    """Share of studies of which the 95 % interval has the truth in it."""
    covered = []
    for k, matrix in enumerate(simulated(SPREADS[spread], size, STUDIES, skewed=skewed)):
        low, high = bootstrap_interval(matrix, seed=k, resamples=500)
        covered.append(low <= 0 <= high)
    return float(np.mean(covered))


@pytest.mark.parametrize("spread", ["patients", "seeds"])
def test_interval_covers_in_95_percent_where_one_factor_varies(spread: str) -> None:
    found = [coverage(spread, size) for size in SIZES]
    assert min(found) > 0.945 - three_errors(0.945, STUDIES)
    assert np.mean(found) == pytest.approx(0.945, abs=0.02)


@pytest.mark.parametrize("spread", ["both", "both and residual"])
def test_interval_covers_in_95_to_98_percent_where_both_vary(spread: str) -> None:
    found = [coverage(spread, size) for size in SIZES]
    assert min(found) > 0.95 - three_errors(0.95, STUDIES)
    assert 0.95 < np.mean(found) < 0.985


def test_interval_is_too_wide_where_the_residual_alone_varies() -> None:
    found = [coverage("residual", size) for size in SIZES]
    assert np.mean(found) > 0.98


def test_interval_of_few_very_skewed_patients_covers_in_90_percent() -> None:
    found = [coverage("patients", size, skewed=True) for size in SIZES]
    assert min(found) > 0.90 - three_errors(0.90, STUDIES)


def test_resampling_left_as_it_is_covers_far_too_little() -> None:
    """What the correction is for; also that the simulation would show its absence."""
    covered = []
    rng = np.random.default_rng(0)
    for matrix in simulated(SPREADS["seeds"], (3, 20), STUDIES):
        seeds, patients = rng.integers(3, size=(500, 3)), rng.integers(20, size=(500, 20))
        means = matrix[seeds[:, :, None], patients[:, None, :]].mean(axis=(1, 2))
        low, high = np.quantile(means, [0.025, 0.975])
        covered.append(low <= 0 <= high)
    assert np.mean(covered) == pytest.approx(0.75, abs=0.06)


# Verdicts.


def families(
    spread: tuple[float, float, float],
    size: tuple[int, int],
    *,
    studies: int,
    effects: tuple[float, ...] = (0.0,),
) -> list[list[Comparison]]:
    """Comparisons of so many studies, each a family of one comparison for each effect."""
    found = []
    matrices = simulated(spread, size, studies * len(effects))
    for k in range(studies):
        pairs = {n: pd.DataFrame(effect + next(matrices)) for n, effect in enumerate(effects)}
        found.append(list(compare_family(pairs, seed=k).values()))
    return found


def share(families: list[list[Comparison]], *verdicts: str) -> float:
    """Of families with at least one of these verdicts."""
    return float(np.mean([any(c.verdict in verdicts for c in family) for family in families]))


@every_spread
@pytest.mark.parametrize("size", [(3, 10), (3, 50), (5, 20)])
def test_equal_models_are_told_apart_in_5_percent_of_studies(
    spread: str, size: tuple[int, int]
) -> None:
    found = families(SPREADS[spread], size, studies=300)
    assert share(found, "better", "worse") <= 0.05 + three_errors(0.05, 300)
    assert share(found, "cannot tell") == 0


@every_spread
def test_of_ten_equal_pairs_any_is_told_apart_in_5_percent_of_studies(spread: str) -> None:
    found = families(SPREADS[spread], (3, 20), studies=150, effects=(0.0,) * 10)
    assert share(found, "better", "worse") <= 0.05 + three_errors(0.05, 150)


def test_wilcoxon_alone_would_tell_equal_models_apart_by_their_seeds() -> None:
    """Why the mean over seeds is tested too, and the tests above can fail."""
    found = families(SPREADS["seeds"], (3, 20), studies=100)
    assert np.mean([family[0].p < 0.05 for family in found]) > 0.9


def test_intervals_alone_would_tell_one_of_ten_equal_pairs_apart() -> None:
    """Why the p-value of the mean is corrected for the family, not that of Wilcoxon alone."""
    found = families(SPREADS["seeds"], (3, 20), studies=100, effects=(0.0,) * 10)
    assert np.mean([any(c.low > 0 or c.high < 0 for c in family) for family in found]) > 0.3
    holm_of_wilcoxon = [
        any((c.low > 0 or c.high < 0) and 10 * c.p < 0.05 for c in family) for family in found
    ]
    assert np.mean(holm_of_wilcoxon) > 0.25


#: In dB, as students of one architecture may differ.
STUDENTS = (0.1, 0.3, 0.1)


@pytest.mark.parametrize(
    ("size", "effect", "rate"), [((3, 20), 0.4, 0.81), ((5, 20), 0.4, 0.99), ((5, 50), 0.3, 0.97)]
)
def test_a_difference_is_found(size: tuple[int, int], effect: float, rate: float) -> None:
    required = rate - three_errors(rate, 200)
    found = families(STUDENTS, size, studies=200, effects=(effect,))
    assert share(found, "better") >= required
    assert share(found, "worse") == 0
    lost = families(STUDENTS, size, studies=200, effects=(-effect,))
    assert share(lost, "worse") >= required
    assert share(lost, "better") == 0


def test_a_difference_is_found_in_a_family_of_ten_of_which_the_others_are_equal() -> None:
    found = families(STUDENTS, (5, 20), studies=150, effects=(0.5, *(0.0,) * 9))
    rate = np.mean([family[0].verdict == "better" for family in found])
    assert rate >= 0.95 - three_errors(0.95, 150)
    others = [family[1:] for family in found]
    assert share(others, "better", "worse") <= 0.05 + three_errors(0.05, 150)


def test_a_difference_far_below_the_spread_is_seldom_found() -> None:
    found = families(STUDENTS, (3, 20), studies=200, effects=(0.02,))
    assert share(found, "better") < 0.1


def test_more_seeds_find_what_more_patients_do_not() -> None:
    """Where the seeds differ most."""
    spread = (0.3, 0.1, 0.1)
    three, patients, seeds = (
        share(families(spread, size, studies=200, effects=(0.5,)), "better")
        for size in ((3, 20), (3, 80), (8, 20))
    )
    assert patients < three + 0.1
    assert seeds > three + 0.3
