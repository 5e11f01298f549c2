"""K-space that contradicts what is said of it."""

from __future__ import annotations

import numpy as np
import pytest
from inference_helpers import blobs

from pipeline_src.errors import InputError
from pipeline_src.inference.kspace import in_fft_order, survey
from pipeline_src.sampling.masks import drawn_mask

SIZE = 32
SAMPLES = drawn_mask((SIZE, SIZE), 3, 0, 6).samples
IMAGE = np.moveaxis(blobs(SIZE, SIZE, 2), 2, 0)
FULL = np.fft.fft2(IMAGE, norm="ortho")


def test_an_image_of_the_opposite_sign_is_refused() -> None:
    survey(iter([FULL * SAMPLES]), SAMPLES, "k")
    with pytest.raises(InputError, match=r"^k: its image is negative"):
        survey(iter([-FULL * SAMPLES]), SAMPLES, "k")


def test_lines_that_rounding_filled_are_empty() -> None:
    """Turning centred k-space leaves tiny values where there was nothing."""
    there = np.fft.fftshift(SAMPLES)
    centred = np.fft.fftshift(
        np.fft.fft2(np.fft.ifftshift(IMAGE, axes=(1, 2)), norm="ortho"), axes=(1, 2)
    )
    turned = in_fft_order((centred * there).astype(np.complex64), "centred")
    survey(iter([turned]), SAMPLES, "k", "centred")
    wrong = SAMPLES.copy()
    wrong[np.flatnonzero(~SAMPLES[:, 0])[:1]] = True
    with pytest.raises(InputError, match="was sampled, but k-space is zero there"):
        survey(iter([turned]), wrong, "k", "centred")


def test_lines_along_the_other_axis_are_noticed() -> None:
    with pytest.raises(InputError, match="was sampled along the other axis"):
        survey(iter([FULL * SAMPLES.T]), SAMPLES, "k")


def test_columns_without_signal_are_allowed() -> None:
    """As where a scanner fills up the readout with zeros."""
    kept = FULL * SAMPLES
    kept[:, :, SIZE // 2 - 2 : SIZE // 2 + 3] = 0
    survey(iter([kept]), SAMPLES, "k")
