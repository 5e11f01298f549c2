"""Checks whether a user's mask is likely not in FFT order, or of another acceleration."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

# Relative deviation from 1/R that is tolerated in the sampled share of a given mask.
TOLERATED_SHARE = 0.1


def unusual(samples: NDArray[np.bool_], acceleration: int) -> list[str]:
    """How a mask `(rows, columns)` differs from a usual one in FFT order at that acceleration.

    Usually the phase-encode lines lie along axis 0, one in R of them is sampled, and the lowest
    frequencies are sampled more densely than the highest. Each finding ends with its remedy.
    """
    found = []
    whole_lines = bool((samples == samples[:, :1]).all())
    if not whole_lines and (samples == samples[:1]).all():
        found.append("has its lines along axis 1 (give its transpose)")
    elif not _samples_the_centre(samples):
        found.append(
            "does not sample the lowest frequencies, index 0 and its neighbours in FFT order "
            f"({_how_to_centre(samples)})"
        )
    share = float(samples.mean())
    count = len(samples) * share
    expected = len(samples) / acceleration
    whole = whole_lines and round(count) in (math.floor(expected), math.ceil(expected))
    if not whole and abs(share * acceleration - 1) > TOLERATED_SHARE:
        lines = f"{round(count)} of {len(samples)} lines" if whole_lines else f"{share:.1%}"
        found.append(
            f"samples {lines}, which is {1 / share:.3g}x and not {acceleration}x (name it under "
            "the factor that it has)"
        )
    return found


def _samples_the_centre(samples: NDArray[np.bool_]) -> bool:
    """Whether the zero frequency and its neighbours are sampled, and lie in the longest block."""
    axes = (samples[:, 0], samples[0, :])
    for line in axes:
        near = [0, 1, -1] if line.sum() > 2 else [0]
        if not line[near].all() or _block(line, len(line) // 2) > _block(line, 0):
            return False
    return True


def _block(line: NDArray[np.bool_], index: int) -> int:
    """How many consecutive samples, also around the end, contain ``index``."""
    turned = np.roll(line, -index)
    ahead, behind = (int(np.argmin([*side, False])) for side in (turned, turned[::-1]))
    return min(ahead + behind, len(line))


def _how_to_centre(samples: NDArray[np.bool_]) -> str:
    """How to put the lowest frequencies in the right place, as far as that is clear from the
    mask.
    """
    for axes in ((0,), (0, 1), (1,)):
        if _samples_the_centre(np.fft.ifftshift(samples, axes=axes)):
            return "it is in centred order: apply numpy.fft.ifftshift"
    if samples[1:3].any(axis=1).all() and not samples[0].any():
        return "its lines are counted from 1: subtract 1"
    return "apply numpy.fft.ifftshift if it is in centred order, subtract 1 if counted from 1"
