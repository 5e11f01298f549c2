"""What a mask measures of a real image, whose k-space is known twice."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from pipeline_src.sampling.masks import Mask


def known_samples(samples: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Samples `(rows, columns)` in FFT order, and those that follow from them where the image is
    real: F(-k) is the conjugate of F(k).
    """
    # Index 0 is its own partner, as is the middle one of an even number.
    partners = np.roll(samples[::-1, ::-1], 1, axis=(0, 1))
    return samples | partners


def effective_acceleration(mask: Mask) -> float:
    """One over the fraction of k-space that is known of a real image under a mask; never more than
    one over the sampled fraction, and infinite for a mask that samples nothing.
    """
    known = float(known_samples(mask.samples).mean())
    return 1 / known if known else float("inf")
