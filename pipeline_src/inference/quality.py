"""Measures reconstructions and zero-filled images against the input, slice by slice, and sums up
what one command has reconstructed.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from statistics import mean
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline_src.evaluation import metrics
from pipeline_src.files import read_json, write_json
from pipeline_src.inference.result_files import ResultPaths
from pipeline_src.inference.scales import is_questionable
from pipeline_src.inference.volume_plan import Plan
from pipeline_src.planning.places import RECONSTRUCTIONS

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


@dataclass(frozen=True)
class Overview:
    """The results of one command.

    Attributes:
        results: of each its image, what was done, its scale, whose slices it has, and its quality
            and that of the zero-filled image, None where there is no reference.
    """

    results: list[dict[str, Any]]

    @classmethod
    def of(cls, made: Iterable[tuple[Plan, ResultPaths]]) -> Overview:
        """From the plan of each result and its files."""
        found = []
        for plan, paths in made:
            told = read_json(paths.facts)
            quality = told.get("quality", {})
            found.append(
                {
                    "image": str(paths.image),
                    "mode": plan.mode,
                    "remark": plan.chosen.remark,
                    "whose": plan.whose,
                    "scale": told["scale"],
                    "quality": quality.get("reconstruction"),
                    "zero_filled": quality.get("zero_filled"),
                    "seconds_per_slice": told["seconds_per_slice"],
                }
            )
        return cls(found)

    def write(self, folder: Path) -> None:
        """Write the file of the summary into the output folder."""
        results = [
            one | {"image": Path(one["image"]).relative_to(folder).as_posix()}
            for one in self.results
        ]
        write_json(folder / RECONSTRUCTIONS, results)

    def quality(self) -> str:
        """The mean over what has a reference, in a few words; empty if nothing has."""
        halves = ("quality", "zero_filled")
        measured = [one for one in self.results if one["quality"]]
        # A volume without any error has no PSNR.
        kept = [one for one in measured if None not in (one[h]["psnr_db"] for h in halves)]
        exact = f"{len(measured) - len(kept)} without any error" * (len(kept) < len(measured))
        if not kept:
            return exact
        (psnr, ssim), (before, ssim_before) = (
            (mean(one[h]["psnr_db"] for one in kept), mean(one[h]["ssim"] for one in kept))
            for h in halves
        )
        whose = "".join(f", with {w}" for w in dict.fromkeys(one["whose"] for one in kept) if w)
        return (
            f"mean over {len(kept)}{whose}: {psnr:.2f} dB, SSIM {ssim:.4f} "
            f"(zero-filled {before:.2f} dB, {ssim_before:.4f}){exact and f', {exact}'}"
        )

    def worse(self) -> list[str]:
        """Images that are farther from the input than the zero-filled image is."""
        return [
            one["image"]
            for one in self.results
            if one["quality"] and one["quality"]["nmse"] > one["zero_filled"]["nmse"]
        ]

    def badly_scaled(self) -> list[str]:
        """Images whose maximum is far from the scale that was given, with both."""
        scales = ((one["image"], one["scale"]) for one in self.results)
        return [
            f"{image}: maximum {scale['maximum']:.4g}, scale {scale['divided_by']:.4g}"
            for image, scale in scales
            if scale["is"] == "given" and is_questionable(scale["maximum"], scale["divided_by"])
        ]
