"""Decides whether one model reconstructs better than another, from metrics of the same volumes."""

from __future__ import annotations

import math
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, TypeVar

import numpy as np
import pandas as pd

from pipeline_src.errors import InputError
from pipeline_src.evaluation.pairing import TRAINED_ON
from pipeline_src.evaluation.power import detectable_effect
from pipeline_src.evaluation.statistics import (
    Array,
    bootstrap_intervals,
    equivalence_p,
    exceeds_p,
    holm,
    mean_p,
    patients_needed,
    resampled_interval,
    spreads,
    wilcoxon_ps,
)

#: With fewer seeds, nothing is said about repeated training.
MINIMUM_SEEDS = 3
Label = TypeVar("Label", bound=Hashable)
Verdict = Literal["better", "worse", "equivalent", "no difference shown", "cannot tell"]
#: What a verdict is about.
Scope = Literal["patients and seeds", "patients, splits and seeds", "these patients"]
THESE_PATIENTS: Scope = "these patients"


@dataclass(frozen=True)
class Comparison:
    """The comparison of two models.

    ``effect`` is the mean over patients and seeds of first minus second, ``low`` and ``high`` its
    `bootstrap_interval`; all in the metric's unit. ``p`` is `wilcoxon_p` of the patients' means
    over seeds, a statement about the networks that were trained; ``p_mean`` is `mean_p`, which
    covers repeated training too. ``p_holm`` is the larger of the two, corrected for the family.
    ``p_equivalence`` is `equivalence_p` within ``margin``, and ``p_below`` the one-sided p-value of
    an effect that is better by ``margin`` or more, both corrected for the family and NaN without a
    margin. ``detectable`` is the effect that a study like this one shows in 80 % of cases.
    ``reason`` says in words what the verdict is based on.

    ``scope`` says what the verdict is about. With too few patients for a statement about others,
    only the seeds are tested, the scope is `these patients`, and ``p`` is NaN. If each seed has its
    own split, ``effect``, ``p_mean`` and the interval are computed from the means of the repeats
    (`statistics`), and ``p`` from each patient's mean over the repeats that test it.

    With one seed, the interval and all p-values are about these networks only.
    """

    effect: float
    low: float
    high: float
    p: float
    p_mean: float
    p_holm: float
    margin: float
    p_equivalence: float
    p_below: float
    detectable: float
    patients: int
    seeds: int
    scope: Scope
    verdict: Verdict
    reason: str


@dataclass(frozen=True)
class _Tested:
    """Differences in the form in which they are tested.

    Attributes:
        matrix: `(seeds, patients)`; or `(seeds, 1)` if only the seeds are tested or each repeat has
            its own split.
        overlap: of the repeats' training sets; 0 if all seeds share one split.
        by_patient: `(patients,)`, each one's mean, if patients are tested; None if only seeds are.
    """

    matrix: Array
    overlap: float
    patients: int
    scope: Scope
    by_patient: Array | None

    @classmethod
    def of(cls, differences: pd.DataFrame, enough: tuple[int, int]) -> _Tested:
        # Always in the same memory layout, since that affects the last bits of a mean.
        matrix = np.ascontiguousarray(differences, dtype=np.float64)
        seeds, patients = matrix.shape
        over_both = patients >= enough[1] or seeds < enough[0]
        resampled, overlap = _has_own_splits(differences) and seeds > 1, 0.0
        by_patient = np.nanmean(matrix, axis=0) if resampled else matrix.mean(axis=0)
        if resampled:
            trained_on = differences.index.get_level_values(TRAINED_ON).to_numpy(np.float64)
            overlap = float(np.mean((~np.isnan(matrix)).sum(axis=1) / trained_on))
            matrix = np.nanmean(matrix, axis=1, keepdims=True)
        elif not over_both:
            matrix = np.ascontiguousarray(matrix.mean(axis=1, keepdims=True))
        # Repeats of their own splits report different patients each, however few.
        scope: Scope = "patients, splits and seeds" if resampled else "patients and seeds"
        if not over_both and not resampled:
            scope = THESE_PATIENTS
        return cls(matrix, overlap, patients, scope, by_patient if over_both else None)

    @property
    def p_mean(self) -> float:
        return mean_p(self.matrix, self.overlap)

    def p_equivalence(self, margin: float | None) -> float:
        return math.nan if margin is None else equivalence_p(self.matrix, margin, self.overlap)

    def below(self, sign: int, margin: float | None) -> float:
        """p-value of being better by ``margin`` or more, where ``sign`` is the sign of better."""
        if margin is None:
            return math.nan
        return exceeds_p(-sign * self.matrix, -margin, self.overlap)


def estimate_mean(differences: pd.DataFrame, *, seed: int) -> dict[str, object]:
    """The mean of `paired_differences` and its 95 % interval over patients and seeds, if nothing is
    asked but how large it is; the names are those of `Comparison`.

    ``seed`` is that of the bootstrap.

    Raises:
        InputError: the matrix is empty or has a value that is no finite number.
    """
    if not _is_whole(differences):
        raise InputError("a difference is missing or no finite number")
    tested = _Tested.of(differences, (0, 0))
    [(low, high)] = _intervals([tested], seed, 0.95)
    return {
        "effect": float(tested.matrix.mean()),
        "low": low,
        "high": high,
        "patients": tested.patients,
        "seeds": len(tested.matrix),
        "scope": tested.scope,
    }


def compare_family(
    pairs: Mapping[Label, pd.DataFrame],
    *,
    seed: int,
    higher_is_better: bool = True,
    alpha: float = 0.05,
    minimum_seeds: int = MINIMUM_SEEDS,
    margin: float | None = None,
) -> dict[Label, Comparison]:
    """Compare the models of each pair, given as `paired_differences`, as one family.

    The first model is `better` or `worse` than the second if ``p_holm`` is below ``alpha`` and the
    interval, of level 1 - ``alpha``, excludes 0. At most about a share ``alpha`` of families
    without any true difference then report one. `wilcoxon_p` alone would not be enough: if seeds
    differ by chance, all patients differ in the same direction. Nor would the interval, which is
    not corrected for the family. Of the others, those whose ``p_equivalence`` is below ``alpha``
    are `equivalent`: shown to differ by less than ``margin``.

    If there are too few patients for any difference to be significant, only the seeds are tested
    and the verdict is about these patients. With fewer seeds than ``minimum_seeds`` it is `cannot
    tell`.

    ``seed`` is that of the bootstrap, the same for every pair, so that an interval does not depend
    on the rest of the family.

    Raises:
        InputError: a matrix is empty or has a value that is not a finite number.
    """
    for label, differences in pairs.items():
        if not _is_whole(differences):
            raise InputError(f"{label}: a difference is missing or no finite number")
    enough = (minimum_seeds, patients_needed(len(pairs), alpha) if pairs else 0)
    tested = [_Tested.of(differences, enough) for differences in pairs.values()]
    sign = 1 if higher_is_better else -1
    p_below = holm([t.below(sign, margin) for t in tested])
    p_patients = _of_patients(tested)
    p_means = [t.p_mean for t in tested]
    # Unknown where a tested p is: of one seed, say.
    p_holm = holm(np.where(np.isnan(p_patients), p_means, np.maximum(p_patients, p_means)))
    p_equivalence = holm([t.p_equivalence(margin) for t in tested])
    intervals = _intervals(tested, seed, 1 - alpha)
    compared = {}
    for k, (label, test) in enumerate(zip(pairs, tested, strict=True)):
        matrix = test.matrix
        effect = float(matrix.mean())
        low, high = intervals[k]
        reason = _too_few(len(matrix), test.patients, enough, len(pairs))
        verdict: Verdict = "cannot tell"
        if not reason:
            excluded = low > 0 or high < 0
            reason = (
                f"corrected p {p_holm[k]:.2g}, interval {'excludes' if excluded else 'includes'} 0"
            )
            verdict = "no difference shown"
            if excluded and p_holm[k] < alpha:
                verdict = "better" if (effect > 0) == higher_is_better else "worse"
            elif p_equivalence[k] < alpha:
                verdict = "equivalent"
                reason += f", within {margin:g} by corrected p {p_equivalence[k]:.2g}"
            if test.scope == THESE_PATIENTS:
                reason += f"; about these {test.patients} patients, too few for others"
        compared[label] = Comparison(
            effect=effect,
            low=low,
            high=high,
            p=p_patients[k],
            p_mean=p_means[k],
            p_holm=float(p_holm[k]),
            margin=math.nan if margin is None else margin,
            p_equivalence=float(p_equivalence[k]),
            p_below=float(p_below[k]),
            detectable=detectable_effect(matrix.shape, spreads(matrix), overlap=test.overlap),
            patients=test.patients,
            seeds=len(matrix),
            scope=test.scope,
            verdict=verdict,
            reason=reason,
        )
    return compared


def _of_patients(tested: Sequence[_Tested]) -> list[float]:
    """p-values of the patients; NaN where only seeds are tested."""
    found = iter(wilcoxon_ps([t.by_patient for t in tested if t.by_patient is not None]))
    return [math.nan if t.by_patient is None else next(found) for t in tested]


def _intervals(tested: Sequence[_Tested], seed: int, level: float) -> list[tuple[float, float]]:
    """Of each mean, over what it is tested for; ``seed`` is that of the bootstrap."""
    independent = [t.matrix for t in tested if not t.overlap]
    drawn = iter(bootstrap_intervals(independent, seed=seed, level=level))
    return [
        resampled_interval(t.matrix, t.overlap, level=level) if t.overlap else next(drawn)
        for t in tested
    ]


def _has_own_splits(differences: pd.DataFrame) -> bool:
    return TRAINED_ON in differences.index.names


def _is_whole(differences: pd.DataFrame) -> bool:
    """Whether there is a finite number for each seed and patient or, if each seed has its own
    split, for some patients of each seed.
    """
    matrix = np.asarray(differences, np.float64)
    there = np.isfinite(matrix)
    if not _has_own_splits(differences):
        return bool(matrix.size and there.all())
    some = there.any(axis=0).all() and there.any(axis=1).all() and not np.isinf(matrix).any()
    return bool(matrix.size and some)


def _too_few(seeds: int, patients: int, enough: tuple[int, int], family: int) -> str:
    """Why there are too few seeds for any verdict, else an empty text; with how many patients would
    be needed.
    """
    if seeds >= enough[0]:
        return ""
    reasons = []
    for count, needed, what in zip((seeds, patients), enough, ("seed", "patient"), strict=True):
        if count < needed:
            of = f" for {family} comparisons" if what == "patient" and family > 1 else ""
            reasons.append(f"{count} {what}{'s' if count != 1 else ''}, {needed} needed{of}")
    return "; ".join(reasons)
