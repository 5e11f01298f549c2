"""Builds the table of what teacher and student cost in other runtimes, and how good they stay."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from pipeline_src.errors import InputError
from pipeline_src.reporting.display_names import MISSING, RUNTIME_TITLES, model_title, value_text
from pipeline_src.tabular import read_rows

TIMES = ("milliseconds_a_slice_one_thread_median", "milliseconds_a_slice_median")
QUALITY = ("psnr_db", "ssim")
DIFFERENCES = [f"{metric}_difference{end}" for metric in QUALITY for end in ("", "_low", "_high")]
NUMBERS = ["file_bytes", *TIMES, "milliseconds_ratio", "memory_mib", "patients", "threads"]
NUMBERS += ["repeats", *QUALITY, *DIFFERENCES]


def runtimes_table(path: Path) -> tuple[pd.DataFrame, pd.DataFrame, list[str]]:
    """Tidy table, layout and notes of a measurement by the `runtimes` command.

    Raises:
        InputError: the file cannot be read, lacks a column, or has a runtime that does not exist.
    """
    needed = ["model", "architecture", "runtime", "measured_on_processor", *NUMBERS]
    table = read_rows(path, "runtimes", NUMBERS, needed=needed)
    unknown = sorted(set(table["runtime"]) - set(RUNTIME_TITLES))
    if unknown or table.empty:
        raise InputError(f"{path}: is not of the runtimes command ({unknown or 'no rows'})")
    first = table.iloc[0]
    layout = pd.DataFrame(
        {
            "File (KiB)": [f"{size / 1024:.0f}" for size in table["file_bytes"]],
            "1 thread (ms)": _fixed(table[TIMES[0]], 1),
            f"{first['threads']:.0f} threads (ms)": _fixed(table[TIMES[1]], 1),
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
        f"Run time per slice, medians of {first['repeats']:.0f} turns on "
        f"{first['measured_on_processor']}; times and memory differ from run to run. Memory: what "
        "loading the network and reconstructing a slice takes, libraries not counted.",
        f"Quality: mean over the volumes of {first['patients']:.0f} patients; change: from torch, "
        "mean over patients with a 95 % interval.",
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
