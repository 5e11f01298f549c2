"""Builds the table of bounds of errors: for how many patients they hold, and how wide they are."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import pandas as pd

from pipeline_src.errors import InputError
from pipeline_src.inference.error_bound import ErrorBound, read_error_bound
from pipeline_src.planning.model_names import split_model_name
from pipeline_src.reporting.display_names import MISSING, full_title
from pipeline_src.reporting.tables.labels import Labels

NOTES = [
    "Pixels and patients: shares promised, and found among the test patients. A patient counts "
    "where at least the promised share of the pixels lies within the bound. Of several seeds: the "
    "mean, and in brackets the least and the largest.",
    "Only pixels of the foreground count: those where the smoothed reconstruction is above 5 % of "
    "the volume's maximum. Width: the mean bound over the mean absolute error.",
    "The promise is for patients drawn as those of the calibration were. These are the validation "
    "patients, on whom the weights were chosen too, so it may be a little too good.",
]


def error_bounds_table(
    paths: Sequence[Path], labels: Labels
) -> tuple[pd.DataFrame, pd.DataFrame, list[str]]:
    """Tidy table, layout and notes of files of the `calibrate` command.

    Raises:
        InputError: a file cannot be read, or is of a setting that the study does not have.
    """
    tidy = pd.DataFrame([_row(read_error_bound(path), path, labels) for path in paths])
    rows = {}
    keys = ["dataset", "acceleration", "model"]
    for key, found in tidy.groupby(keys, sort=False):
        dataset, acceleration, name = map(str, key)
        first = found.iloc[0]
        title = full_title(*split_model_name(name))
        rows[f"{labels.title(dataset, acceleration)}, {title}"] = {
            "Pixels promised": _percent(first["pixels"]),
            "Pixels found": _spread(found["pixels_found"], _percent),
            "Patients promised": _percent(first["patients"]),
            "Patients found": _spread(found["patients_found"], _percent),
            "Test patients": f"{first['test_patients']:d}",
            "Calibrated on": f"{first['calibration_patients']:d}",
            "Width": _spread(found["width"], "{:.1f}".format),
        }
    layout = pd.DataFrame.from_dict(rows, orient="index")
    layout.columns.name = "Model"
    return tidy, layout, NOTES


def _row(bound: ErrorBound, path: Path, labels: Labels) -> dict[str, object]:
    if bound.dataset not in labels.datasets:
        raise InputError(
            f"{path}: is of the data set {bound.dataset!r}, not of {', '.join(labels.datasets)}"
        )
    tried = bound.tried_on
    kept = [one.covered >= bound.pixels for one in tried]
    errors = sum(one.error for one in tried)
    return {
        "dataset": bound.dataset,
        "acceleration": bound.acceleration,
        "seed": bound.seed,
        "model": bound.model,
        "pixels": bound.pixels,
        "pixels_found": sum(one.covered for one in tried) / len(tried) if tried else None,
        "patients": bound.patients,
        "patients_found": sum(kept) / len(kept) if kept else None,
        "test_patients": len(tried),
        "calibration_patients": bound.calibration_patients,
        "width": sum(one.bound for one in tried) / errors if errors else None,
    }


def _percent(share: float) -> str:
    return f"{100 * share:.0f} %"


def _spread(values: pd.Series, text: Callable[[float], str]) -> str:
    """The mean, and where there are several, the least and the largest."""
    if values.isna().any():
        return MISSING
    mean = text(values.mean())
    if len(values) == 1:
        return mean
    return f"{mean} ({text(values.min())} to {text(values.max())})"
