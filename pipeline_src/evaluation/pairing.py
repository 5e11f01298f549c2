"""The metrics of two models side by side, seed by seed and patient by patient."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from pipeline_src.errors import InputError

Volume = tuple[int, str, str]


class NotMeasuredError(InputError):
    """Two models cannot be compared: one lacks a seed, a volume or a finite value of the metric."""


class Measured:
    """One model's metrics, in the order of seed, patient and frame.

    ``rows`` are volumes as the evaluation writes them.

    Attributes:
        name: the model, its training and its variant.
        volumes: seed, patient and frame of each row.

    Raises:
        NotMeasuredError: there is no seed.
        InputError: the rows are of several models, or one was measured twice.
    """

    def __init__(self, rows: pd.DataFrame) -> None:
        models = rows[["model", "training", "variant"]].astype(object).fillna("").drop_duplicates()
        names = [" ".join(filter(None, map(str, words))) for words in models.to_numpy()]
        if len(names) != 1:
            raise InputError(
                f"rows of one model are compared, not of {' and '.join(names) or 'none'}"
            )
        self.name = names[0]
        if rows["seed"].isna().any():
            raise NotMeasuredError(f"{self.name}: has no seed; only trained models are compared")
        self.settings = {
            column: set(rows[column].astype(str)) for column in ("dataset", "acceleration", "part")
        }
        frames = rows["frame"].astype(object).fillna("").astype(str)
        seeds, patients = rows["seed"].astype(int), rows["patient"].astype(str)
        given: list[Volume] = list(zip(seeds, patients, frames, strict=True))
        order = sorted(range(len(given)), key=given.__getitem__)
        self.volumes = [given[k] for k in order]
        twice = [b for a, b in zip(self.volumes, self.volumes[1:], strict=False) if a == b]
        if twice:
            raise InputError(f"{self.name}: measured more than once: {_listed(twice)}")
        self._rows = rows.iloc[order]

    def values(self, metric: str) -> NDArray[np.float64]:
        """A metric of each of `volumes`.

        Raises:
            NotMeasuredError: a value is no finite number.
            InputError: there is no such metric.
        """
        if metric not in self._rows:
            raise InputError(f"no metric {metric!r} in the metrics")
        values = self._rows[metric].to_numpy(np.float64)
        infinite = [self.volumes[k] for k in np.flatnonzero(~np.isfinite(values))]
        if infinite:
            raise NotMeasuredError(
                f"{self.name}: {metric} is no finite number: {_listed(infinite)}"
            )
        return values


def paired_differences(first: Measured, second: Measured, metric: str) -> pd.DataFrame:
    """First less second: a row per seed, a column per patient, the mean over the patient's volumes.

    Raises:
        NotMeasuredError: the two are not measured on the same volumes with the same seeds, or the
            metric is not a finite number everywhere.
        InputError: the two are not of one setting.
    """
    for column in first.settings:
        values = sorted(first.settings[column] | second.settings[column])
        if len(values) > 1:
            raise InputError(f"models of one {column} are compared, not of {' and '.join(values)}")
    differences = {m: m.values(metric) for m in (first, second)}
    for one, other in ((first, second), (second, first)):
        known = set(one.volumes)
        missing = [volume for volume in other.volumes if volume not in known]
        if missing:
            gap = f"{one.name}: not measured, but {other.name} is: {_listed(missing)}"
            raise NotMeasuredError(gap)
    seeds = sorted({seed for seed, *_ in first.volumes})
    scans = sorted({(patient, frame) for _, patient, frame in first.volumes})
    if len(first.volumes) != len(seeds) * len(scans):
        known = set(first.volumes)
        missing = [(s, *scan) for s in seeds for scan in scans if (s, *scan) not in known]
        gap = f"{first.name}: not measured, but with another seed: {_listed(missing)}"
        raise NotMeasuredError(gap)
    matrix = (differences[first] - differences[second]).reshape(len(seeds), len(scans))
    patients, starts, counts = np.unique(
        [patient for patient, _ in scans], return_index=True, return_counts=True
    )
    means = np.add.reduceat(matrix, starts, axis=1) / counts
    return pd.DataFrame(
        means,
        index=pd.Index(seeds, name="seed"),
        columns=pd.Index(patients.astype(object), name="patient"),
    )


def _listed(volumes: Sequence[Volume]) -> str:
    seed, patient, frame = volumes[0]
    more = f" and {len(volumes) - 1} more" if len(volumes) > 1 else ""
    return f"seed {seed}, patient {patient}{', frame ' if frame else ''}{frame}{more}"
