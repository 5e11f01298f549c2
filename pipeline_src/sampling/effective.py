"""Computes how much a mask measures of a real image, whose k-space is symmetric."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from pipeline_src.sampling.masks import Mask


def known_samples(samples: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Samples that a mask measures, and those that follow from them because the image is real:
    F(-k) is the conjugate of F(k).

    Takes and returns a mask `(rows, columns)` in FFT order; the shape stays the same.
    """
    # Index 0 is its own partner, and so is the middle index of an even size.
    partners = np.roll(samples[::-1, ::-1], 1, axis=(0, 1))
    return samples | partners


def effective_acceleration(mask: Mask) -> float:
    """One over the fraction of a real image's k-space that is known under a mask.

    It is never more than one over the sampled fraction, and infinite for a mask that samples
    nothing.
    """
    known = float(known_samples(mask.samples).mean())
    return 1 / known if known else float("inf")
