"""Whether one model reconstructs better than another, from their metrics of the same volumes.

Two things vary that a statement about a method must hold for: the patients and the seeds, i.e. the
networks trained independently of each other. Volumes and slices of one patient are averaged first;
they are no further evidence. A matrix here is `(seeds, patients)`: the first model's metric less
the second's, in the metric's unit.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, TypeVar

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.optimize import brentq
from scipy.special import ndtri, stdtrit
from scipy.stats import binomtest, wilcoxon

from pipeline_src.errors import InputError

Array = NDArray[np.float64]
Label = TypeVar("Label", bound=Hashable)
Verdict = Literal["better", "worse", "no difference shown", "cannot tell"]

#: `mean_p` of anything clearer than this.
SMALLEST_P = 1e-12


class NotMeasuredError(InputError):
    """Two models cannot be compared: one lacks a seed, a volume or a finite value of the metric."""


@dataclass(frozen=True)
class Comparison:
    """One model beside another.

    ``effect`` is the mean over patients and seeds of first less second, ``low`` and ``high`` its
    `bootstrap_interval`; all in the metric's unit. ``p`` is `wilcoxon_p` of the patients' means
    over seeds, which is about the networks that were trained; ``p_mean`` is `mean_p`, about
    training anew too. ``p_holm`` is the larger of the two, corrected for the family. ``reason``
    says in plain words what the verdict rests on.

    With one seed, the interval and all p-values are about these networks alone.
    """

    effect: float
    low: float
    high: float
    p: float
    p_mean: float
    p_holm: float
    patients: int
    seeds: int
    verdict: Verdict
    reason: str


def paired_differences(first: pd.DataFrame, second: pd.DataFrame, metric: str) -> pd.DataFrame:
    """First less second: a row a seed, a column a patient, the mean over the patient's volumes.

    Both tables are rows of volumes as the evaluation writes them, each of one model.

    Raises:
        NotMeasuredError: the two are not measured on the same volumes with the same seeds, or the
            metric is not a finite number everywhere.
        InputError: the two are not of one setting, or one was measured twice.
    """
    for column in ("dataset", "acceleration", "part"):
        values = sorted({*first[column].astype(str), *second[column].astype(str)})
        if len(values) > 1:
            raise InputError(f"models of one {column} are compared, not of {' and '.join(values)}")
    ours, theirs = _by_volume(first, metric), _by_volume(second, metric)
    for one, other in ((ours, theirs), (theirs, ours)):
        missing = [volume for volume in other.index if volume not in one.index]
        if missing:
            gap = f"{one.name}: not measured, but {other.name} is: {_listed(missing)}"
            raise NotMeasuredError(gap)
    matrix = (ours - theirs).unstack(["patient", "frame"])
    gaps = np.argwhere(matrix.isna().to_numpy())
    if len(gaps):
        missing = [(matrix.index[row], *matrix.columns[column]) for row, column in gaps]
        gap = f"{ours.name}: not measured, but with another seed: {_listed(missing)}"
        raise NotMeasuredError(gap)
    return matrix.T.groupby(level="patient", dropna=False).mean().T


def _by_volume(rows: pd.DataFrame, metric: str) -> pd.Series:
    """A model's metric by seed, patient and frame; the series is named after the model."""
    if metric not in rows:
        raise InputError(f"no metric {metric!r} in the metrics")
    models = rows[["model", "training", "variant"]].astype(object).fillna("").drop_duplicates()
    names = [" ".join(filter(None, map(str, words))) for words in models.to_numpy()]
    if len(names) != 1:
        raise InputError(f"rows of one model are compared, not of {' and '.join(names) or 'none'}")
    if rows["seed"].isna().any():
        raise NotMeasuredError(f"{names[0]}: has no seed; only trained models are compared")
    frames = rows["frame"].astype(object).fillna("").astype(str)
    index = pd.MultiIndex.from_arrays(
        [rows["seed"].astype(int), rows["patient"].astype(str), frames],
        names=["seed", "patient", "frame"],
    )
    if index.has_duplicates:
        raise InputError(
            f"{names[0]}: measured more than once: {_listed(index[index.duplicated()])}"
        )
    values = pd.Series(rows[metric].to_numpy(np.float64), index=index, name=names[0])
    infinite = ~np.isfinite(values.to_numpy())
    if infinite.any():
        raise NotMeasuredError(
            f"{names[0]}: {metric} is no finite number: {_listed(index[infinite])}"
        )
    return values


def _listed(volumes: Sequence[tuple[int, str, str]] | pd.Index) -> str:
    seed, patient, frame = volumes[0]
    more = f" and {len(volumes) - 1} more" if len(volumes) > 1 else ""
    return f"seed {seed}, patient {patient}{', frame ' if frame else ''}{frame}{more}"


def wilcoxon_p(differences: Array) -> float:
    """Two-sided Wilcoxon signed-rank test of differences `(patients,)`.

    Zeros are left out, as Wilcoxon did; 1 where nothing is left. The p-value is exact up to 50
    differences, or up to 13 where some are equal in size, and of the normal approximation beyond.
    """
    # scipy would do the same with zeros, but with a warning where nothing is left.
    kept = differences[differences != 0]
    return float(wilcoxon(kept).pvalue) if len(kept) else 1.0


def holm(p_values: Sequence[float] | Array) -> Array:
    """Holm's step-down correction (Scand. J. Stat. 6:65, 1979), in the order given.

    NaN stays NaN and does not count.
    """
    p = np.asarray(p_values, dtype=np.float64)
    adjusted = np.full_like(p, np.nan)
    known = np.flatnonzero(~np.isnan(p))
    order = known[np.argsort(p[known])]
    steps = p[order] * np.arange(len(order), 0, -1)
    adjusted[order] = np.minimum(np.maximum.accumulate(steps), 1)
    return adjusted


def _factors(matrix: Array) -> Iterator[Array]:
    """Deviations of the seeds' means and of the patients' means from the grand mean.

    A factor with one level is left out: nothing can be said of its variance.
    """
    for axis in (0, 1):
        if matrix.shape[axis] > 1:
            yield matrix.mean(axis=1 - axis) - matrix.mean()


def bootstrap_interval(
    matrix: Array, *, seed: int, resamples: int = 10_000, level: float = 0.95
) -> tuple[float, float]:
    """Interval of the grand mean of `(seeds, patients)`, both resampled with replacement.

    A percentile interval, corrected for the number of seeds and patients. For n of either, the
    deviations that resampling gives are stretched by sqrt(n / (n - 1)), by which a resampled
    variance is too small, and by Student's quantile with n - 1 degrees of freedom over the normal
    one. Left as they are, 3 seeds that differ by chance cover the truth in 75 % of studies.

    Seeds are resampled in the patients' mean and patients in the seeds' mean, so what is neither
    the seed's nor the patient's counts in both, and the interval errs on the wide side. With one
    seed only patients are resampled, and the interval is about these networks alone; NaN for one
    seed and one patient.

    Of studies with 3 or 5 seeds and 10, 20 or 50 patients, the 95 % interval covers the truth in
    94 to 95 % where patients alone or seeds alone vary, in 95 to 98 % where both do, with or
    without a residual, in 99 % where the residual alone varies; for 10 patients whose differences
    are strongly skewed (exponential) in 90 %. `test_statistics_simulated.py` holds it to that.
    """
    if matrix.size == 1:
        return math.nan, math.nan
    rng = np.random.default_rng(seed)
    tail = (1 - level) / 2
    means = np.full(resamples, matrix.mean())
    for deviations in _factors(matrix):
        n = len(deviations)
        stretch = math.sqrt(n / (n - 1)) * stdtrit(n - 1, tail) / ndtri(tail)
        means += stretch * deviations[rng.integers(n, size=(resamples, n))].mean(axis=1)
    low, high = np.quantile(means, [tail, 1 - tail])
    return float(low), float(high)


def mean_p(matrix: Array) -> float:
    """Two-sided p-value of a grand mean of zero, seeds and patients both being random.

    The p at which t_seeds(p)^2 v_seeds + t_patients(p)^2 v_patients is the squared mean, with v the
    variance of the grand mean due to each and t Student's quantile: the interval of
    `bootstrap_interval` without resampling, which with 3 seeds has no tails to take a p-value from.
    For one seed, or one patient, it is Student's t test over the other; NaN for one of both. Not
    below `SMALLEST_P`.
    """
    if matrix.size == 1:
        return math.nan
    mean = float(matrix.mean())
    if mean == 0:
        return 1.0
    factors = [(len(d) - 1, float(np.sum(d**2)) / (len(d) - 1) / len(d)) for d in _factors(matrix)]

    def beyond_mean(p: float) -> float:
        return float(sum(stdtrit(df, p / 2) ** 2 * v for df, v in factors)) - mean**2

    if beyond_mean(SMALLEST_P) <= 0:
        return SMALLEST_P
    return float(brentq(beyond_mean, SMALLEST_P, 1, xtol=SMALLEST_P / 10))


def sign_p(wins: int, comparisons: int) -> float:
    """Two-sided exact binomial p-value of so many comparisons going one way."""
    return float(binomtest(wins, comparisons).pvalue)


def patients_needed(family: int, alpha: float = 0.05) -> int:
    """Patients below which `wilcoxon_p`, which is at least 2^(1 - patients), times the number of
    comparisons in a family is never below ``alpha``."""
    return math.floor(1 + math.log2(family / alpha)) + 1


def compare_family(
    pairs: Mapping[Label, pd.DataFrame],
    *,
    seed: int,
    higher_is_better: bool = True,
    alpha: float = 0.05,
    minimum_seeds: int = 3,
) -> dict[Label, Comparison]:
    """Compare the models of each pair, given as `paired_differences`, as one family.

    The first model is `better` or `worse` than the second where ``p_holm`` is below ``alpha`` and
    the interval, of level 1 - ``alpha``, excludes 0. At most about ``alpha`` of families then have
    a difference called that is none. `wilcoxon_p` alone would not do: where seeds differ by chance,
    all patients do in the same direction. Nor would the interval: it is not corrected for the
    family.

    `cannot tell` stands where there are fewer seeds than ``minimum_seeds``, or too few patients for
    any difference to be called one.

    ``seed`` is that of the bootstrap, the same for every pair: an interval does not depend on what
    else is in the family.

    Raises:
        InputError: a matrix is empty or has a value that is no finite number.
    """
    # In one memory layout, since it shapes the last bits of a mean.
    matrices = {k: np.ascontiguousarray(v, dtype=np.float64) for k, v in pairs.items()}
    for label, matrix in matrices.items():
        if not matrix.size or not np.isfinite(matrix).all():
            raise InputError(f"{label}: a difference is missing or no finite number")
    p = [wilcoxon_p(matrix.mean(axis=0)) for matrix in matrices.values()]
    p_mean = [mean_p(matrix) for matrix in matrices.values()]
    p_holm = holm(np.maximum(p, p_mean))
    enough = (minimum_seeds, patients_needed(len(pairs), alpha) if pairs else 0)
    compared = {}
    for k, (label, matrix) in enumerate(matrices.items()):
        effect = float(matrix.mean())
        low, high = bootstrap_interval(matrix, seed=seed, level=1 - alpha)
        reason = _too_few(matrix, enough, len(pairs))
        verdict: Verdict = "cannot tell"
        if not reason:
            excluded = low > 0 or high < 0
            reason = (
                f"corrected p {p_holm[k]:.2g}, interval {'excludes' if excluded else 'includes'} 0"
            )
            verdict = "no difference shown"
            if excluded and p_holm[k] < alpha:
                verdict = "better" if (effect > 0) == higher_is_better else "worse"
        seeds, patients = matrix.shape
        compared[label] = Comparison(
            effect=effect,
            low=low,
            high=high,
            p=p[k],
            p_mean=p_mean[k],
            p_holm=float(p_holm[k]),
            patients=patients,
            seeds=seeds,
            verdict=verdict,
            reason=reason,
        )
    return compared


def _too_few(matrix: Array, enough: tuple[int, int], family: int) -> str:
    """Why a matrix `(seeds, patients)` is too small for any verdict, or nothing."""
    reasons = []
    for count, needed, what in zip(matrix.shape, enough, ("seed", "patient"), strict=True):
        if count < needed:
            of = f" for a family of {family}" if what == "patient" else ""
            reasons.append(f"{count} {what}{'s' if count != 1 else ''}, {needed} needed{of}")
    return "; ".join(reasons)
