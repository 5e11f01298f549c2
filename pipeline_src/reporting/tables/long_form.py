"""Writes millions of numbers as CSV, one per row."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path

import numpy as np
import pandas as pd

from pipeline_src.files import atomic_path

#: Rows of the table whose lines are written at once.
_BLOCK = 4096


def write_long(path: Path, table: pd.DataFrame, measured: Sequence[str]) -> None:
    """Write a table in long form as CSV for programs, atomically: one row per row of the table and
    column of ``measured``, with the other columns, that column's name as `metric`, and its `value`.

    As `write_rows` would write the melted table, but faster and in little memory, since a study may
    have millions of numbers.

    Raises:
        InputError: it cannot be written.
    """
    others = [name for name in table if name not in measured]
    cells = [_cells(table[name]) for name in others]
    known = [dict.fromkeys(column) for column in cells]
    quoted = any("\r" in str(cell) for column in known for cell in column)
    line = csv.writer(
        _Echo(), quoting=csv.QUOTE_NONNUMERIC if quoted else csv.QUOTE_MINIMAL, lineterminator="\n"
    )
    missing = '""' if quoted else ""

    def text(cell: object) -> str:
        # Beside another, since an empty cell alone would be quoted.
        return str(line.writerow([cell, ""])).removesuffix(f"{missing}\n")

    # Each text is quoted once, however many rows it is in.
    starts = [
        map({cell: text(cell) for cell in of}.__getitem__, column)
        for of, column in zip(known, cells, strict=True)
    ]
    ends = [text(name) for name in measured]
    values = [_numbers(table[name], missing) for name in measured]
    with atomic_path(path) as temporary, temporary.open("w", encoding="utf-8", newline="") as file:
        file.write(str(line.writerow([*others, "metric", "value"])))
        rows = map("".join, zip(*starts, strict=True))
        # One text per block: a call per line takes half as long again as all else.
        while block := list(islice(rows, _BLOCK)):
            pieces = np.empty((len(block), len(measured), 4), dtype=object)
            pieces[:, :, 0] = np.array(block, dtype=object)[:, None]
            pieces[:, :, 1], pieces[:, :, 3] = ends, "\n"
            for column, found in enumerate(values):
                pieces[:, column, 2] = list(islice(found, len(block)))
            file.write("".join(pieces.ravel().tolist()))


def _numbers(column: pd.Series, missing: str) -> Iterator[str]:
    texts = map(repr, column.tolist())
    return (missing if text == "nan" else text for text in texts) if column.hasnans else texts


class _Echo:
    """A file whose written lines the writer returns."""

    def write(self, text: str) -> str:
        return text


def _cells(column: pd.Series) -> list[object]:
    return column.astype(object).where(column.notna(), "").tolist()
