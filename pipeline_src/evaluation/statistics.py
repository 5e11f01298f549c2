"""Intervals and tests of the mean difference between two models over seeds and patients.

A statement about a method must hold for other patients and for other seeds, that is, for networks
trained independently of each other. Volumes and slices of one patient are averaged first, because
they add no independent evidence. A matrix here is `(seeds, patients)`: the first model's metric
minus the second's, in the metric's unit.

If each seed has its own split, the trainings share patients, so that neither seeds nor patients are
independent. The units are then the repeats, `(seeds, 1)`, each the mean over the patients that it
tests, and their mean has the variance (1/k + overlap) s^2 for k repeats with standard deviation s:
the corrected resampled t test (Nadeau & Bengio, Machine Learning 52:239, 2003). The ``overlap`` is
the number of tested patients divided by that of training patients; 0: seeds are independent.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import brentq
from scipy.special import ndtri, stdtrit
from scipy.stats import wilcoxon

Array = NDArray[np.float64]

#: The smallest p-value that `mean_p` returns.
SMALLEST_P = 1e-12


def wilcoxon_p(differences: Array) -> float:
    """Two-sided Wilcoxon signed-rank test of differences `(patients,)`.

    Zeros are left out, as Wilcoxon did; the result is 1 if nothing is left. The p-value is exact up
    to 50 differences, or up to 13 if some are equal in size, and based on the normal approximation
    beyond.
    """
    # scipy would do the same with zeros, but with a warning if nothing is left.
    kept = differences[differences != 0]
    return float(wilcoxon(kept).pvalue) if len(kept) else 1.0


def wilcoxon_ps(samples: Sequence[Array]) -> list[float]:
    """The `wilcoxon_p` of each `(patients,)`; those of one length are tested together, which takes
    a fraction of the time, if they have neither zeros nor differences of equal size.
    """
    found = [math.nan] * len(samples)
    plain: dict[int, list[int]] = {}
    for k, sample in enumerate(samples):
        if sample.all() and len(np.unique(np.abs(sample))) == len(sample):
            plain.setdefault(len(sample), []).append(k)
        else:
            found[k] = wilcoxon_p(sample)
    for members in plain.values():
        together = wilcoxon(np.array([samples[k] for k in members]), axis=1).pvalue
        for k, p in zip(members, together.tolist(), strict=True):
            found[k] = p
    return found


def holm(p_values: Sequence[float] | Array) -> Array:
    """Holm's step-down correction (Scand. J. Stat. 6:65, 1979) of p-values `(tests,)`.

    The result has the same shape and order. NaN stays NaN and is not counted.
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

    A factor with one level is left out, since its variance is unknown.
    """
    for axis in (0, 1):
        if matrix.shape[axis] > 1:
            yield matrix.mean(axis=1 - axis) - matrix.mean()


def bootstrap_interval(
    matrix: Array, *, seed: int, resamples: int = 10_000, level: float = 0.95
) -> tuple[float, float]:
    """Interval of the grand mean of `(seeds, patients)`, both resampled with replacement.

    A percentile interval, corrected for the number of seeds and patients. For n of either, the
    deviations from resampling are multiplied by sqrt(n / (n - 1)), because a resampled variance is
    too small by that factor, and by Student's quantile with n - 1 degrees of freedom divided by the
    normal one. Without this, 3 seeds that differ by chance would cover the truth in 75 % of
    studies.

    Seeds are resampled in the patients' mean and patients in the seeds' mean, so variation due to
    neither counts in both, and the interval is rather too wide. With one seed only patients are
    resampled, and the interval is about these networks only; NaN for one seed and one patient.

    For studies with 3 or 5 seeds and 10, 20 or 50 patients, the 95 % interval covers the truth in
    94 to 95 % if only patients or only seeds vary, in 95 to 98 % if both do, with or without a
    residual, in 99 % if only the residual varies; for 10 patients whose differences are strongly
    skewed (exponential) in 90 %. `test_statistics_simulated.py` checks this.
    """
    return bootstrap_intervals([matrix], seed=seed, resamples=resamples, level=level)[0]


def bootstrap_intervals(
    matrices: Sequence[Array], *, seed: int, resamples: int = 10_000, level: float = 0.95
) -> list[tuple[float, float]]:
    """The `bootstrap_interval` of each matrix, the same as alone; those of one shape are resampled
    together, which takes a fraction of the time.
    """
    found = [(math.nan, math.nan)] * len(matrices)
    tail = (1 - level) / 2
    for shape in {matrix.shape for matrix in matrices if matrix.size > 1}:
        where = [k for k, matrix in enumerate(matrices) if matrix.shape == shape]
        means = np.array([matrices[k].mean() for k in where])[:, None]
        draws = _draws(seed, resamples, tuple(n for n in shape if n > 1))
        factors = zip(*(_factors(matrices[k]) for k in where), strict=True)
        for deviations, drawn in zip(factors, draws, strict=True):
            n = len(drawn)
            stretch = math.sqrt(n / (n - 1)) * stdtrit(n - 1, tail) / ndtri(tail)
            summable = np.array([_summed_exactly(one) for one in deviations])
            means = means + stretch / n * (summable @ drawn)
        low, high = np.quantile(means, [tail, 1 - tail], axis=1)
        for at, k in enumerate(where):
            found[k] = float(low[at]), float(high[at])
    return found


def _summed_exactly(deviations: Array) -> Array:
    """Deviations `(n,)`, rounded by less than n / 2^52 of the largest, so that every sum of n of
    them is exact: it is the same in any order, beside any others and on any machine.
    """
    largest = float(np.abs(deviations).max())
    if not largest:
        return deviations
    step = 2.0 ** (math.frexp(largest * len(deviations))[1] - 52)
    return np.round(deviations / step) * step


# Of a study nearly all comparisons have the same size, and drawing takes longer than the rest.
@lru_cache(maxsize=2)
def _draws(seed: int, resamples: int, sizes: tuple[int, ...]) -> list[Array]:
    """How often each level of each factor is drawn when as many as there are are drawn with
    replacement, `(size, resamples)` of each factor.
    """
    rng = np.random.default_rng(seed)
    counts = []
    for size in sizes:
        drawn = rng.integers(size, size=(resamples, size))
        drawn += np.arange(resamples)[:, None] * size
        counted = np.bincount(drawn.ravel(), minlength=resamples * size)
        counts.append(counted.reshape(resamples, size).T.astype(np.float64))
    return counts


def resampled_interval(
    matrix: Array, overlap: float, *, level: float = 0.95
) -> tuple[float, float]:
    """Interval of the mean of repeats `(seeds, 1)` by Student's t; NaN for one repeat."""
    if len(matrix) == 1:
        return math.nan, math.nan
    mean = float(matrix.mean())
    half = -stdtrit(len(matrix) - 1, (1 - level) / 2) * _standard_error(matrix, overlap)
    return mean - half, mean + half


def _standard_error(repeats: Array, overlap: float) -> float:
    return math.sqrt((1 / len(repeats) + overlap) * float(repeats.var(ddof=1)))


def mean_p(matrix: Array, overlap: float = 0.0) -> float:
    """Two-sided p-value of a grand mean of zero of `(seeds, patients)`, both taken as random.

    It is the p at which t_seeds(p)^2 v_seeds + t_patients(p)^2 v_patients equals the squared mean,
    with v the variance of the grand mean due to each and t Student's quantile. This is the interval
    of `bootstrap_interval` without resampling, which with 3 seeds has no tails from which to take a
    p-value. For one seed, or one patient, it is Student's t test over the other; NaN for one of
    both. With ``overlap``, of repeats `(seeds, 1)`, it is the corrected resampled t test. Never
    below `SMALLEST_P`.
    """
    if matrix.size == 1:
        return math.nan
    mean = float(matrix.mean())
    if mean == 0:
        return 1.0
    factors = [(len(d) - 1, float(np.sum(d**2)) / (len(d) - 1) / len(d)) for d in _factors(matrix)]
    if overlap:
        factors = [(len(matrix) - 1, _standard_error(matrix, overlap) ** 2)]

    def beyond_mean(p: float) -> float:
        return float(sum(stdtrit(df, p / 2) ** 2 * v for df, v in factors)) - mean**2

    if beyond_mean(SMALLEST_P) <= 0:
        return SMALLEST_P
    return float(brentq(beyond_mean, SMALLEST_P, 1, xtol=SMALLEST_P / 10))


def patients_needed(family: int, alpha: float = 0.05) -> int:
    """The smallest number of patients with which a comparison in a family can be significant.

    `wilcoxon_p` is at least 2^(1 - patients); with fewer patients, that times the number of
    comparisons is never below ``alpha``.
    """
    return math.floor(1 + math.log2(family / alpha)) + 1


def exceeds_p(matrix: Array, bound: float, overlap: float = 0.0) -> float:
    """One-sided p-value of a grand mean of `(seeds, patients)` of at most ``bound``, against a
    larger one.

    It is half of `mean_p`, or one minus that if the mean lies below; NaN for one seed and one
    patient.
    """
    two_sided = mean_p(matrix - bound, overlap)
    return two_sided / 2 if matrix.mean() >= bound else 1 - two_sided / 2


def equivalence_p(matrix: Array, margin: float, overlap: float = 0.0) -> float:
    """p-value of a grand mean of `(seeds, patients)` that lies ``margin`` or more away from zero.

    It is the larger p-value of two one-sided tests (TOST; Schuirmann, J. Pharmacokinet. Biopharm.
    15:657, 1987).
    """
    return max(exceeds_p(matrix, -margin, overlap), exceeds_p(-matrix, -margin, overlap))


def spreads(matrix: Array) -> tuple[float, float]:
    """Standard deviations of the seeds' and of the patients' means of `(seeds, patients)`; 0 for
    one.
    """
    by_seed, by_patient = (
        float(matrix.mean(axis=1 - axis).std(ddof=1)) if matrix.shape[axis] > 1 else 0.0
        for axis in (0, 1)
    )
    return by_seed, by_patient
