"""CSV files: text comes back as it was, and only numbers may be missing."""

from __future__ import annotations

import math
import random
from pathlib import Path

import pandas as pd
import pytest
from hostile_text import IDS, TITLES, drawn_ids

from pipeline_src.errors import InputError
from pipeline_src.tabular import csv_text, read_rows, write_long, write_rows


def table_of(ids: list[str]) -> pd.DataFrame:
    """Ids beside numbers, of which every third is missing."""
    values = [math.nan if k % 3 == 0 else 0.1 * k for k in range(len(ids))]
    return pd.DataFrame({"patient": ids, "count": range(len(ids)), "v": values, "frame": ids[::-1]})


@pytest.mark.parametrize("seed", range(20))
def test_text_and_numbers_read_back_as_they_were(seed: int, tmp_path: Path) -> None:
    ids = ["", *drawn_ids(random.Random(seed), 30)]
    table = table_of(ids)
    write_rows(tmp_path / "a.csv", table)
    found = read_rows(tmp_path / "a.csv", "rows", ("count", "v"))
    assert list(found["patient"]) == ids
    assert list(found["frame"]) == ids[::-1]
    assert found["count"].dtype == "int64"
    pd.testing.assert_series_equal(found["v"], table["v"], check_exact=True)


@pytest.mark.parametrize("seed", range(20))
def test_the_long_form_is_that_of_the_melted_table(seed: int, tmp_path: Path) -> None:
    ids = ["", *drawn_ids(random.Random(seed), 30)]
    # Every second seed without carriage returns, with which texts are quoted.
    table = table_of([text.replace("\r", "") for text in ids] if seed % 2 else ids)
    table["w"] = [math.inf, *(1 / 3 - 0.1 * k for k in range(len(ids) - 1))]
    write_long(tmp_path / "long.csv", table, ["v", "w"], "metric")
    others = ["patient", "count", "frame"]
    melted = table.reset_index().melt(["index", *others], ["v", "w"], "metric", "value")
    melted = melted.sort_values(["index", "metric"]).drop(columns="index")
    write_rows(tmp_path / "melted.csv", melted)
    assert (tmp_path / "long.csv").read_bytes() == (tmp_path / "melted.csv").read_bytes()


@pytest.mark.parametrize("text", [*IDS, *TITLES])
def test_a_spreadsheet_runs_no_text_and_our_reader_has_it_as_it_was(
    text: str, tmp_path: Path
) -> None:
    (tmp_path / "a.csv").write_text(
        csv_text(table_of([text]), for_spreadsheet=True), encoding="utf-8", newline=""
    )
    raw = read_rows(tmp_path / "a.csv", "rows", ("count", "v"))["patient"][0]
    # Signed numbers are what they look like.
    assert raw[0] not in "=+-@\t\r" or raw in ("-1", "+1")
    found = read_rows(tmp_path / "a.csv", "rows", ("count", "v"), of_spreadsheet=True)
    assert found["patient"][0] == text


def test_signed_numbers_and_plain_text_stay_as_they_are_for_spreadsheets() -> None:
    table = pd.DataFrame({"effects": ["+0.53 -0.03"], "title": ["Heart's MRI"], "x": [-1.5]})
    assert csv_text(table, for_spreadsheet=True) == csv_text(table)
    assert table["effects"][0] in csv_text(table)


def test_missing_numbers_of_others_are_missing(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("id,v\nNA,NA\nx,\ny,nan\nz,1.5\n")
    found = read_rows(tmp_path / "a.csv", "rows", ("v",))
    assert list(found["id"]) == ["NA", "x", "y", "z"]
    assert found["v"].isna().tolist() == [True, True, True, False]


def test_files_of_other_writers_and_systems_read_alike(tmp_path: Path) -> None:
    # A carriage return that is not quoted, as pandas writes it; Windows' ends of lines; a mark of
    # the encoding before the first heading.
    (tmp_path / "bare.csv").write_bytes(b"id,v\na\rb,1\n")
    (tmp_path / "windows.csv").write_bytes(b'\xef\xbb\xbfid,v\r\n"a\rb",1\r\n')
    for path in tmp_path.iterdir():
        found = read_rows(path, "rows", ("v",))
        assert found.to_dict("list") == {"id": ["a\rb"], "v": [1]}


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("id,v\nx,good\n", "v has a value that is not a number"),
        ("id,v\nx,1,2\n", "rows cannot be read"),
        ("", "rows cannot be read"),
    ],
)
def test_what_is_no_such_file_is_refused(content: str, said: str, tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text(content)
    with pytest.raises(InputError, match=said):
        read_rows(tmp_path / "a.csv", "rows", ("v",))
