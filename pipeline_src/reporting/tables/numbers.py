"""Writes every number of a study in long form."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from pipeline_src.errors import InputError
from pipeline_src.evaluation.metrics import METRICS
from pipeline_src.evaluation.metrics_files import KEYS, SOURCE
from pipeline_src.tabular import write_rows

#: Columns that, together with `metric`, identify a number.
IDENTITY = [*KEYS, "variant", "seed", "part", "patient", "frame"]


def tidy_numbers(volumes: pd.DataFrame) -> pd.DataFrame:
    """Every number in long form: the columns of `IDENTITY` and `SOURCE`, then `metric`, `value`.

    One row per volume and metric, sorted by the columns in their order, `4x` before `10x`, metrics
    as in `METRICS`. `seed` is an integer, empty for zero filling; `variant`, `frame` and `data` are
    empty text if there is none, `sampled` is NaN if it is not known. PSNR is in dB, the others have
    no unit. Values are not rounded; NaN is a metric that a volume does not have.

    Raises:
        InputError: a number appears twice, or a seed or value is not a number.
    """
    table = volumes.reset_index(drop=True)
    for column in ("variant", "frame", "data", "mask"):
        table[column] = table[column].fillna("") if column in table else ""
    if "sampled" not in table:
        table["sampled"] = float("nan")
    try:
        table["seed"] = pd.to_numeric(table["seed"]).astype("Int64")
        long = table.melt([*IDENTITY, *SOURCE], list(METRICS), "metric", "value")
        long["value"] = long["value"].astype("float64")
    except (TypeError, ValueError) as error:
        raise InputError(f"metrics: a seed or a value is not a number ({error})") from None
    twice = long[long.duplicated([*IDENTITY, "metric"])]
    if len(twice):
        where = ", ".join(str(v) for v in twice.iloc[0][IDENTITY] if not pd.isna(v) and v != "")
        raise InputError(f"metrics: a volume is there twice ({where}); give each volumes.csv once")
    return long.sort_values(
        [*IDENTITY, "metric"], key=_sortable, na_position="first", ignore_index=True
    )


def _sortable(column: pd.Series) -> pd.Series:
    if column.name == "acceleration":
        return column.astype(str).str.zfill(9)
    return column.map(list(METRICS).index) if column.name == "metric" else column


def write_tidy(volumes: pd.DataFrame, output: Path) -> None:
    """Write `tidy_numbers` as CSV for programs; every id and value can be read back exactly.

    Raises:
        InputError: a number appears twice, or a seed or value is not a number.
    """
    write_rows(output, tidy_numbers(volumes))
