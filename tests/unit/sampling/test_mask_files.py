"""Masks from files, and the mask of a run."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from pipeline_src.cli import main
from pipeline_src.errors import InputError
from pipeline_src.sampling.given_masks import mask_from_file
from pipeline_src.sampling.masks import Mask, drawn_mask, lines_mask, read_mask, write_mask

# --- masks from files --------------------------------------------------------------------

MATRIX = (8, 6)
LINES = np.array([1, 1, 0, 0, 0, 1, 0, 1], dtype=bool)  # 2x


def save_npy(path: Path, array: Any) -> Path:
    np.save(path, array)
    return path


@pytest.mark.parametrize("dtype", [bool, np.uint8, np.int64, np.float32])
def test_npy_of_lines_is_repeated_over_the_columns(dtype: type, tmp_path: Path) -> None:
    mask = mask_from_file(save_npy(tmp_path / "m.npy", LINES.astype(dtype)), MATRIX, 2)
    assert mask.samples.dtype == np.bool_
    assert np.array_equal(mask.samples, np.repeat(LINES[:, None], 6, axis=1))
    assert mask.lines is not None
    assert np.array_equal(mask.lines, LINES)


def test_npy_of_rows_and_columns_is_taken_as_it_is(tmp_path: Path) -> None:
    points = np.zeros(MATRIX, bool)
    points[np.ix_([0, 1, 2, 6, 7], [0, 1, 2, 4, 5])] = True
    points[4, 1] = False
    mask = mask_from_file(save_npy(tmp_path / "m.npy", points), MATRIX, 2)
    assert np.array_equal(mask.samples, points)
    assert mask.lines is None


def test_csv_of_lines(tmp_path: Path) -> None:
    path = tmp_path / "m.csv"
    path.write_text("# sampled lines\nline\n7\n0\n1\n5\n")
    mask = mask_from_file(path, MATRIX, 2)
    assert mask.lines is not None
    assert np.array_equal(mask.lines, LINES)
    assert mask.description["file"] == "m.csv"
    assert mask.description["acceleration"] == 2


TABLE = "acceleration,matrix_size,sampled_lines\n"


def test_csv_table_gives_the_row_of_this_matrix_and_acceleration(tmp_path: Path) -> None:
    path = tmp_path / "m.csv"
    path.write_text(f"{TABLE}5x,8x6,3\n2x,6x8,4\n2x,8x6,0 1 5 7\n")
    mask = mask_from_file(path, MATRIX, 2)
    assert mask.lines is not None
    assert np.array_equal(mask.lines, LINES)


def test_description_changes_with_the_bytes_of_the_file(tmp_path: Path) -> None:
    first = mask_from_file(save_npy(tmp_path / "m.npy", LINES), MATRIX, 2)
    second = mask_from_file(
        save_npy(tmp_path / "m.npy", LINES[[0, 1, 2, 3, 5, 4, 6, 7]]), MATRIX, 2
    )
    assert first.description["sha256"] != second.description["sha256"]


def npy_header(text: str) -> bytes:
    """The beginning of a .npy file with this text for a header."""
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text.encode()


@pytest.mark.parametrize(
    ("name", "content", "fragment"),
    [
        ("m.npy", np.ones(9, bool), "mask of 9, but preparation.matrix is 8x6"),
        ("m.npy", np.ones((6, 8), bool), "mask of 6x8, but preparation.matrix is 8x6"),
        ("m.npy", np.ones((8, 6, 2), bool), "mask of 8x6x2, but preparation.matrix is 8x6"),
        ("m.npy", np.zeros(8, bool), "samples nothing"),
        ("m.npy", np.full(8, 2), "values other than 0 and 1"),
        ("m.npy", np.full(8, 0.5), "values other than 0 and 1"),
        ("m.npy", np.full(8, np.nan), "values other than 0 and 1"),
        ("m.npy", np.full(8, -1), "values other than 0 and 1"),
        ("m.npy", b"", "is not a mask"),
        ("m.npy", b"not an array", "is not a mask"),
        ("m.npy", np.array([None] * 8, dtype=object), "is not a mask"),
        ("m.csv", "line\n0\n8\n", "line 8 is outside the 8 lines"),
        ("m.csv", "line\n-1\n2\n", "line -1 is outside the 8 lines"),
        ("m.csv", "line\n", "samples nothing"),
        ("m.csv", "line\n0.5\n1\n", "is not a mask"),
        ("m.csv", "line\nfirst\n", "is not a mask"),
        ("m.csv", "line\nTrue\nFalse\n", "is not a mask"),
        ("m.csv", "line\n0,7\n1,7\n", "is not a mask"),
        ("m.csv", "line,line\n0,7\n1,7\n", "two columns 'line'"),
        ("m.npy", npy_header("-" * 9000 + "1"), "is not a mask (its header"),
        ("m.npy", npy_header("'''"), "is not a mask (its header"),
        ("m.npy", b"PK\x03\x04", "is not a mask"),
        ("m.csv", "", "is not a mask"),
        ("m.csv", b"\x80\x81\x82", "is not a mask"),
        ("m.csv", "row\n0\n", "needs a column 'line'"),
        ("m.csv", TABLE + "5x,8x6,0 1\n", "0 masks of 8x6 at 4x"),
        ("m.csv", TABLE + "4x,8x6,0 1\n4x,8x6,2 3\n", "2 masks of 8x6 at 4x"),
        ("m.csv", TABLE + "4x,8x6,0 8\n", "line 8 is outside the 8 lines"),
        ("m.csv", TABLE + "4x,8x6,0 x\n", "is not a mask"),
        ("m.csv", TABLE + "4x,8x6,\n", "mask samples nothing"),
        ("m.txt", "0 1 2", "a mask is a .npy or a .csv file"),
        ("m.npy", None, "mask cannot be read (No such file or directory)"),
        ("m.csv", None, "mask cannot be read (No such file or directory)"),
    ],
)
def test_unusable_mask_file_gives_one_line_with_its_name(
    name: str,
    content: bytes | str | NDArray[Any] | None,
    fragment: str,
    tiny_study: dict[str, Any],
    tmp_path: Path,
    write_config: Any,
    capsys: pytest.CaptureFixture[str],
) -> None:
    path = tmp_path / name
    if isinstance(content, str):
        path.write_text(content)
    elif isinstance(content, bytes):
        path.write_bytes(content)
    elif content is not None:
        np.save(path, content)
    heads = tiny_study["datasets"]["heads"]
    heads["preparation"]["matrix"] = list(MATRIX)
    heads["masks"] = {4: str(path)}
    output = tmp_path / "out" / "mask.npz"
    arguments = ["--dataset", "heads", "--acceleration", "4x", "--output", str(output)]
    assert main(["mask", "--config", str(write_config(tiny_study)), *arguments]) == 2
    error = capsys.readouterr().err
    assert error.startswith(f"error: {path}: ")
    assert error.count("\n") == 1
    assert fragment in error
    assert not output.parent.exists()


def test_archive_named_npy_is_no_mask(tmp_path: Path) -> None:
    np.savez(tmp_path / "m.npz", LINES)
    path = (tmp_path / "m.npz").rename(tmp_path / "m.npy")
    with pytest.raises(InputError, match=r"m\.npy: is not a mask"):
        mask_from_file(path, MATRIX, 2)


# --- the mask of a run -------------------------------------------------------------------


@pytest.mark.parametrize(
    "mask",
    [
        drawn_mask((16, 12), 4, 0, 2),
        Mask(np.eye(8, dtype=bool), {"kind": "given", "file": "ü.npy"}),
        Mask(lines_mask(LINES, 6), {}),
    ],
    ids=["drawn", "points", "no description"],
)
def test_mask_is_read_as_it_was_written(mask: Mask, tmp_path: Path) -> None:
    path = tmp_path / "new folder" / "mask.npz"
    write_mask(path, mask)
    read = read_mask(path)
    assert np.array_equal(read.samples, mask.samples)
    assert read.samples.dtype == np.bool_
    assert read.description == mask.description
    assert list(path.parent.iterdir()) == [path]


def test_same_mask_is_the_same_file(tmp_path: Path) -> None:
    for name in ("a.npz", "b.npz"):
        write_mask(tmp_path / name, drawn_mask((16, 12), 4, 0, 2))
    assert (tmp_path / "a.npz").read_bytes() == (tmp_path / "b.npz").read_bytes()


def test_mask_command_writes_what_the_configuration_says(
    tiny_study: dict[str, Any], tmp_path: Path, write_config: Any
) -> None:
    output = tmp_path / "mask.npz"
    arguments = ["--dataset", "heads", "--acceleration", "4x", "--output", str(output)]
    assert main(["mask", "--config", str(write_config(tiny_study)), *arguments]) == 0
    assert np.array_equal(read_mask(output).samples, drawn_mask((16, 16), 4, 0, 2).samples)


@pytest.mark.parametrize(
    "damage",
    [
        lambda whole: whole[:-30],
        lambda whole: whole[: len(whole) // 2],
        lambda _: b"",
        lambda _: b"not a mask",
    ],
    ids=["end missing", "half missing", "empty", "text"],
)
def test_damaged_mask_is_named(damage: Any, tmp_path: Path) -> None:
    path = tmp_path / "mask.npz"
    write_mask(path, drawn_mask((16, 12), 4, 0, 2))
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(InputError, match=r"mask\.npz: is damaged or not a mask"):
        read_mask(path)


def test_array_or_other_archive_is_no_mask(tmp_path: Path) -> None:
    np.savez(tmp_path / "other.npz", a=1)
    array = save_npy(tmp_path / "m.npy", LINES).rename(tmp_path / "array.npz")
    for path in (tmp_path / "other.npz", array):
        with pytest.raises(InputError, match=r"\.npz: is damaged or not a mask"):
            read_mask(path)


def test_missing_mask_says_how_to_make_it(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"mask\.npz: does not exist; make it with the mask"):
        read_mask(tmp_path / "mask.npz")
