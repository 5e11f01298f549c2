"""Matches the metrics of two models, seed by seed and patient by patient."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from pipeline_src.errors import InputError

Volume = tuple[int, str, str]
#: How many patients trained a seed, if each seed has its own split; also a column of metrics.
TRAINED_ON = "trained_on"


class NotMeasuredError(InputError):
    """Two models cannot be compared: one lacks a seed, a volume or a finite value of the metric."""


class Measured:
    """One model's metrics, ordered by seed, patient and frame.

    ``rows`` are volumes as the evaluation writes them.

    Attributes:
        name: the model, its training and its variant.
        seeds: those that there are, in order.
        scans: patient and frame of all volumes, each once, in order.

    Raises:
        NotMeasuredError: there is no seed.
        InputError: the rows belong to several models, or a volume was measured twice.
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
            column: set(map(str, rows[column].unique()))
            for column in ("dataset", "acceleration", "part")
        }
        require_one_setting(self.settings)
        frames = rows["frame"].astype(object).fillna("").astype(str)
        given = list(zip(rows["patient"].astype(str).tolist(), frames.tolist(), strict=True))
        self.scans = sorted(set(given))
        column = {scan: k for k, scan in enumerate(self.scans)}
        seeds, self._row = np.unique(rows["seed"].astype(int), return_inverse=True)
        self._column = np.array([column[scan] for scan in given])
        order = np.lexsort((self._column, self._row))
        self._rows, self._row, self._column = (
            rows.iloc[order],
            self._row[order],
            self._column[order],
        )
        self.seeds: list[int] = seeds.tolist()
        self._values: dict[str, NDArray[np.float64]] = {}
        again = (np.diff(self._row) == 0) & (np.diff(self._column) == 0)
        if again.any():
            twice = self._volumes(1 + np.flatnonzero(again))
            raise InputError(f"{self.name}: measured more than once: {_listed(twice)}")

    @cached_property
    def trained_on(self) -> NDArray[np.float64] | None:
        """How many patients trained each seed, `(seeds,)`, if each has its own split, else None.

        Raises:
            NotMeasuredError: the number is missing for a seed.
        """
        if "repeated" not in self._rows or not self._rows["repeated"].str.contains("split").any():
            return None
        by_seed = self._rows.groupby(self._rows["seed"].astype(int))[TRAINED_ON].agg(
            lambda told: told.iloc[0] if told.nunique(dropna=False) == 1 else np.nan
        )
        counts: NDArray[np.float64] = np.asarray(by_seed, np.float64)
        if not (counts > 0).all():
            raise NotMeasuredError(
                f"{self.name}: each seed has a split of its own, but the number of patients that "
                "trained it (trained_on) is not recorded"
            )
        return counts

    @cached_property
    def patients(self) -> tuple[NDArray[np.object_], NDArray[np.int64]]:
        """The patients in order, `(patients,)`, and where the scans of each begin."""
        found, starts = np.unique([patient for patient, _ in self.scans], return_index=True)
        return found.astype(object), starts

    def values(self, metric: str) -> NDArray[np.float64]:
        """A metric in its unit, `(seeds, scans)`; NaN for a scan that a seed does not report.

        Raises:
            NotMeasuredError: a value is not a finite number.
            InputError: there is no such metric.
        """
        if metric in self._values:
            return self._values[metric]
        if metric not in self._rows:
            raise InputError(f"no metric {metric!r} in the metrics")
        values = self._rows[metric].to_numpy(np.float64)
        infinite = self._volumes(np.flatnonzero(~np.isfinite(values)))
        if infinite:
            raise NotMeasuredError(
                f"{self.name}: {metric} is not a finite number: {_listed(infinite)}"
            )
        matrix = np.full((len(self.seeds), len(self.scans)), np.nan)
        matrix[self._row, self._column] = values
        # A model is compared with many others.
        self._values[metric] = matrix
        return matrix

    def lacking(self, other: Measured) -> list[Volume]:
        """What another model is measured on and this one is not."""
        if (
            (self.seeds, self.scans) == (other.seeds, other.scans)
            and np.array_equal(self._row, other._row)
            and np.array_equal(self._column, other._column)
        ):
            return []
        known = set(self._volumes())
        return [volume for volume in other._volumes() if volume not in known]

    def _volumes(self, which: NDArray[np.int64] | slice = slice(None)) -> list[Volume]:
        """Seed, patient and frame of some rows."""
        cells = zip(self._row[which].tolist(), self._column[which].tolist(), strict=True)
        return [(self.seeds[row], *self.scans[column]) for row, column in cells]


def paired_differences(first: Measured, second: Measured, metric: str) -> pd.DataFrame:
    """First minus second: a row per seed, a column per patient, the mean over the patient's
    volumes.

    If each seed has its own split, the value is NaN for the patients that a seed does not report,
    and rows are indexed by seed and `TRAINED_ON`.

    Raises:
        NotMeasuredError: the two are not measured on the same volumes with the same seeds, or the
            metric is not a finite number everywhere.
        InputError: the two do not belong to one setting.
    """
    require_one_setting({c: first.settings[c] | second.settings[c] for c in first.settings})
    differences = {m: m.values(metric) for m in (first, second)}
    for one, other in ((first, second), (second, first)):
        if missing := one.lacking(other):
            gap = f"{one.name}: not measured, but {other.name} is: {_listed(missing)}"
            raise NotMeasuredError(gap)
    trained_on, seeds, scans = first.trained_on, first.seeds, first.scans
    matrix = differences[first] - differences[second]
    patients, starts = first.patients
    there = ~np.isnan(matrix)
    counts = np.add.reduceat(there.astype(int), starts, axis=1)
    # Each seed must report what the others report; with its own split, for its own patients.
    of_patient = np.diff([*starts, len(scans)])
    wanted = np.ones_like(counts) if trained_on is None else counts > 0
    if (counts != wanted * of_patient).any():
        whole = np.repeat(wanted, of_patient, axis=1).astype(bool)
        missing = [(seeds[k], *scans[n]) for k, n in np.argwhere(whole & ~there)]
        gap = f"{first.name}: not measured, but with another seed: {_listed(missing)}"
        raise NotMeasuredError(gap)
    sums = np.add.reduceat(np.where(there, matrix, 0), starts, axis=1)
    means = np.divide(sums, counts, out=np.full(sums.shape, np.nan), where=counts > 0)
    index = pd.Index(seeds, name="seed")
    if trained_on is not None:
        index = pd.MultiIndex.from_arrays([index, trained_on], names=["seed", TRAINED_ON])
    return pd.DataFrame(means, index=index, columns=pd.Index(patients, name="patient"))


def require_one_setting(settings: Mapping[str, set[str]]) -> None:
    """Check that only one data set, acceleration and part is compared.

    Raises:
        InputError: there are several; the message names them.
    """
    for column, values in settings.items():
        if len(values) > 1:
            several = " and ".join(sorted(values))
            raise InputError(f"models of one {column} are compared, not of {several}")


def _listed(volumes: Sequence[Volume]) -> str:
    seed, patient, frame = volumes[0]
    more = f" and {len(volumes) - 1} more" if len(volumes) > 1 else ""
    return f"seed {seed}, patient {patient}{', frame ' if frame else ''}{frame}{more}"
