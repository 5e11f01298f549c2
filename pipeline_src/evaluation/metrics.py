"""Image-quality metrics: how each is computed, what it is called, and how it is printed.

`METRICS` holds all that evaluation, statistics, tables and figures know about a metric.

Per-slice functions take a target and a reconstruction, both `(rows, columns)`, and the data range,
the maximum of the target's whole volume: a range of each slice's own would change SSIM and PSNR by
more than the methods differ.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Image = NDArray[np.float32]

#: Rows and columns of the window of SSIM, and the fewest that a slice may have.
SSIM_WINDOW = 7
#: Rows or columns below which the coarsest scale of `vif` has no pixel.
VIF_SMALLEST_SIDE = 41


def psnr(target: Image, image: Image, data_range: float) -> float:
    """Peak signal-to-noise ratio in dB of images of the same shape, slices or whole volumes; a
    scalar.
    """
    # Imported late: tables only need the names of metrics.
    from skimage.metrics import peak_signal_noise_ratio

    with np.errstate(divide="ignore"):  # infinite for identical images
        return float(peak_signal_noise_ratio(target, image, data_range=data_range))


def ssim(target: Image, image: Image, data_range: float) -> float:
    """Structural similarity of slices of shape `(rows, columns)`, a scalar: 7 x 7 uniform window,
    scikit-image's constants.

    The mean over a volume's slices is what scikit-image gives for the volume with ``channel_axis``
    along the slices.
    """
    from skimage.metrics import structural_similarity

    return float(structural_similarity(target, image, win_size=SSIM_WINDOW, data_range=data_range))


def nmse(target: Image, image: Image) -> float:
    """x - x_hat|^2 / |x|^2 of images of the same shape, slices or whole volumes; a scalar."""
    difference = np.asarray(target, np.float64) - image
    return float(np.sum(difference**2) / np.sum(np.asarray(target, np.float64) ** 2))


def hfn(target: Image, image: Image) -> float:
    """High-frequency error norm: sum (lap x - lap x_hat)^2 / sum (lap x)^2.

    Both slices have shape `(rows, columns)`; the result is a scalar. The Laplacian is the 3 x 3
    one, mirrored at the edge, and x_hat is clipped to [0, 1]. Lower is better. NaN for a target
    without any edge.
    """
    from scipy.ndimage import laplace

    reference = laplace(np.asarray(target, np.float64))
    if not reference.any():
        return float("nan")
    difference = reference - laplace(np.clip(np.asarray(image, np.float64), 0, 1))
    return float(np.sum(difference**2) / np.sum(reference**2))


def vif(target: Image, image: Image, data_range: float) -> float:
    """Pixel-domain visual information fidelity (Sheikh & Bovik, IEEE TIP 2006).

    Both slices have shape `(rows, columns)`; the result is a scalar. Four scales with the published
    implementation's Gaussian windows and noise variance 2 on a scale of 0 to 255. Higher is better;
    1 for identical images. NaN if an image is too small for all four scales.
    """
    if min(target.shape) < VIF_SMALLEST_SIDE:
        return float("nan")
    noise = 2.0
    reference = np.asarray(target, np.float64) * (255.0 / data_range)
    distorted = np.asarray(image, np.float64) * (255.0 / data_range)
    kept, total = 0.0, 0.0
    for scale in range(4):
        size = 2 ** (4 - scale) + 1
        if scale > 0:
            reference = _window(reference, size)[::2, ::2]
            distorted = _window(distorted, size)[::2, ::2]
        mean_r, mean_d = _window(reference, size), _window(distorted, size)
        var_r = np.maximum(_window(reference**2, size) - mean_r**2, 0)
        var_d = np.maximum(_window(distorted**2, size) - mean_d**2, 0)
        covariance = _window(reference * distorted, size) - mean_r * mean_d
        gain = covariance / (var_r + 1e-10)
        residual = var_d - gain * covariance
        # Where one image is flat or the gain is negative, no information of the reference is left.
        flat_r, flat_d, negative = var_r < 1e-10, var_d < 1e-10, gain < 0
        residual = np.where(flat_r | negative, var_d, np.where(flat_d, 0.0, residual))
        gain = np.where(flat_r | flat_d | negative, 0.0, gain)
        var_r = np.where(flat_r, 0.0, var_r)
        residual = np.maximum(residual, 1e-10)
        kept += float(np.sum(np.log10(1 + gain**2 * var_r / (residual + noise))))
        total += float(np.sum(np.log10(1 + var_r / noise)))
    return kept / total if total else float("nan")


def _window(image: NDArray[np.float64], size: int) -> NDArray[np.float64]:
    """Filter with a Gaussian window of ``size`` pixels, sigma size / 5, where it lies wholly
    inside.
    """
    from scipy.ndimage import gaussian_filter

    radius = size // 2
    smooth: NDArray[np.float64] = gaussian_filter(image, size / 5, radius=radius)
    return smooth[radius:-radius, radius:-radius]


OfImages = Callable[[Image, Image, float], float]


@dataclass(frozen=True)
class Metric:
    """A metric, and how it is presented.

    Attributes:
        name: its column in all files.
        title: its name in tables and at axes.
        unit: of its values; empty for plain numbers.
        decimals: how many are printed.
        higher_is_better: whether a higher value means a better image.
        of_slice: computes it from a target and a reconstruction `(rows, columns)` and a data range.
        of_volume: the same for `(slices, rows, columns)`; None: the mean over the slices.
        table: heading of the metric's own table, with its tests; empty for a metric of the main
            table, which shows the paper's two.
        possible: smallest and largest value that it can have.
        place: position among the metrics that have their own table, in the order of the report.
    """

    name: str
    title: str
    decimals: int
    higher_is_better: bool
    of_slice: OfImages
    of_volume: OfImages | None = None
    unit: str = ""
    table: str = ""
    place: int = 0
    possible: tuple[float, float] = (-math.inf, math.inf)

    @property
    def heading(self) -> str:
        """Title and unit, such as `PSNR (dB)`."""
        return f"{self.title} ({self.unit})" if self.unit else self.title


def _without_range(metric: Callable[[Image, Image], float]) -> OfImages:
    return lambda target, image, _data_range: metric(target, image)


#: All metrics by name, in the order of the columns of files.
METRICS = {
    metric.name: metric
    for metric in (
        Metric("psnr_db", "PSNR", 2, True, psnr, psnr, unit="dB"),
        Metric("ssim", "SSIM", 4, True, ssim, possible=(-1, 1)),
        Metric(
            "nmse",
            "NMSE",
            4,
            False,
            _without_range(nmse),
            _without_range(nmse),
            table="Normalised mean squared error",
            place=3,
            possible=(0, math.inf),
        ),
        Metric(
            "hfn",
            "HFN",
            4,
            False,
            _without_range(hfn),
            table="High-frequency error norm",
            place=1,
            possible=(0, math.inf),
        ),
        Metric("vif", "VIF", 4, True, vif, table="Visual information fidelity", place=2),
    )
}
#: Names of the metrics of the main table, and of those with a table of their own, in its order.
MAIN = tuple(name for name, metric in METRICS.items() if not metric.table)
MORE = tuple(sorted(set(METRICS) - set(MAIN), key=lambda name: METRICS[name].place))
