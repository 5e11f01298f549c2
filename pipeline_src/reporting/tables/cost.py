"""Builds the table of what teacher and student cost."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from pipeline_src.tabular import read_rows

#: Rows: title, column of `evaluation.cost`, what to divide by, decimals, column of the ratio.
ROWS = (
    ("Parameters", "parameters", 1, 0, "parameters_ratio"),
    (
        "Multiply-adds per slice, convolutions (millions)",
        "convolution_multiply_adds_a_slice",
        1e6,
        0,
        "convolution_multiply_adds_ratio",
    ),
    (
        "Multiply-adds per slice, data fidelity (millions)",
        "fidelity_multiply_adds_a_slice",
        1e6,
        0,
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
NUMBERS = [name for _, column, *_, ratio in ROWS for name in (column, ratio) if name]
NUMBERS += ["rows", "columns", "threads", "repeats"]


def cost_table(path: Path) -> tuple[pd.DataFrame, pd.DataFrame, list[str]]:
    """Tidy table, layout and notes of a measurement by the `cost` command.

    Raises:
        InputError: the file cannot be read, lacks a column or has a value that is not a number.
    """
    table = read_rows(path, "cost", NUMBERS, needed=[column for _, column, *_ in ROWS])
    names = list(table["network"])
    rows: dict[str, dict[str, str]] = {}
    for title, column, unit, decimals, ratio in ROWS:
        if table[column].isna().all():
            continue
        cells = {
            f"{name} ({architecture})": f"{value / unit:,.{decimals}f}"
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
        f"{first['threads']} threads where not said otherwise: medians of {first['repeats']} "
        "turns; they differ from run to run."
    ]
    return table, layout, notes
