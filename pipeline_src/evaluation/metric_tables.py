"""Computes all metrics of reconstructed slices and volumes."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from pipeline_src.evaluation.metrics import METRICS


def measure(
    targets: NDArray[np.float32],
    images: Iterable[NDArray[np.float32]],
    rows: pd.DataFrame,
    data_range: NDArray[np.float32],
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """All metrics: one row per slice, at the data range of its volume, and one row per volume, over
    its pixels or else the mean of its slices.

    Reconstructions are taken one after the other; those of a volume are held until it is complete.

    Args:
        targets: `(slices, rows, columns)`.
        images: the reconstruction `(rows, columns)` of each slice.
        rows: the index rows of the slices.
        data_range: `(slices,)`, in the unit of the images.
    """
    of_slices, of_volumes = [], {}
    incomplete: dict[Any, list[tuple[NDArray[np.float32], NDArray[np.float32]]]] = {}
    sizes = rows["volume"].value_counts()
    for target, image, peak, volume in zip(
        targets, images, data_range.tolist(), rows["volume"].to_numpy(), strict=True
    ):
        of_slices.append({name: METRICS[name].of_slice(target, image, peak) for name in METRICS})
        pairs = incomplete.setdefault(volume, [])
        pairs.append((target, image))
        if len(pairs) == sizes[volume]:
            whole = np.stack(incomplete.pop(volume), axis=1)
            of_volumes[volume] = {
                name: metric.of_volume(whole[0], whole[1], peak)
                for name, metric in METRICS.items()
                if metric.of_volume
            }
    slices = pd.concat(
        [
            rows[["patient", "frame", "slice", "volume"]],
            pd.DataFrame(of_slices, columns=list(METRICS)),
        ],
        axis=1,
    )
    volumes = []
    for volume, members in slices.groupby("volume", sort=True):
        whose = {name: members[name].iloc[0] for name in ("patient", "frame")}
        means = {name: members[name].mean() for name in METRICS}
        volumes.append({**whose, "slices": len(members), **means, **of_volumes[volume]})
    return slices, pd.DataFrame(volumes)
