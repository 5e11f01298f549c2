"""CSV files: text comes back as it was, and only numbers may be missing."""

from __future__ import annotations

import math
import random
from pathlib import Path

import pandas as pd
import pytest
from hostile_text import IDS, TITLES, drawn_ids

from pipeline_src import tabular
from pipeline_src.errors import InputError
from pipeline_src.reporting.tables.long_form import write_long
from pipeline_src.tabular import csv_text, read_many, read_rows, write_rows


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
    write_long(tmp_path / "long.csv", table, ["v", "w"])
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


@pytest.mark.parametrize("batch", [1, 200, tabular.LARGEST_BATCH])
def test_files_read_together_are_as_each_alone(
    batch: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tabular, "LARGEST_BATCH", batch)
    texts = [
        *(f"id,v,n\np{k},{k / 3!r},{k}\nq{k},,{k}\n" for k in range(8)),
        'id,v,n\n"a,b",1,2\n',
        'id,v,n\n"two\nlines",1,2\n',
        "id,v,n\r\nx,1,2\r\n",
        "id,v,n\nNA,nan,2\n\ny,3,4\n",
        "id,v,n\nno end,1,2",
        "v,id,n,more\n1,z,2,3\n",
        *(f"id,v,n\np{k},{k},{k}\n" for k in range(3)),
    ]
    paths = [tmp_path / f"{k}.csv" for k in range(len(texts))]
    for path, text in zip(paths, texts, strict=True):
        path.write_bytes(text.encode())
    found = list(read_many(paths, "rows", ("v", "n"), needed=("id",)))
    alone = [read_rows(path, "rows", ("v", "n")) for path in paths]
    together = pd.concat([table for table, _ in found], ignore_index=True)
    pd.testing.assert_frame_equal(together, pd.concat(alone, ignore_index=True), check_exact=True)
    of = [number for _, numbers in found for number in numbers]
    assert of == [k for k, table in enumerate(alone) for _ in range(len(table))]
    assert (len(found) < len(alone)) == (batch > 1)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("id,v\nx,one\n", "v has a value that is not a number"),
        ("id,v\nx,1,2\n", "cannot be read"),
        ("id,v\n", "has no rows, only headings"),
        ("", "cannot be read"),
    ],
)
def test_of_many_files_the_one_with_an_error_is_named(
    text: str, reason: str, tmp_path: Path
) -> None:
    paths = [tmp_path / f"{k}.csv" for k in range(5)]
    for path in paths:
        path.write_text("id,v\nx,1\n")
    paths[3].write_text(text)
    with pytest.raises(InputError, match=rf"3\.csv: .*{reason}"):
        list(read_many(paths, "rows", ("v",)))


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
