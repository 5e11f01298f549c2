"""The table of what teacher and student cost, from a file of measured numbers."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from pipeline_src.errors import InputError
from pipeline_src.reporting.tables.measurements import cost_table

# Made up, and round, so that the layout can be told by hand.
MEASURED = {
    "network": ["teacher", "student"],
    "architecture": ["D5C5", "D3C5"],
    "rows": [150, 150],
    "columns": [150, 150],
    "measured_on_processor": ["some processor"] * 2,
    "measured_on_device": ["cpu"] * 2,
    "threads": [2, 2],
    "repeats": [7, 7],
    "parameters": [141_765, 49_285],
    "parameters_ratio": [1.0, 0.3477],
    "convolution_multiply_adds_a_slice": [3.175e9, 1.1e9],
    "convolution_multiply_adds_ratio": [1.0, 0.3465],
    "fidelity_multiply_adds_a_slice": [17e6, 17e6],
    "weights_bytes": [569_344, 199_680],
    "weights_bytes_ratio": [1.0, 0.3507],
    "milliseconds_a_slice_one_thread_median": [80.0, 30.0],
    "milliseconds_one_thread_ratio": [1.0, 0.375],
    "milliseconds_a_slice_median": [44.125, 17.5],
    "milliseconds_ratio": [1.0, 0.4],
    "peak_extra_memory_mib": [30.25, 30.0],
    "peak_extra_memory_ratio": [1.0, 0.99],
}


def written(folder: Path, **changed: object) -> Path:
    path = folder / "cost.csv"
    pd.DataFrame(MEASURED | changed).to_csv(path, index=False)
    return path


def test_each_cost_is_a_row_in_units_that_people_read(tmp_path: Path) -> None:
    tidy, layout, notes = cost_table(written(tmp_path))
    assert list(tidy["network"]) == ["teacher", "student"]
    assert list(layout.columns) == ["teacher (D5C5)", "student (D3C5)", "student / teacher"]
    rows = {title: list(row) for title, row in layout.iterrows()}
    assert rows["Parameters"] == ["141,765", "49,285", "0.35"]
    assert rows["Multiply-adds per slice, convolutions (millions)"] == ["3,175", "1,100", "0.35"]
    # No ratio is measured for data fidelity; it is that of the numbers.
    assert rows["Multiply-adds per slice, data fidelity (millions)"] == ["17.0", "17.0", "1.00"]
    assert rows["Weights file (KiB)"] == ["556", "195", "0.35"]
    assert rows["Run time per slice (ms)"] == ["44.12", "17.50", "0.40"]
    assert len(rows) == 7
    assert notes == [
        "One slice of 150 x 150. Run time and memory as measured on some processor (cpu), 2 "
        "threads where not said otherwise: medians of 7 turns; they differ from run to run."
    ]


def test_small_networks_do_not_look_equal(tmp_path: Path) -> None:
    few = {"convolution_multiply_adds_a_slice": [1.44e6, 0.512e6]}
    few["fidelity_multiply_adds_a_slice"] = [5_120.0, 0.0]
    _, layout, _ = cost_table(written(tmp_path, **few))
    rows = {title: list(row)[:2] for title, row in layout.iterrows()}
    assert rows["Multiply-adds per slice, convolutions (millions)"] == ["1.44", "0.512"]
    assert rows["Multiply-adds per slice, data fidelity (millions)"] == ["0.00512", "0"]


def test_what_was_not_measured_has_no_row(tmp_path: Path) -> None:
    _, layout, _ = cost_table(written(tmp_path, peak_extra_memory_mib=[None, None]))
    assert "Memory while reconstructing (MiB)" not in layout.index
    assert len(layout) == 6


def test_one_thread_and_one_turn_are_one(tmp_path: Path) -> None:
    [note] = cost_table(written(tmp_path, threads=[1, 1], repeats=[1, 1]))[2]
    assert "1 thread where not said otherwise: medians of 1 turn;" in note


@pytest.mark.parametrize("column", MEASURED)
def test_a_file_without_a_column_is_refused(column: str, tmp_path: Path) -> None:
    path = tmp_path / "cost.csv"
    pd.DataFrame(MEASURED).drop(columns=column).to_csv(path, index=False)
    with pytest.raises(InputError, match=f"columns missing: {column}"):
        cost_table(path)


@pytest.mark.parametrize("rows", [{"threads": [None, 2]}, {"repeats": [7, float("inf")]}, None])
def test_a_file_without_rows_or_counts_is_refused(
    rows: dict[str, object] | None, tmp_path: Path
) -> None:
    path = written(tmp_path, **(rows or {}))
    if rows is None:
        pd.DataFrame(MEASURED).head(0).to_csv(path, index=False)
    with pytest.raises(InputError, match="is not of the cost command"):
        cost_table(path)


def test_a_file_that_is_no_measurement_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "cost.csv"
    with pytest.raises(InputError, match="cost cannot be read"):
        cost_table(path)
