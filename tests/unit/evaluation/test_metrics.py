"""Metrics against independent implementations and explicit loops."""

from __future__ import annotations

import math
import warnings

import numpy as np
import pandas as pd
import pytest
import torch
from numpy.typing import NDArray
from skimage.metrics import structural_similarity

from pipeline_src.evaluation import metrics
from pipeline_src.evaluation.metric_tables import measure

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    from torchmetrics.functional.image import visual_information_fidelity

Volume = NDArray[np.float32]

PEAK = 0.8


def volume(slices: int, rows: int, columns: int, seed: int = 0) -> Volume:
    """Smooth shapes with a little texture, the largest value being `PEAK`."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:rows, :columns]
    images = [
        np.sin(x / rng.uniform(2, 5)) * np.cos(y / rng.uniform(2, 5))
        + 1
        + 0.1 * rng.standard_normal((rows, columns))
        for _ in range(slices)
    ]
    stacked = np.clip(np.stack(images), 0, None)
    return (PEAK * stacked / stacked.max()).astype(np.float32)


def disturbed(target: Volume, amount: float, seed: int = 9) -> Volume:
    noise = np.random.default_rng(seed).standard_normal(target.shape)
    return (target + amount * noise).astype(np.float32)


TARGET = volume(3, 24, 20)
IMAGE = disturbed(TARGET, 0.05)


def test_psnr_is_its_formula_on_a_slice_and_on_a_volume() -> None:
    for target, image in ((TARGET[0], IMAGE[0]), (TARGET, IMAGE)):
        error = np.mean((target.astype(np.float64) - image) ** 2)
        expected = 20 * math.log10(PEAK) - 10 * math.log10(error)
        assert metrics.psnr(target, image, PEAK) == pytest.approx(expected, rel=1e-6)


def test_psnr_rises_by_the_square_of_the_data_range() -> None:
    gain = metrics.psnr(TARGET, IMAGE, 10 * PEAK) - metrics.psnr(TARGET, IMAGE, PEAK)
    assert gain == pytest.approx(20)


def test_ssim_of_a_slice_is_its_formula() -> None:
    """Wang et al. (2004), 7 x 7 uniform window, sample (co)variances, K1 = 0.01, K2 = 0.03."""
    c1, c2 = (0.01 * PEAK) ** 2, (0.03 * PEAK) ** 2
    values = []
    for row in range(3, 24 - 3):
        for column in range(3, 20 - 3):
            window = np.s_[row - 3 : row + 4, column - 3 : column + 4]
            a, b = TARGET[0][window].astype(np.float64), IMAGE[0][window].astype(np.float64)
            covariance = np.cov(a.ravel(), b.ravel())
            luminance = (2 * a.mean() * b.mean() + c1) / (a.mean() ** 2 + b.mean() ** 2 + c1)
            structure = (2 * covariance[0, 1] + c2) / (covariance[0, 0] + covariance[1, 1] + c2)
            values.append(luminance * structure)
    assert metrics.ssim(TARGET[0], IMAGE[0], PEAK) == pytest.approx(np.mean(values), abs=1e-5)


def test_mean_ssim_of_slices_is_scikit_images_of_the_volume_with_slices_as_channels() -> None:
    expected = structural_similarity(
        np.moveaxis(TARGET, 0, -1), np.moveaxis(IMAGE, 0, -1), channel_axis=-1, data_range=PEAK
    )
    found = np.mean([metrics.ssim(t, i, PEAK) for t, i in zip(TARGET, IMAGE, strict=True)])
    assert found == pytest.approx(expected, rel=1e-6)


def test_nmse_is_its_formula() -> None:
    expected = 0.0
    norm = 0.0
    for t, i in zip(TARGET.ravel().tolist(), IMAGE.ravel().tolist(), strict=True):
        expected += (t - i) ** 2
        norm += t**2
    assert metrics.nmse(TARGET, IMAGE) == pytest.approx(expected / norm, rel=1e-9)


def laplacian(image: NDArray[np.float64]) -> NDArray[np.float64]:
    """Four neighbours less four times the pixel; an edge pixel is its own outer neighbour."""
    rows, columns = image.shape
    out = np.zeros_like(image)
    for r in range(rows):
        for c in range(columns):
            for dr, dc in ((-1, 0), (1, 0), (0, -1), (0, 1)):
                near = image[min(max(r + dr, 0), rows - 1), min(max(c + dc, 0), columns - 1)]
                out[r, c] += near - image[r, c]
    return out


def test_hfn_is_its_formula_with_the_five_point_laplacian() -> None:
    # Beyond both ends, so that the clipping of the reconstruction counts.
    target, image = TARGET[0].astype(np.float64), disturbed(TARGET[0], 0.4).astype(np.float64)
    assert image.min() < 0
    assert image.max() > 1
    reference = laplacian(target)
    difference = reference - laplacian(np.minimum(np.maximum(image, 0), 1))
    expected = (difference**2).sum() / (reference**2).sum()
    assert metrics.hfn(target, image) == pytest.approx(expected, rel=1e-9)


def test_hfn_ignores_a_constant_offset_and_sees_a_lost_edge() -> None:
    target = TARGET[0]
    assert metrics.hfn(target, target + np.float32(0.1)) == pytest.approx(0, abs=1e-9)
    flat = np.full_like(target, target.mean())
    assert metrics.hfn(target, flat) == pytest.approx(1, rel=1e-6)


def torchmetrics_vif(target: Volume, image: Volume, data_range: float) -> float:
    def scaled(x: Volume) -> torch.Tensor:
        return torch.from_numpy(x.astype(np.float64) * 255 / data_range)[None, None]

    return float(visual_information_fidelity(scaled(image), scaled(target)))


@pytest.mark.parametrize("shape", [(41, 41), (44, 61), (64, 48)])
@pytest.mark.parametrize("amount", [0.003, 0.05, 0.5])
def test_vif_agrees_with_torchmetrics(shape: tuple[int, int], amount: float) -> None:
    target = volume(1, *shape)[0]
    image = disturbed(target, amount)
    found = metrics.vif(target, image, PEAK)
    assert 0 < found < 1
    assert found == pytest.approx(torchmetrics_vif(target, image, PEAK), rel=1e-5, abs=1e-5)


def test_vif_agrees_with_torchmetrics_where_contrast_is_changed_or_inverted() -> None:
    target = volume(1, 48, 48)[0]
    for image in (1.3 * target, PEAK - target, 0.5 * target + np.float32(0.2)):
        assert metrics.vif(target, image, PEAK) == pytest.approx(
            torchmetrics_vif(target, image, PEAK), rel=1e-5, abs=1e-5
        )


def test_vif_agrees_with_torchmetrics_where_parts_are_flat() -> None:
    target, image = volume(1, 64, 64)[0], disturbed(volume(1, 64, 64)[0], 0.05)
    target[:32] = 0
    image[:, 40:] = 0
    assert metrics.vif(target, image, PEAK) == pytest.approx(
        torchmetrics_vif(target, image, PEAK), rel=1e-5, abs=1e-5
    )


def test_vif_is_not_a_number_below_41_pixels() -> None:
    target = volume(1, 40, 60)[0]
    assert math.isnan(metrics.vif(target, target, PEAK))
    assert math.isnan(metrics.vif(target.T, target.T, PEAK))
    target = volume(1, 41, 60)[0]
    assert math.isfinite(metrics.vif(target, target, PEAK))


def test_perfect_reconstruction() -> None:
    target = volume(1, 48, 48)[0]
    assert metrics.nmse(target, target) == 0
    assert metrics.hfn(target, target) == 0
    assert metrics.ssim(target, target, PEAK) == 1
    assert metrics.vif(target, target, PEAK) == pytest.approx(1, abs=1e-9)


def test_psnr_of_a_perfect_reconstruction_is_infinite_and_raises_no_warning() -> None:
    assert metrics.psnr(TARGET, TARGET, PEAK) == math.inf


def test_every_metric_is_worse_for_more_noise() -> None:
    target = volume(1, 48, 48)[0]
    less, more = disturbed(target, 0.02), disturbed(target, 0.06)
    assert metrics.psnr(target, less, PEAK) > metrics.psnr(target, more, PEAK)
    assert metrics.ssim(target, less, PEAK) > metrics.ssim(target, more, PEAK)
    assert metrics.vif(target, less, PEAK) > metrics.vif(target, more, PEAK)
    assert metrics.nmse(target, less) < metrics.nmse(target, more)
    assert metrics.hfn(target, less) < metrics.hfn(target, more)


# The evaluation's tables of them.

INDEX = pd.DataFrame(
    {"patient": ["a", "a", "b"], "frame": ["ED", "ED", ""], "slice": [0, 1, 0], "volume": [4, 4, 7]}
)


def test_slices_are_measured_at_the_data_range_of_their_volume() -> None:
    peaks = np.array([0.5, 0.5, 1.0], dtype=np.float32)
    table, _ = measure(TARGET, IMAGE, INDEX, peaks)
    assert list(table.columns)[4:] == ["psnr_db", "ssim", "nmse", "hfn", "vif"]
    for row, (target, image, peak) in enumerate(zip(TARGET, IMAGE, peaks.tolist(), strict=True)):
        assert table["psnr_db"][row] == metrics.psnr(target, image, peak)
        assert table["ssim"][row] == metrics.ssim(target, image, peak)
        assert table["nmse"][row] == metrics.nmse(target, image)
        assert table["hfn"][row] == metrics.hfn(target, image)
    assert table["vif"].isna().all()


def test_volumes_have_psnr_and_nmse_of_their_pixels_and_means_of_the_rest() -> None:
    peaks = np.array([0.7, 0.7, 0.9], dtype=np.float32)
    slices, table = measure(TARGET, IMAGE, INDEX, peaks)
    assert table["patient"].tolist() == ["a", "b"]
    assert table["frame"].tolist() == ["ED", ""]
    assert table["slices"].tolist() == [2, 1]
    error = np.mean((TARGET[:2].astype(np.float64) - IMAGE[:2]) ** 2)
    assert table["psnr_db"][0] == pytest.approx(10 * math.log10(0.7**2 / error), rel=1e-6)
    assert table["nmse"][0] == metrics.nmse(TARGET[:2], IMAGE[:2])
    assert table["ssim"][0] == pytest.approx((slices["ssim"][0] + slices["ssim"][1]) / 2)
    assert table["hfn"][0] == pytest.approx((slices["hfn"][0] + slices["hfn"][1]) / 2)
    for metric in ("psnr_db", "ssim", "nmse", "hfn"):
        assert table[metric][1] == pytest.approx(slices[metric][2])
