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
from collections.abc import Collection, Iterable, Iterator, Sequence
from io import BufferedReader, BytesIO
from itertools import groupby
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from pipeline_src.errors import InputError
from pipeline_src.files import open_regular, write_text

#: Columns of a CSV file at most, and bytes of its first line.
MOST_COLUMNS, LONGEST_HEADING = 500, 1 << 20
#: Bytes of files that are read together.
LARGEST_BATCH = 8 << 20
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
    table = _parsed(path, _content(path, what), what, comment)
    return _typed(path, table, what, numbers, needed, of_spreadsheet)


def read_many(
    paths: Sequence[Path], what: str, numbers: Collection[str], *, needed: Iterable[str] = ()
) -> Iterator[tuple[pd.DataFrame, NDArray[np.int64]]]:
    """The rows of many CSV files, in their order: tables of one or more files as `read_rows` would
    read each, with the number of the file of each row, `(rows,)`.

    Small files with the same headings are read together, which takes a fraction of the time.

    Raises:
        InputError: as `read_rows`, or a file has no rows.
    """
    numbered = ((k, _content(path, what)) for k, path in enumerate(paths))
    for _, together in groupby(_in_batches(numbered), key=lambda one: one[:2]):
        *_, files, contents = zip(*together, strict=True)
        found = _read_as_one(contents, what, numbers, needed) if len(files) > 1 else None
        if found is not None:
            yield found[0], np.repeat(files, found[1])
            continue
        # Also if something is wrong, so that the error names the file.
        for number, content in zip(files, contents, strict=True):
            path = paths[number]
            table = _typed(path, _parsed(path, content, what), what, numbers, needed)
            if table.empty:
                raise InputError(f"{path}: has no {what}, only headings")
            yield table, np.full(len(table), number)


def _in_batches(
    numbered: Iterable[tuple[int, bytes]],
) -> Iterator[tuple[int, bytes, int, bytes]]:
    """Number of the batch, heading, number and content of each file."""
    batch, held = 0, 0
    for number, content in numbered:
        held += len(content)
        if held > LARGEST_BATCH:
            batch, held = batch + 1, len(content)
        yield batch, content[: content.find(b"\n") + 1], number, content


def _read_as_one(
    contents: Sequence[bytes], what: str, numbers: Collection[str], needed: Iterable[str]
) -> tuple[pd.DataFrame, list[int]] | None:
    """The rows of files with the same heading and how many each has; None if they must be read one
    by one.
    """
    # A line is a row only where none is empty and no cell holds a line break.
    plain = all(
        content.endswith(b"\n") and not any(mark in content for mark in (b'"', b"\r", b"\n\n"))
        for content in contents
    )
    counts = [content.count(b"\n") - 1 for content in contents]
    if not plain or not all(counts):
        return None
    heading = contents[0].find(b"\n") + 1
    joined = b"".join([contents[0], *(content[heading:] for content in contents[1:])])
    try:
        table = _typed(Path(), _parsed(Path(), joined, what), what, numbers, needed)
    except InputError:
        return None
    return (table, counts) if len(table) == sum(counts) else None


def read_heading(stream: BufferedReader) -> bytes:
    """The first line of a CSV file.

    Raises:
        OSError: it cannot be read.
        ValueError: it has more columns than any file of this pipeline, which would take hours.
    """
    heading = stream.readline(LONGEST_HEADING + 1)
    if len(heading) > LONGEST_HEADING or heading.count(b",") > MOST_COLUMNS:
        raise ValueError(f"it has more than {MOST_COLUMNS} columns")
    return heading


def _content(path: Path, what: str) -> bytes:
    """What a CSV file holds.

    Raises:
        InputError: it cannot be read, or is packed.
    """
    if path.suffix in PACKED:
        raise InputError(f"{path}: {what} is compressed; unpack it first")
    try:
        with open_regular(path) as stream:
            return read_heading(stream) + stream.read()
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: {what} cannot be read ({error})") from None


def _parsed(path: Path, content: bytes, what: str, comment: str | None = None) -> pd.DataFrame:
    """The cells of a CSV file, all as text."""
    # Where lines end plainly, a carriage return is a character of an id.
    end = content.find(b"\n")
    plain = end >= 0 and content[end - 1 : end] != b"\r"
    try:
        # Rows of more cells than there are headings would else lose some, with a warning.
        with warnings.catch_warnings(action="error", category=pd.errors.ParserWarning):
            return pd.read_csv(
                BytesIO(content),
                dtype=str,
                na_filter=False,
                index_col=False,
                comment=comment,
                lineterminator="\n" if plain else None,
            )
    except (ValueError, pd.errors.ParserWarning) as error:
        raise InputError(f"{path}: {what} cannot be read ({error})") from None


def _typed(
    path: Path,
    table: pd.DataFrame,
    what: str,
    numbers: Collection[str],
    needed: Iterable[str],
    of_spreadsheet: bool = False,
) -> pd.DataFrame:
    """The table with numbers in the columns of ``numbers``."""
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


def _guarded(value: object) -> object:
    return f"'{value}" if isinstance(value, str) and _FORMULA.match(value) else value


def _unguarded(text: str) -> str:
    return text[1:] if text.startswith("'") and _FORMULA.match(text) else text
