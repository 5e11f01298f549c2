"""Synthetic phantoms: reproducible, plausible, and as hard to undersample as the real data."""

from __future__ import annotations

from typing import Literal

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import ndimage

from pipeline_src.data.phantoms import draw_volume

Anatomy = Literal["brain", "cardiac"]
CASES: list[tuple[Anatomy, str]] = [("brain", ""), ("cardiac", "ED"), ("cardiac", "ES")]


@pytest.mark.parametrize(("anatomy", "phase"), CASES)
@pytest.mark.parametrize(("matrix", "slices"), [(48, 1), (64, 3), (150, 2)])
def test_shape_type_and_range(anatomy: Anatomy, phase: str, matrix: int, slices: int) -> None:
    volume = draw_volume(anatomy, 5, matrix, slices, phase)
    assert volume.shape == (matrix, matrix, slices)
    assert volume.dtype == np.float32
    assert np.isfinite(volume).all()
    assert volume.min() >= 0.0
    assert volume.max() == 1.0


@pytest.mark.parametrize(("anatomy", "phase"), CASES)
def test_seed_fixes_the_patient(anatomy: Anatomy, phase: str) -> None:
    first = draw_volume(anatomy, 1, 64, 3, phase)
    assert np.array_equal(first, draw_volume(anatomy, 1, 64, 3, phase))
    other = draw_volume(anatomy, 2, 64, 3, phase)
    assert np.corrcoef(first.ravel(), other.ravel())[0, 1] < 0.98


@pytest.mark.parametrize(("anatomy", "phase"), CASES)
def test_same_anatomy_at_every_matrix(anatomy: Anatomy, phase: str) -> None:
    coarse = draw_volume(anatomy, 3, 48, 2, phase)
    fine = draw_volume(anatomy, 3, 144, 2, phase).reshape(48, 3, 48, 3, 2).mean(axis=(1, 3))
    assert np.corrcoef(coarse.ravel(), fine.ravel())[0, 1] > 0.95


def test_brain_has_dark_air_and_changes_smoothly_through_the_slices() -> None:
    volume = draw_volume("brain", 4, 96, 8)
    assert volume[:6, :6].mean() < 0.05
    far = np.corrcoef(volume[..., 0].ravel(), volume[..., -1].ravel())[0, 1]
    for index in range(7):
        near = np.corrcoef(volume[..., index].ravel(), volume[..., index + 1].ravel())[0, 1]
        assert near > max(far, 0.7)


@pytest.mark.parametrize("seed", range(5))
def test_heart_contracts_in_an_unchanged_chest(seed: int) -> None:
    diastole, systole = (draw_volume("cardiac", seed, 100, 5, phase) for phase in ("ED", "ES"))
    # The rows above and below the heart hold chest wall and abdomen: alike but for the noise.
    chest = np.r_[0:14, 84:100]
    assert np.corrcoef(diastole[chest].ravel(), systole[chest].ravel())[0, 1] > 0.95
    assert not np.array_equal(diastole[chest], systole[chest])
    # The dark ring of myocardium closes off the pool around the middle of the left ventricle.
    middle = (46, 55)
    areas = []
    for image in (diastole[..., 2], systole[..., 2]):
        blood = np.median(image[43:50, 52:59])
        pools, _ = ndimage.label(image > 0.65 * blood)
        areas.append(np.count_nonzero(pools == pools[middle]))
        assert pools[middle] > 0
    assert 0.15 * areas[0] < areas[1] < 0.75 * areas[0]


def _line_mask(lines: int, rng: np.random.Generator) -> NDArray[np.bool_]:
    """Random phase-encode lines at 4x, zero frequency in the middle, shape `(lines,)`."""
    position = np.arange(lines)
    density = np.exp(-0.5 * ((position - lines / 2) / (lines / 10)) ** 2) + 1.0 / 8.0
    mask: NDArray[np.bool_] = np.abs(position - lines // 2 + 0.5) < 5.0
    density[mask] = 0.0
    extra = rng.choice(lines, lines // 4 - 10, replace=False, p=density / density.sum())
    mask[extra] = True
    return mask


def _zero_filled_psnr(volume: NDArray[np.float32], mask: NDArray[np.bool_]) -> float:
    """PSNR in dB of the zero-filled volume, with the volume maximum as data range."""
    rows = np.fft.ifftshift(mask)[:, None, None]
    spectrum = np.fft.fft2(volume, axes=(0, 1), norm="ortho")
    zero_filled = np.fft.ifft2(rows * spectrum, axes=(0, 1), norm="ortho").real
    error = float(np.mean((volume - zero_filled) ** 2))
    return float(10.0 * np.log10(float(volume.max()) ** 2 / error))


@pytest.mark.parametrize(
    ("anatomy", "phases", "matrix", "published"),
    [("brain", ("",), 240, 31.4), ("cardiac", ("ED", "ES"), 150, 24.3)],
)
def test_zero_filled_psnr_is_close_to_the_published_figure(
    anatomy: Anatomy, phases: tuple[str, ...], matrix: int, published: float
) -> None:
    rng = np.random.default_rng(0)
    masks = [_line_mask(matrix, rng) for _ in range(3)]
    values = [
        _zero_filled_psnr(draw_volume(anatomy, seed, matrix, 6, phase), mask)
        for seed in range(5)
        for phase in phases
        for mask in masks
    ]
    assert abs(np.mean(values) - published) < 3.0
