"""Files of measured metrics: what is in them and how they are read back."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from pipeline_src.errors import InputError
from pipeline_src.evaluation.metrics import METRICS
from pipeline_src.tabular import read_rows

KEYS = ["dataset", "acceleration", "model", "training"]
#: Columns that say what was measured on, which files from before do not have: the first
#: `DATA_DIGITS` digits of the digests of store and mask, and the fraction of k-space that the mask
#: samples.
SOURCE = ("data", "mask", "sampled")
DATA_DIGITS = 12
#: Columns of a study whose seeds have a split or mask each: which of both (`split`, `mask`, or
#: `split mask`), and how many patients trained, where it is the split.
REPEATS = ("repeated", "trained_on")
NUMBERS = ("seed", "sampled", "trained_on", *METRICS)
#: What no seed reaches, and no metric goes beyond.
MOST_SEED, LARGEST = 1 << 63, 1e30


def read_metrics(paths: Sequence[Path]) -> pd.DataFrame:
    """Metric files of the evaluation, one under the other.

    All columns but `NUMBERS` are text, empty where a file does not have them; `sampled` is NaN
    where it is not known. `trained_on` is NaN where one split serves all seeds.

    Raises:
        InputError: there is none; one is unreadable, empty, lacks a column, or has a seed or a
            metric that cannot be; or those of one data set were measured on different data, or
            those of one setting with different masks; of one seed, where each has its own.
    """
    if not paths:
        raise InputError("no metrics file given")
    tables = []
    for path in paths:
        table = read_rows(path, "metrics", NUMBERS)
        missing = sorted({*KEYS, "seed", "part", "patient", *METRICS} - set(table.columns))
        if missing:
            raise InputError(f"{path}: is no metrics file; columns missing: {', '.join(missing)}")
        if table.empty:
            raise InputError(f"{path}: has no metrics, only headings")
        _check_numbers(path, table)
        # An empty cell, or a file without the column, is the study as configured, the one volume
        # of a patient, or data that is not told.
        for column in ("variant", "frame", "data", "mask", "repeated"):
            if column not in table:
                table[column] = ""
        for column in ("sampled", "trained_on"):
            if column not in table:
                table[column] = float("nan")
        tables.append(table)
    _check_one_source(paths, tables)
    return pd.concat(tables, ignore_index=True)


def _check_numbers(path: Path, table: pd.DataFrame) -> None:
    """A number that a damaged file holds would pass for a mean, or end its computation."""
    seeds = table["seed"].dropna()
    if len(odd := seeds[~((seeds % 1 == 0) & (seeds.abs() < MOST_SEED))]):
        raise InputError(f"{path}: seed {odd.iloc[0]:g} is no number of a seed; seeds are whole")
    for metric in METRICS:
        values = table[metric]
        # A slice that is reconstructed without an error has an infinite PSNR.
        if len(odd := values[(values.abs() > LARGEST) & (values.abs() != math.inf)]):
            raise InputError(f"{path}: {metric} {odd.iloc[0]:g} is beyond what can be measured")


def _check_one_source(paths: Sequence[Path], tables: Sequence[pd.DataFrame]) -> None:
    """What is compared was measured on the same data and with the same mask, where that is told."""
    first: dict[tuple[str, ...], tuple[Path, object]] = {}
    for path, table in zip(paths, tables, strict=True):
        told = table[["dataset", "acceleration", "seed", "repeated", *SOURCE]].drop_duplicates()
        for dataset, acceleration, seed, repeated, data, mask, sampled in told.itertuples(
            index=False
        ):
            _agree(first, (dataset, "repeats"), path, repeated or "seed", "by other repeats than")
            of_seed = f" seed {seed:.0f}"
            store = f"{dataset}{of_seed * ('split' in repeated)}"
            setting = f"{dataset} {acceleration}{of_seed * ('mask' in repeated)}"
            if data:
                _agree(first, (store,), path, data, "on other data than")
            if mask:
                _agree(first, (setting, "mask"), path, mask, "with another mask than")
            if pd.notna(sampled):
                _agree(first, (setting,), path, round(sampled, 9), "with another mask than")


def _agree(
    first: dict[tuple[str, ...], tuple[Path, object]],
    what: tuple[str, ...],
    path: Path,
    found: object,
    differs: str,
) -> None:
    other, known = first.setdefault(what, (path, found))
    if found != known:
        raise InputError(
            f"{path}: {what[0]} was measured {differs} in {other} ({found}, not "
            f"{known}); evaluate both again with one store and mask, or give one data set another "
            "name"
        )
