"""The smallest effect that a study of a given size can show."""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np
from scipy.special import nctdtrinc, stdtrit
from scipy.stats import wilcoxon


def detectable_effect(
    size: tuple[int, ...], spread: tuple[float, float], *, power: float = 0.8, overlap: float = 0.0
) -> float:
    """The smallest effect that the tests show at 0.05 in a share ``power`` of studies: `mean_p`
    and, of several patients, also `wilcoxon_p`, which with few of them shows less.

    With several patients it is found by simulated studies; else by the noncentral t distribution.
    `test_statistics_answers.py` checks both against other simulated studies.

    Args:
        size: number of seeds and of patients.
        spread: `spreads` of the difference between two models, in the metric's unit; that of a
            factor with one level is ignored.
        power: share of studies.
        overlap: as above, of repeats (seeds, 1).

    Returns:
        The effect in the metric's unit; NaN for one seed and one patient, infinite if the patients
        are too few for any effect.
    """
    errors = [
        deviation * math.sqrt(1 / n + overlap) if n > 1 else 0.0
        for n, deviation in zip(size, spread, strict=True)
    ]
    error = math.hypot(*errors)
    if max(size) == 1:
        return math.nan
    if error == 0:
        return 0.0
    seeds, patients = size
    if patients > 1:
        # Rounded, so that a study's comparisons, which differ little in it, are simulated once.
        # Not all of it, as patients that are all alike would be tied.
        share = min(round(SHARES * errors[0] ** 2 / error**2), SHARES - 1) / SHARES
        return error * _errors_shown(seeds, patients, share, power)
    return error * float(nctdtrinc(seeds - 1, 1 - power, -stdtrit(seeds - 1, 0.025)))


#: Studies that are simulated to find what can be shown, and steps of the seeds' share in them.
STUDIES, SHARES = 2000, 20
#: With more patients Wilcoxon's test shows what `mean_p` does.
FEW_PATIENTS = 50


@lru_cache(maxsize=1024)
def _errors_shown(seeds: int, patients: int, share: float, power: float) -> float:
    """`detectable_effect` in units of the standard error of the grand mean, of whose square
    ``share`` is due to the seeds.
    """
    rng = np.random.default_rng(0)
    of_seed = math.sqrt(share * seeds) * rng.standard_normal((STUDIES, seeds))
    of_patient = math.sqrt((1 - share) * patients) * rng.standard_normal((STUDIES, patients))
    by_patient = of_patient + of_seed.mean(axis=1, keepdims=True)
    # `mean_p` is below 0.05 where the squared mean is above this.
    least = sum(
        stdtrit(drawn.shape[1] - 1, 0.025) ** 2 * drawn.var(axis=1, ddof=1) / drawn.shape[1]
        for drawn in (of_seed, of_patient)
        if drawn.shape[1] > 1
    )

    def shown(effect: float) -> float:
        found = by_patient + effect
        beyond = found.mean(axis=1) > np.sqrt(least)
        if patients <= FEW_PATIENTS and beyond.any():
            beyond[beyond] = wilcoxon(found[beyond], axis=1).pvalue < 0.05
        return float(beyond.mean())

    low, high = 0.0, 4.0
    while shown(high) < power:
        low, high = high, 2 * high
        if high > 1e4:
            return math.inf
    while high - low > 0.02:
        middle = (low + high) / 2
        low, high = (low, middle) if shown(middle) >= power else (middle, high)
    return high
