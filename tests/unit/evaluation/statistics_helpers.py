"""Differences between two models, seeds by patients, as the tests of statistics draw them."""

from __future__ import annotations

import math
from functools import partial

import numpy as np
import pytest
from hypothesis import settings
from numpy.typing import NDArray
from scipy import stats

from pipeline_src.evaluation import comparison
from pipeline_src.evaluation.statistics import bootstrap_intervals

Array = NDArray[np.float64]
QUICK = settings(max_examples=25, deadline=None)


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


def three_errors(rate: float, studies: int) -> float:
    """Three standard errors of a rate over so many simulated studies."""
    return 3 * math.sqrt(rate * (1 - rate) / studies)


def fewer_resamples(patch: pytest.MonkeyPatch, resamples: int) -> None:
    """Make the intervals of comparisons quick."""
    patch.setattr(
        comparison, "bootstrap_intervals", partial(bootstrap_intervals, resamples=resamples)
    )
