"""The format of files of measured metrics, and reading them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from pipeline_src.config.study import MOST_SEED
from pipeline_src.errors import InputError
from pipeline_src.evaluation.metrics import MAIN, METRICS, MORE
from pipeline_src.tabular import read_many

KEYS = ["dataset", "acceleration", "model", "training"]
#: Columns that say which data were measured, absent from files of older versions: the first
#: `DATA_DIGITS` digits of the digests of store and mask, and the fraction of k-space that the mask
#: samples.
SOURCE = ("data", "mask", "sampled")
DATA_DIGITS = 12
#: Columns of a study in which each seed has its own split or mask: which of the two (`split`,
#: `mask`, or `split mask`), and with its own split how many patients trained.
REPEATS = ("repeated", "trained_on")
NUMBERS = ("seed", "sampled", "trained_on", *METRICS)
#: Absolute values of metrics are at most this.
LARGEST = 1e30
#: By which a value may lie beyond the possible ones.
ROUNDING = 1e-6


def read_metrics(paths: Sequence[Path], *, slices: bool = False) -> pd.DataFrame:
    """Read metrics files of the evaluation, one after the other, into one table: of volumes, or
    with ``slices`` of slices.

    All columns but `NUMBERS` are text, empty if a file does not have them; `sampled` is NaN if it
    is not known. `trained_on` is NaN if one split serves all seeds. So is a metric that a file does
    not have, as it was written before there was one; those of the main table it must have.

    Raises:
        InputError: no file is given; one is unreadable, empty, of slices, lacks a column, or has an
            impossible seed or metric; or one data set was measured on different data, or one
            setting with different masks (for one seed, if each seed has its own).
    """
    if not paths:
        raise InputError("no metrics file given")
    tables, files = [], []
    needed = {*KEYS, "seed", "part", "patient", *MAIN}
    for table, numbers in read_many(paths, "metrics", NUMBERS, needed=needed):
        if "slice" in table and not slices:
            path = paths[numbers[0]]
            raise InputError(f"{path}: holds slices, not volumes; give the volumes.csv beside it")
        # An empty cell or a missing column means the study as configured, the only volume of a
        # patient, or unknown data.
        for column in ("variant", "frame", "data", "mask", "repeated"):
            if column not in table:
                table[column] = ""
        for column in ("sampled", "trained_on", *MORE):
            if column not in table:
                table[column] = float("nan")
        tables.append(table)
        files.append(numbers)
    together, file = pd.concat(tables, ignore_index=True), np.concatenate(files)
    _check_numbers(together, file, paths)
    _check_one_source(together, file, paths)
    # Few values in many rows: comparing and grouping them takes a fraction of the time.
    texts = [column for column in together if column not in NUMBERS]
    return together.astype(dict.fromkeys(texts, "category"))


def _check_numbers(table: pd.DataFrame, file: NDArray[np.int64], paths: Sequence[Path]) -> None:
    """Refuse impossible numbers, as in a damaged file: they would distort a mean or crash the
    computation. ``file`` is that of ``paths`` from which a row is.
    """
    seeds = table["seed"].dropna()
    if len(odd := seeds[~((seeds % 1 == 0) & (seeds.abs() < MOST_SEED))]):
        path = paths[file[odd.index[0]]]
        raise InputError(f"{path}: seed {odd.iloc[0]:g} is not a seed; seeds are whole numbers")
    for metric, described in METRICS.items():
        values, (low, high) = table[metric], described.possible
        # A slice that is reconstructed without error has an infinite PSNR.
        beyond = (values.abs() > LARGEST) & (values != math.inf)
        if len(odd := values[beyond | (values < low - ROUNDING) | (values > high + ROUNDING)]):
            path = paths[file[odd.index[0]]]
            raise InputError(f"{path}: {metric} {odd.iloc[0]:g} is beyond what can be measured")


def _check_one_source(table: pd.DataFrame, file: NDArray[np.int64], paths: Sequence[Path]) -> None:
    """Check that one data set was measured on the same data, and one setting with the same mask, as
    far as the files record it. ``file`` is that of ``paths`` from which a row is.
    """
    first: dict[tuple[str, ...], tuple[Path, object]] = {}
    told = table[["dataset", "acceleration", "seed", "repeated", *SOURCE]].drop_duplicates()
    rows = zip(file[told.index], told.itertuples(index=False), strict=True)
    for of, (dataset, acceleration, seed, repeated, data, mask, sampled) in rows:
        path = paths[of]
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
