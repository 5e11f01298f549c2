"""Measures reconstructions and zero-filled images against the input, slice by slice."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline_src.evaluation import metrics

Image = NDArray[np.float32]


class _Sums:
    """Sums from which PSNR, NMSE and SSIM of a volume are computed."""

    def __init__(self) -> None:
        self.error, self.power, self.pixels = 0.0, 0.0, 0
        self.ssim: list[float] = []

    def add(self, target: Image, image: Image, peak: float) -> None:
        difference = target.astype(np.float64) - image
        self.error += float((difference**2).sum())
        self.power += float((target.astype(np.float64) ** 2).sum())
        self.pixels += target.size
        self.ssim.append(metrics.ssim(target, image, peak))

    def summary(self, peak: float) -> dict[str, float | None]:
        mean = self.error / self.pixels
        return {
            # JSON has no infinity, the PSNR of a volume without any error.
            "psnr_db": 10 * math.log10(peak**2 / mean) if mean else None,
            "ssim": float(np.mean(self.ssim)),
            "nmse": self.error / self.power,
        }


class Quality:
    """Measures a volume as the evaluation does: at its data range, over slices that are not empty.

    Args:
        peak: maximum of the prepared volume.
    """

    def __init__(self, peak: float) -> None:
        self.peak = peak
        self._sums = {"reconstruction": _Sums(), "zero_filled": _Sums()}
        self._slices: list[dict[str, Any]] = []

    def add(self, index: int, target: Image, image: Image, zero_filled: Image) -> None:
        """Add a slice: three images of the same shape `(rows, columns)`, at the scale of the
        network.

        All three shapes are equal.
        """
        if not target.any():
            return
        self._sums["reconstruction"].add(target, image, self.peak)
        self._sums["zero_filled"].add(target, zero_filled, self.peak)
        psnr = metrics.psnr(target, image, self.peak)
        self._slices.append(
            {
                "slice": index,
                "psnr_db": psnr if math.isfinite(psnr) else None,
                "ssim": self._sums["reconstruction"].ssim[-1],
            }
        )

    def summary(self) -> dict[str, Any]:
        """The metrics of the volume, of its zero-filled images, and of each slice."""
        volume = {name: sums.summary(self.peak) for name, sums in self._sums.items()}
        return {"against": "the input", **volume, "slices": self._slices}
