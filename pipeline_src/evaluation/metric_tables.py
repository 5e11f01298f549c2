"""Computes all metrics of reconstructed slices and volumes."""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from pipeline_src.evaluation.metrics import METRICS


def measure(
    targets: NDArray[np.float32],
    images: NDArray[np.float32],
    rows: pd.DataFrame,
    data_range: NDArray[np.float32],
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """All metrics, per slice and per volume.

    Args:
        targets: `(slices, rows, columns)`.
        images: the reconstructions, of the same shape.
        rows: the index rows of the slices.
        data_range: `(slices,)`, in the unit of the images.
    """
    slices = slice_metrics(targets, images, data_range)
    slices = pd.concat([rows[["patient", "frame", "slice", "volume"]], slices], axis=1)
    return slices, volume_metrics(targets, images, slices, data_range)


def slice_metrics(
    targets: NDArray[np.float32],
    images: NDArray[np.float32],
    data_range: NDArray[np.float32],
) -> pd.DataFrame:
    """All metrics, one row per slice, at the data range of each slice's volume.

    Args:
        targets: `(slices, rows, columns)`.
        images: the reconstructions, of the same shape.
        data_range: `(slices,)`, in the unit of the images.
    """
    rows = []
    for target, image, peak in zip(targets, images, data_range.tolist(), strict=True):
        rows.append(
            {name: metric.of_slice(target, image, peak) for name, metric in METRICS.items()}
        )
    return pd.DataFrame(rows, columns=list(METRICS))


def volume_metrics(
    targets: NDArray[np.float32],
    images: NDArray[np.float32],
    slices: pd.DataFrame,
    data_range: NDArray[np.float32],
) -> pd.DataFrame:
    """All metrics, one row per volume: over its pixels, or else the mean of its slices.

    Args:
        targets: `(slices, rows, columns)`.
        images: the reconstructions, of the same shape.
        slices: the index rows and metrics of the slices.
        data_range: `(slices,)`, in the unit of the images.
    """
    rows = []
    for _, members in slices.groupby("volume", sort=True):
        at = members.index.to_numpy()
        target, image = targets[at], images[at]
        rows.append(
            {
                "patient": members["patient"].iloc[0],
                "frame": members["frame"].iloc[0],
                "slices": len(at),
                **{
                    name: metric.of_volume(target, image, float(data_range[at[0]]))
                    if metric.of_volume
                    else members[name].mean()
                    for name, metric in METRICS.items()
                },
            }
        )
    return pd.DataFrame(rows)
