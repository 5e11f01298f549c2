"""Comparisons where each seed has a split of its own: repeats are the units, and share training
patients."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray
from reporting_helpers import ONE_SETTING, STUDENT, TEACHER, measured
from scipy import stats

from pipeline_src.errors import InputError
from pipeline_src.evaluation.comparison import compare_family
from pipeline_src.evaluation.pairing import (
    TRAINED_ON,
    Measured,
    NotMeasuredError,
    paired_differences,
)
from pipeline_src.evaluation.power import detectable_effect
from pipeline_src.evaluation.statistics import (
    equivalence_p,
    mean_p,
    resampled_interval,
)
from pipeline_src.reporting.tables.differences import difference_notes, difference_table
from pipeline_src.reporting.tables.main_table import main_table, table_notes
from pipeline_src.reporting.tables.missing import measured_notes

Array = NDArray[np.float64]
REPEATS, PATIENTS = 5, 40
#: Of 40 patients 8 are tested, 2 choose the weights and 30 train.
TESTED, TRAINED = 8, 30
RHO = TESTED / (TESTED + TRAINED)
STUDIES = 400


def own_splits(matrix: Array, trained_on: float = TRAINED) -> pd.DataFrame:
    index = pd.MultiIndex.from_product([range(len(matrix)), [trained_on]])
    return pd.DataFrame(matrix, index=index.set_names(["seed", TRAINED_ON]))


# The test itself.


def test_values_are_those_of_the_formula() -> None:
    repeats = np.array([[0.3], [0.1], [0.5], [0.2], [0.4]])
    # Mean 0.3, variance 0.025, of the mean (1/5 + 1/4) 0.025.
    error = math.sqrt(0.45 * 0.025)
    assert mean_p(repeats, 0.25) == pytest.approx(2 * stats.t.sf(0.3 / error, 4))
    half = stats.t.ppf(0.975, 4) * error
    assert resampled_interval(repeats, 0.25) == pytest.approx((0.3 - half, 0.3 + half))
    assert equivalence_p(repeats, 0.7, 0.25) == pytest.approx(stats.t.sf(0.4 / error, 4))
    detected = detectable_effect((5, 1), (math.sqrt(0.025), 0.0), overlap=0.25)
    shown = stats.nct.sf(stats.t.ppf(0.975, 4), 4, detected / error)
    assert shown == pytest.approx(0.8, abs=1e-6)
    assert mean_p(repeats) == pytest.approx(stats.ttest_1samp(repeats[:, 0], 0).pvalue)
    assert all(map(math.isnan, (mean_p(repeats[:1], 0.25), *resampled_interval(repeats[:1], 0.25))))


def test_a_comparison_is_of_repeats_and_wilcoxon_of_patients() -> None:
    matrix = np.full((3, 9), np.nan)
    for k in range(3):
        matrix[k, 3 * k : 3 * k + 3] = [0.1 + 0.1 * k, 0.2 + 0.1 * k, 0.31 + 0.1 * k]
    [found] = compare_family({"a": own_splits(matrix, 6)}, seed=0).values()
    means = np.nanmean(matrix, axis=1)
    assert found.effect == pytest.approx(means.mean())
    error = math.sqrt((1 / 3 + 3 / 6) * means.var(ddof=1))
    assert found.p_mean == pytest.approx(2 * stats.t.sf(found.effect / error, 2))
    assert found.p == stats.wilcoxon(np.nanmean(matrix, axis=0)).pvalue
    assert (found.patients, found.seeds) == (9, 3)
    assert found.scope == "patients, splits and seeds"
    assert found.low < 0 < found.high
    assert found.verdict == "no difference shown"
    # One split for all would be another test.
    [one] = compare_family({"a": pd.DataFrame(np.ones((3, 3)))}, seed=0).values()
    assert one.scope == "these patients"


def test_repeats_of_different_sizes_share_the_mean_of_their_overlaps() -> None:
    matrix = np.full((3, 12), np.nan)
    for k, tested in enumerate((slice(0, 1), slice(1, 9), slice(9, 12))):
        matrix[k, tested] = 0.3 + 0.2 * k
    rows = own_splits(matrix)
    rows.index = pd.MultiIndex.from_arrays([range(3), [10.0, 4.0, 6.0]], names=rows.index.names)
    [found] = compare_family({"a": rows}, seed=0, margin=1.5).values()
    # Means 0.3, 0.5, 0.7; of 10, 4 and 6 that train a repeat it tests 1, 8 and 3.
    error = math.sqrt((1 / 3 + (1 / 10 + 8 / 4 + 3 / 6) / 3) * 0.04)
    assert found.p_mean == pytest.approx(2 * stats.t.sf(0.5 / error, 2))
    assert found.p_equivalence == pytest.approx(stats.t.sf(1.0 / error, 2))
    assert found.p_below == pytest.approx(stats.t.sf(1.0 / error, 2))
    assert stats.nct.sf(stats.t.ppf(0.975, 2), 2, found.detectable / error) == pytest.approx(0.8)


def test_few_patients_of_repeats_with_their_own_are_not_the_same_patients() -> None:
    matrix = np.diag([1.0, 1.1, 0.9, 1.0])
    matrix[matrix == 0] = np.nan
    [found] = compare_family({"a": own_splits(matrix, 2)}, seed=0).values()
    assert found.scope == "patients, splits and seeds"
    assert math.isnan(found.p)
    assert found.verdict == "better"
    assert "these" not in found.reason


def test_one_repeat_cannot_tell_of_others() -> None:
    [found] = compare_family({"a": own_splits(np.ones((1, 12)))}, seed=0).values()
    assert found.verdict == "cannot tell"
    assert found.scope == "patients and seeds"


@pytest.mark.parametrize("gap", ["seed", "patient", "infinite"])
def test_a_seed_or_patient_without_any_difference_is_refused(gap: str) -> None:
    matrix = np.ones((3, 9))
    matrix[0, 0] = np.nan
    if gap == "seed":
        matrix[1] = np.nan
    elif gap == "patient":
        matrix[:, 0] = np.nan
    else:
        matrix[1, 1] = np.inf
    with pytest.raises(InputError, match="a: a difference is missing or no finite number"):
        compare_family({"a": own_splits(matrix)}, seed=0)


# Simulated studies without a difference. What trainings share moves all repeats together.


def folded(rng: np.random.Generator) -> Iterator[Array]:
    order = rng.permutation(PATIENTS)
    for fold in range(REPEATS):
        yield order[fold::REPEATS]


def drawn(rng: np.random.Generator) -> Iterator[Array]:
    for _ in range(REPEATS):
        yield rng.permutation(PATIENTS)[:TESTED]


def simulated(splits: str, between_patients: float, rng: np.random.Generator) -> Array:
    """Differences `(repeats, patients)` of which the mean over studies is 0, and whose repeats
    correlate by `RHO`."""
    repeat = math.sqrt(RHO) * rng.standard_normal()
    repeat = repeat + math.sqrt(1 - RHO) * rng.standard_normal(REPEATS)
    patients = between_patients * rng.standard_normal(PATIENTS)
    matrix = np.full((REPEATS, PATIENTS), np.nan)
    for k, tested in enumerate({"folds": folded, "random splits": drawn}[splits](rng)):
        matrix[k, tested] = repeat[k] + patients[tested] + 0.1 * rng.standard_normal(TESTED)
    return matrix[:, ~np.isnan(matrix).all(axis=0)]


@pytest.mark.parametrize("splits", ["folds", "random splits"])
@pytest.mark.parametrize("between_patients", [0.1, 1.0])
def test_at_most_one_in_twenty_nulls_is_called_a_difference(
    splits: str, between_patients: float
) -> None:
    rng = np.random.default_rng(7)
    called, called_by_mean, uncorrected = [], [], []
    for _ in range(STUDIES):
        matrix = simulated(splits, between_patients, rng)
        [found] = compare_family({"a": own_splits(matrix)}, seed=0).values()
        called.append(found.verdict in ("better", "worse"))
        called_by_mean.append(found.p_mean < 0.05)
        uncorrected.append(mean_p(np.nanmean(matrix, axis=1, keepdims=True)) < 0.05)
    allowed = 0.05 + 3 * math.sqrt(0.05 * 0.95 / STUDIES)
    assert np.mean(called) <= allowed
    assert np.mean(called_by_mean) <= allowed
    if between_patients < 1:
        # What the correction is for; also that the simulation would show its absence.
        assert np.mean(uncorrected) > allowed


def test_an_effect_is_found() -> None:
    rng = np.random.default_rng(3)
    found = [
        compare_family({"a": own_splits(0.1 * simulated("folds", 1.0, rng) + 0.5)}, seed=0)["a"]
        for _ in range(40)
    ]
    assert np.mean([one.verdict == "better" for one in found]) > 0.9


# From metrics.


def split_rows(model: tuple[str, str], value: float, **columns: object) -> pd.DataFrame:
    """Metrics of three seeds that report two of six patients each."""
    rows = measured({model: value}, seeds=(0, 1, 2), patients=6)
    number = rows["patient"].str[-1].astype(int)
    own = rows[number // 2 == rows["seed"]]
    return own.assign(**({"repeated": "split", "trained_on": 3.0} | columns))


def test_patients_of_other_seeds_are_missing_and_nothing_else() -> None:
    first, second = split_rows(TEACHER, 31.0), split_rows(STUDENT, 30.0)
    matrix = paired_differences(Measured(first), Measured(second), "psnr_db")
    assert matrix.index.names == ["seed", TRAINED_ON]
    assert matrix.notna().sum(axis=1).tolist() == [2, 2, 2]
    assert matrix.notna().sum(axis=0).tolist() == [1] * 6
    [gap] = measured_notes(pd.concat([first, second[1:]]), ONE_SETTING)
    assert "1 (" in gap
    with pytest.raises(NotMeasuredError, match="not measured, but"):
        paired_differences(Measured(first), Measured(second[1:]), "psnr_db")


def test_a_volume_that_one_repeat_of_a_patient_lacks_is_told() -> None:
    frames = pd.concat([split_rows(TEACHER, 31.0).assign(frame=f) for f in ("ED", "ES")])
    again = frames[frames["patient"] == "p00"].assign(seed=1)
    rows = pd.concat([frames, again[again["frame"] == "ED"]])
    other = rows.assign(model="student")
    with pytest.raises(NotMeasuredError, match="with another seed: seed 1, patient p00, frame ES"):
        paired_differences(Measured(rows), Measured(other), "psnr_db")


@pytest.mark.parametrize("told", [[math.nan, math.nan], [3.0, math.nan], [3.0, 4.0], [0.0, 0.0]])
def test_how_many_trained_must_be_told_alike_by_all_of_a_seed(told: list[float]) -> None:
    """Seed 2 reports two patients."""
    first, second = (split_rows(model, 30.0) for model in (TEACHER, STUDENT))
    first.loc[first["seed"] == 2, "trained_on"] = told
    with pytest.raises(NotMeasuredError, match="trained_on"):
        paired_differences(Measured(first), Measured(second), "psnr_db")


def test_tables_tell_of_splits() -> None:
    rows = pd.concat([split_rows(TEACHER, 31.0), split_rows(STUDENT, 30.0)])
    main = main_table(rows, ONE_SETTING)
    assert set(main["patients"]) == {6}
    notes = table_notes(main, ONE_SETTING)
    assert "6 test patients, 2 with each seed, which has its own split." in notes[0]
    assert "patients_per_seed" not in main_table(measured({TEACHER: 30.0}), ONE_SETTING)
    table = difference_table(rows, ONE_SETTING)
    assert set(table["scope"].dropna()) == {"patients, splits and seeds"}
    assert any("corrected resampled t test" in note for note in difference_notes(table))
    plain = difference_table(measured({TEACHER: 31.0, STUDENT: 30.0}), ONE_SETTING)
    assert not any("resampled" in note for note in difference_notes(plain))
