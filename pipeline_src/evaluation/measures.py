"""All metrics of reconstructed slices and volumes."""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from pipeline_src.evaluation import metrics
from pipeline_src.evaluation.results import METRICS


def slice_metrics(
    targets: NDArray[np.float32],
    images: NDArray[np.float32],
    data_range: NDArray[np.float32],
) -> pd.DataFrame:
    """All metrics, one row per slice, at each slice's volume's data range."""
    rows = []
    for target, image, peak in zip(targets, images, data_range.tolist(), strict=True):
        rows.append(
            {
                "psnr_db": metrics.psnr(target, image, peak),
                "ssim": metrics.ssim(target, image, peak),
                "nmse": metrics.nmse(target, image),
                "hfn": metrics.hfn(target, image),
                "vif": metrics.vif(target, image, peak),
            }
        )
    return pd.DataFrame(rows, columns=list(METRICS))


def volume_metrics(
    targets: NDArray[np.float32],
    images: NDArray[np.float32],
    slices: pd.DataFrame,
    data_range: NDArray[np.float32],
) -> pd.DataFrame:
    """All metrics, one row per volume: PSNR and NMSE over its pixels, the others the mean of its
    slices."""
    rows = []
    for _, members in slices.groupby("volume", sort=True):
        at = members.index.to_numpy()
        target, image = targets[at], images[at]
        rows.append(
            {
                "patient": members["patient"].iloc[0],
                "frame": members["frame"].iloc[0],
                "slices": len(at),
                "psnr_db": metrics.psnr(target, image, float(data_range[at[0]])),
                "ssim": members["ssim"].mean(),
                "nmse": metrics.nmse(target, image),
                "hfn": members["hfn"].mean(),
                "vif": members["vif"].mean(),
            }
        )
    return pd.DataFrame(rows)
