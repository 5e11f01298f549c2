"""Builds the tables of measurements: of cost, of other runtimes and of bounds of errors."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from pipeline_src.errors import InputError
from pipeline_src.inference.error_bound import ErrorBound, read_error_bound
from pipeline_src.planning.model_names import split_model_name
from pipeline_src.reporting.display_names import (
    MISSING,
    RUNTIME_TITLES,
    counted,
    full_title,
    model_title,
    value_text,
)
from pipeline_src.reporting.tables.labels import Labels
from pipeline_src.tabular import read_rows

#: Rows: title, column of `evaluation.cost`, what to divide by, decimals (None: as many as three
#: digits need), column of the ratio.
COST_ROWS = (
    ("Parameters", "parameters", 1, 0, "parameters_ratio"),
    (
        "Multiply-adds per slice, convolutions (millions)",
        "convolution_multiply_adds_a_slice",
        1e6,
        None,
        "convolution_multiply_adds_ratio",
    ),
    (
        "Multiply-adds per slice, data fidelity (millions)",
        "fidelity_multiply_adds_a_slice",
        1e6,
        None,
        None,
    ),
    ("Weights file (KiB)", "weights_bytes", 1024, 0, "weights_bytes_ratio"),
    (
        "Run time per slice, one thread (ms)",
        "milliseconds_a_slice_one_thread_median",
        1,
        2,
        "milliseconds_one_thread_ratio",
    ),
    ("Run time per slice (ms)", "milliseconds_a_slice_median", 1, 2, "milliseconds_ratio"),
    ("Memory while reconstructing (MiB)", "peak_extra_memory_mib", 1, 1, "peak_extra_memory_ratio"),
)
COST_NUMBERS = [name for _, column, *_, ratio in COST_ROWS for name in (column, ratio) if name]
COST_NUMBERS += ["rows", "columns", "threads", "repeats"]
COST_TEXTS = ["network", "architecture", "measured_on_processor", "measured_on_device"]


def cost_table(path: Path) -> tuple[pd.DataFrame, pd.DataFrame, list[str]]:
    """Tidy table, layout and notes of a measurement by the `cost` command.

    Raises:
        InputError: the file cannot be read, lacks a column or has a value that is not a number.
    """
    table = read_rows(path, "cost", COST_NUMBERS, needed=[*COST_TEXTS, *COST_NUMBERS])
    if table.empty or not np.isfinite(table[["threads", "repeats"]]).all(axis=None):
        raise InputError(f"{path}: is not of the cost command (no rows, threads or repeats)")
    names = list(table["network"])
    rows: dict[str, dict[str, str]] = {}
    for title, column, unit, decimals, ratio in COST_ROWS:
        if table[column].isna().all():
            continue
        cells = {
            f"{name} ({architecture})": _number(value / unit, decimals)
            for name, architecture, value in zip(
                names, table["architecture"], table[column], strict=True
            )
        }
        last = table[ratio].iloc[-1] if ratio else table[column].iloc[-1] / table[column].iloc[0]
        rows[title] = {**cells, f"{names[-1]} / {names[0]}": f"{last:.2f}"}
    layout = pd.DataFrame.from_dict(rows, orient="index")
    layout.columns.name = "cost"
    first = table.iloc[0]
    notes = [
        f"One slice of {first['rows']} x {first['columns']}. Run time and memory as measured on "
        f"{first['measured_on_processor']} ({first['measured_on_device']}), "
        f"{counted([first['threads']], 'thread')} where not said otherwise: medians of "
        f"{counted([first['repeats']], 'turn')}; they differ from run to run."
    ]
    return table, layout, notes


def _number(value: float, decimals: int | None) -> str:
    """A number with the given decimals, or with as many as three digits need."""
    if decimals is None:
        digits = math.floor(math.log10(value)) + 1 if value > 0 else 3
        decimals = max(0, 3 - digits)
    return f"{value:,.{decimals}f}"


TIMES = ("milliseconds_a_slice_one_thread_median", "milliseconds_a_slice_median")
QUALITY = ("psnr_db", "ssim")
DIFFERENCES = [f"{metric}_difference{end}" for metric in QUALITY for end in ("", "_low", "_high")]
RUNTIME_NUMBERS = ["file_bytes", *TIMES, "milliseconds_ratio", "memory_mib", "patients", "threads"]
RUNTIME_NUMBERS += ["repeats", *QUALITY, *DIFFERENCES]


def runtimes_table(path: Path) -> tuple[pd.DataFrame, pd.DataFrame, list[str]]:
    """Tidy table, layout and notes of a measurement by the `runtimes` command.

    Raises:
        InputError: the file cannot be read, lacks a column, or has a runtime that does not exist.
    """
    needed = ["model", "architecture", "runtime", "measured_on_processor", *RUNTIME_NUMBERS]
    table = read_rows(path, "runtimes", RUNTIME_NUMBERS, needed=needed)
    unknown = sorted(set(table["runtime"]) - set(RUNTIME_TITLES))
    if unknown or table.empty:
        raise InputError(f"{path}: is not of the runtimes command ({unknown or 'no rows'})")
    first = table.iloc[0]
    layout = pd.DataFrame(
        {
            "File (KiB)": [f"{size / 1024:.0f}" for size in table["file_bytes"]],
            **{
                f"{counted([threads], 'thread')} (ms)": _fixed(table[column], 1)
                for threads, column in zip((1, first["threads"]), TIMES, strict=True)
            },
            "Memory (MiB)": _fixed(table["memory_mib"], 0),
            "PSNR (dB)": [value_text(value, "psnr_db") for value in table["psnr_db"]],
            "Change (dB)": _changes(table, "psnr_db"),
            "SSIM": [value_text(value, "ssim") for value in table["ssim"]],
            "Change of SSIM": _changes(table, "ssim"),
        },
        index=[
            f"{model_title(model)} ({architecture}), {RUNTIME_TITLES[runtime]}"
            for model, architecture, runtime in zip(
                table["model"], table["architecture"], table["runtime"], strict=True
            )
        ],
    )
    layout.columns.name = "Network, runtime"
    notes = [
        f"Run time per slice, medians of {counted([first['repeats']], 'turn')} on "
        f"{first['measured_on_processor']}; times and memory differ from run to run. Memory: what "
        "loading the network and reconstructing a slice takes, libraries not counted.",
        f"Quality: mean over the volumes of {counted([first['patients']], 'patient')}; change: "
        "from torch, mean over patients with a 95 % interval.",
    ]
    if "onnxruntime_int8" in set(table["runtime"]):
        notes.append(
            "int8: static ranges from training slices; the first and last convolution of each "
            "cascade and data fidelity stay in single precision."
        )
    return table, layout, notes


def _fixed(values: pd.Series, decimals: int) -> list[str]:
    return [MISSING if pd.isna(value) else f"{value:.{decimals}f}" for value in values]


def _changes(table: pd.DataFrame, metric: str) -> list[str]:
    """Differences from torch with their intervals."""

    def text(row: pd.Series) -> str:
        if row["runtime"] == "torch":
            return MISSING
        names = [f"{metric}_difference{end}" for end in ("", "_low", "_high")]
        middle, low, high = (value_text(row[name], metric, "+") for name in names)
        return middle if pd.isna(row[names[1]]) else f"{middle} [{low}, {high}]"

    return [text(row) for _, row in table.iterrows()]


BOUND_NOTES = [
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
    return tidy, layout, BOUND_NOTES


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
