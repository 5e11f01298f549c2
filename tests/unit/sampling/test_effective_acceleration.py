"""How much of k-space a mask tells of a real image."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from pipeline_src.sampling.effective import effective_acceleration, known_samples
from pipeline_src.sampling.given_masks import mask_from_file
from pipeline_src.sampling.masks import described_mask, drawn_mask


@pytest.mark.parametrize(
    ("size", "acceleration", "effective"),
    [(150, 4, 2.46), (150, 5, 3.33), (240, 4, 2.53), (240, 5, 3.20)],
)
def test_the_authors_masks(
    project_root: Path, size: int, acceleration: int, effective: float
) -> None:
    file = project_root / "config" / "authors_masks.csv"
    mask = mask_from_file(file, (size, size), acceleration)
    assert effective_acceleration(mask) == pytest.approx(effective, abs=0.005)


@pytest.mark.parametrize("shape", [(6, 6), (5, 6), (6, 5), (5, 5), (1, 4)])
@pytest.mark.parametrize("whole_lines", [True, False])
def test_as_much_is_known_as_the_samples_have_independent_equations(
    shape: tuple[int, int], whole_lines: bool
) -> None:
    """A real image of n pixels has n unknowns, and a sample is a complex equation for them."""
    rng = np.random.default_rng(3)
    pixels = shape[0] * shape[1]
    fourier = np.fft.fft2(np.eye(pixels).reshape(pixels, *shape)).reshape(pixels, pixels).T
    for _ in range(5):
        samples = rng.random(shape) < 0.4
        if whole_lines:
            samples = np.repeat(samples[:, :1], shape[1], axis=1)
        equations = fourier[samples.ravel()]
        rank = np.linalg.matrix_rank(np.vstack([equations.real, equations.imag]))
        assert known_samples(samples).sum() == rank


def test_full_and_empty_masks_and_the_nominal_acceleration_as_the_upper_end() -> None:
    full = described_mask(np.ones((8, 6), dtype=np.bool_), {})
    empty = described_mask(np.zeros((8, 6), dtype=np.bool_), {})
    assert effective_acceleration(full) == 1
    assert effective_acceleration(empty) == np.inf
    drawn = drawn_mask((64, 64), 4, seed=0, center_lines=4)
    assert 2 < effective_acceleration(drawn) < 1 / drawn.samples.mean()
