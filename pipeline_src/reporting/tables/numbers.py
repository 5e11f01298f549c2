"""Writes every number of a study in long form."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from pipeline_src.errors import InputError
from pipeline_src.evaluation.metrics import METRICS
from pipeline_src.evaluation.metrics_files import KEYS, SOURCE
from pipeline_src.tabular import write_long

#: Columns that, together with `metric`, identify a number.
IDENTITY = [*KEYS, "variant", "seed", "part", "patient", "frame"]


def write_numbers(volumes: pd.DataFrame, output: Path) -> None:
    """Write every number of ``volumes``, as `read_metrics` returns them, in long form: the columns
    of `IDENTITY` and `SOURCE`, then `metric`, `value`. Every id and value can be read back exactly.

    One row per volume and metric, sorted by the columns in their order, `4x` before `10x`, metrics
    as in `METRICS`. `seed` is an integer, empty for zero filling; `variant`, `frame` and `data` are
    empty if there is none, `sampled` if it is not known. PSNR is in dB, the others have no unit.
    Values are not rounded; an empty one is a metric that a volume does not have.

    Raises:
        InputError: a number appears twice.
    """
    if (twice := volumes.duplicated(IDENTITY)).any():
        row = volumes.loc[twice, IDENTITY].astype({"seed": "Int64"}).iloc[0]
        where = ", ".join(str(value) for value in row if not pd.isna(value) and value != "")
        raise InputError(f"metrics: a volume is there twice ({where}); give each volumes.csv once")
    ordered = volumes.sort_values(IDENTITY, key=_sortable, na_position="first")
    rows = ordered[[*IDENTITY, *SOURCE, *METRICS]].astype({"seed": "Int64"})
    write_long(output, rows, list(METRICS), "metric")


def _sortable(column: pd.Series) -> pd.Series:
    return column.str.zfill(9) if column.name == "acceleration" else column
