"""Files of measured metrics: what is in them and how they are read back."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from pipeline_src.errors import InputError

KEYS = ["dataset", "acceleration", "model", "training"]
METRICS = ("psnr_db", "ssim", "nmse", "hfn", "vif")


def read_metrics(paths: Sequence[Path]) -> pd.DataFrame:
    """Metric files of the evaluation, one under the other.

    Raises:
        InputError: there is none, or one is unreadable, empty or lacks a column.
    """
    if not paths:
        raise InputError("no metrics file given")
    tables = []
    for path in paths:
        try:
            table = pd.read_csv(path, dtype={"patient": str, "frame": str, "variant": str})
        except (OSError, ValueError) as error:
            raise InputError(f"{path}: metrics cannot be read ({error})") from None
        missing = sorted({*KEYS, "seed", "part", "patient", *METRICS} - set(table.columns))
        if missing:
            raise InputError(f"{path}: is no metrics file; columns missing: {', '.join(missing)}")
        if table.empty:
            raise InputError(f"{path}: has no metrics, only headings")
        for column in ("seed", *METRICS):
            if not pd.api.types.is_numeric_dtype(table[column]):
                raise InputError(f"{path}: {column} has a value that is no number")
        tables.append(table)
    metrics = pd.concat(tables, ignore_index=True)
    # An empty cell, or a file without the column, is the study as configured, or the one volume
    # of a patient.
    for column in ("variant", "frame"):
        metrics[column] = metrics[column].fillna("") if column in metrics else ""
    return metrics
