"""Reads and writes all CSV files in one way: text stays text, and only numbers may be missing.

A patient may be called `NA`, `007` or `1e5`, and an id may contain commas, quotes and line breaks;
all can be read back exactly. There are two kinds of file. Those for programs (metrics, histories,
`all_numbers.csv`) contain every text as it is. Those that people open in a spreadsheet (the tables
of a study) have an apostrophe before a text that a spreadsheet would run as a formula; `read_rows`
removes it if told so.
"""

from __future__ import annotations

import csv
import math
import re
import warnings
from collections.abc import Collection, Iterable, Sequence
from pathlib import Path

import pandas as pd

from pipeline_src.errors import InputError
from pipeline_src.files import atomic_path, open_regular, write_text

#: Columns of a CSV file at most, and bytes of its first line.
MOST_COLUMNS, LONGEST_HEADING = 500, 1 << 20
#: What stands for a missing number, in files of others too.
_NO_NUMBER = frozenset(
    ("", "NA", "N/A", "n/a", "#N/A", "<NA>", "NaN", "nan", "-NaN", "-nan", "NULL", "null", "None")
)
#: What pandas would unpack, to any size.
PACKED = (".gz", ".bz2", ".zip", ".xz", ".zst", ".tar")
#: A text that a spreadsheet runs, whatever apostrophes are before it; signed numbers are none.
_FORMULA = re.compile(r"'*(?![-+.\d ]*\Z)[=+\-@\t\r\n\uff1d\uff0b\uff0d\uff20]")


def read_rows(
    path: Path,
    what: str,
    numbers: Collection[str],
    *,
    needed: Iterable[str] = (),
    comment: str | None = None,
    of_spreadsheet: bool = False,
) -> pd.DataFrame:
    """The rows of a CSV file: the columns of ``numbers`` as numbers, all others as text.

    A column of ``numbers`` that the file does not have is left out, unless it is needed. Missing
    numbers are NaN, missing text is empty.

    Args:
        path: the file.
        what: what it holds, for the error.
        numbers: names of the columns of numbers.
        needed: columns without which it does not hold that.
        comment: the character that begins a comment, if any does.
        of_spreadsheet: the file is written by `csv_text` ``for_spreadsheet``.

    Raises:
        InputError: the file cannot be read, lacks a needed column, has a column twice, or something
            in a column of numbers is none.
    """
    if path.suffix in PACKED:
        raise InputError(f"{path}: {what} is compressed; unpack it first")
    try:
        heading = read_heading(path)
        # Where lines end plainly, a carriage return is a character of an id.
        plain = heading.endswith(b"\n") and not heading.endswith(b"\r\n")
        # Rows of more cells than there are headings would else lose some, with a warning.
        with warnings.catch_warnings(action="error", category=pd.errors.ParserWarning):
            table = pd.read_csv(
                path,
                dtype=str,
                compression=None,
                na_filter=False,
                index_col=False,
                comment=comment,
                lineterminator="\n" if plain else None,
            )
    except (OSError, ValueError, pd.errors.ParserWarning) as error:
        raise InputError(f"{path}: {what} cannot be read ({error})") from None
    if missing := sorted(set(needed) - set(table.columns)):
        raise InputError(f"{path}: holds no {what}; columns missing: {', '.join(missing)}")
    for column in table.columns:
        if f"{column}.1" in table:  # so pandas names a second one
            raise InputError(f"{path}: has two columns {column!r}; leave one of them out")
        if column in numbers:
            try:
                table[column] = _as_numbers(table[column])
            except ValueError:
                raise InputError(f"{path}: {column} has a value that is not a number") from None
        elif of_spreadsheet:
            table[column] = [_unguarded(text) for text in table[column]]
    return table


def read_heading(path: Path) -> bytes:
    """The first line of a CSV file.

    Raises:
        OSError: it cannot be read.
        ValueError: it has more columns than any file of this pipeline, which would take hours.
    """
    with open_regular(path) as stream:
        heading = stream.readline(LONGEST_HEADING + 1)
    if len(heading) > LONGEST_HEADING or heading.count(b",") > MOST_COLUMNS:
        raise ValueError(f"it has more than {MOST_COLUMNS} columns")
    return heading


def _as_numbers(column: pd.Series) -> pd.Series:
    """The texts as whole numbers where all are, else as numbers."""
    texts = column.tolist()
    if "_" in "".join(texts):
        raise ValueError("an underscore is within a number for Python alone")
    try:
        return pd.Series(list(map(int, texts)), index=column.index, dtype="int64")
    except (ValueError, OverflowError):
        pass
    try:
        values = list(map(float, texts))
    except ValueError:
        values = [math.nan if text.strip() in _NO_NUMBER else float(text) for text in texts]
    return pd.Series(values, index=column.index, dtype="float64")


def csv_text(
    table: pd.DataFrame, float_format: str | None = None, for_spreadsheet: bool = False
) -> str:
    """A table as CSV without its index; numbers are exact unless ``float_format`` rounds them."""
    if for_spreadsheet:
        table = table.copy()
        for name, column in table.items():
            if any(isinstance(value, str) for value in column):
                table[name] = column.map(_guarded)
    text = table.to_csv(index=False, float_format=float_format, lineterminator="\n")
    if "\r" in text:
        # Python's writer leaves a carriage return bare, at which readers would end the row.
        text = table.to_csv(
            index=False,
            float_format=float_format,
            lineterminator="\n",
            quoting=csv.QUOTE_NONNUMERIC,
        )
    return text


def write_rows(path: Path, table: pd.DataFrame) -> None:
    """Write a table as CSV for programs, atomically; every text and number reads back as it was.

    Raises:
        InputError: it cannot be written.
    """
    write_text(path, csv_text(table))


def write_long(path: Path, table: pd.DataFrame, measured: Sequence[str], named: str) -> None:
    """Write a table in long form as CSV for programs, atomically: one row per row of the table and
    column of ``measured``, with the other columns, the column's name (``named``) and its `value`.

    As `write_rows` would write the melted table, but faster and in little memory, since a study may
    have millions of numbers.

    Raises:
        InputError: it cannot be written.
    """
    others = [name for name in table if name not in measured]
    cells = [_cells(table[name]) for name in others]
    quoted = any("\r" in str(cell) for name in others for cell in table[name].unique())
    line = csv.writer(
        _Echo(), quoting=csv.QUOTE_NONNUMERIC if quoted else csv.QUOTE_MINIMAL, lineterminator="\n"
    )
    ends = [str(line.writerow([name]))[:-1] for name in measured]
    missing = '""' if quoted else ""
    values = [map(repr, table[name].tolist()) for name in measured]
    with atomic_path(path) as temporary, temporary.open("w", encoding="utf-8", newline="") as file:
        file.write(str(line.writerow([*others, named, "value"])))
        for row, found in zip(zip(*cells, strict=True), zip(*values, strict=True), strict=True):
            start = str(line.writerow(row))[:-1]
            for end, value in zip(ends, found, strict=True):
                file.write(f"{start},{end},{missing if value == 'nan' else value}\n")


class _Echo:
    """A file whose written lines the writer returns."""

    def write(self, text: str) -> str:
        return text


def _cells(column: pd.Series) -> list[object]:
    return column.astype(object).where(column.notna(), "").tolist()


def _guarded(value: object) -> object:
    return f"'{value}" if isinstance(value, str) and _FORMULA.match(value) else value


def _unguarded(text: str) -> str:
    return text[1:] if text.startswith("'") and _FORMULA.match(text) else text
