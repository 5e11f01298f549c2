"""Given masks that are wrong in one way or another, or right in an unusual form."""

from __future__ import annotations

import csv
import random
import struct
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from hostile_running import Hostile
from hostile_studies import tiny_study
from numpy.typing import NDArray

ROWS, COLUMNS, FACTOR = 16, 12, 4
DTYPES = ["?", "u1", "i1", ">i4", "<f4", ">f8", "f2", "u8", "c8", "U1", "S1", "M8[D]", "O", "V4"]


def _lines(rng: random.Random) -> list[int]:
    """A good mask: zero frequency, its neighbours and one further line."""
    return sorted([0, 1, ROWS - 1, rng.randint(3, ROWS - 4)])


def _array(rng: random.Random) -> tuple[NDArray[Any], bool | None]:
    """An array, and whether it must be refused."""
    lines = np.zeros(ROWS, bool)
    lines[_lines(rng)] = True
    array: NDArray[Any] = lines if rng.random() < 0.5 else np.repeat(lines[:, None], COLUMNS, 1)
    how = rng.randrange(10)
    if how < 4:
        kind = rng.choice(DTYPES)
        if kind == "V4":
            return array.astype("u4").view([("a", "u1", 4)]).copy(), True
        converted = array.astype("u1").astype(kind) if kind[0] == "M" else array.astype(kind)
        refused = kind[0] in "cUSMO"
        if rng.random() < 0.3:
            converted = np.asfortranarray(converted)
        return converted, refused
    if how == 4:
        array = array.astype("f4")
        array[rng.randrange(ROWS)] = rng.choice([np.nan, np.inf, -1, 2, 0.5, 1e-30, -0.0])
        return array, None
    if how == 5:
        return np.fft.fftshift(array, axes=0), True
    if how == 6:
        shape = rng.choice([(), (0,), (15,), (16, 0), (12, 16), (16, 12, 1), (1, 16), (192,)])
        return np.ones(shape, bool), True
    if how == 7:
        return np.roll(array, rng.randint(1, 15), axis=0), None
    if how == 8:
        return np.ones_like(array) * (rng.random() < 0.5), True
    points = np.random.default_rng(rng.getrandbits(32)).random((ROWS, COLUMNS)) < 1 / FACTOR
    points[:2, :2] = points[-1, :2] = points[:2, -1] = points[-1, -1] = True
    return points, None


def _npy(rng: random.Random, path: Path) -> tuple[str, bool | None]:
    array, refused = _array(rng)
    with path.open("wb") as stream:
        if rng.random() < 0.2:
            np.lib.format.write_array(stream, array, version=(2, 0))
        else:
            np.save(stream, array)
    shown = f"{array.dtype} {array.shape}\n{np.array2string(array)}"
    how = rng.randrange(12)
    whole = path.read_bytes()
    if how == 0:
        whole, refused, shown = whole[: rng.randrange(len(whole))], True, "truncated"
    elif how == 1:
        at = rng.randrange(len(whole))
        flipped = bytes([whole[at] ^ (1 << rng.randrange(8))])
        whole, refused = whole[:at] + flipped + whole[at + 1 :], None
        shown += f"\nbyte {at} flipped"
    elif how == 2:
        header = rng.choice(
            [
                "{'descr': '|b1', 'fortran_order': False, 'shape': (1099511627776,), }",
                "{'descr': '<f8', 'fortran_order': False, 'shape': (16, 1099511627776), }",
                "{'descr': '|b1', 'fortran_order': False, 'shape': (-16,), }",
                "{'descr': '|b1', 'fortran_order': False, 'shape': (True, 16), }",
                "{'descr': '|b0', 'fortran_order': False, 'shape': (16,), }",
                "{'descr': '|b1', 'shape': (16,), }",
                "{'descr': '|b1', 'fortran_order': False, 'shape': (16L,), }",
                "{'descr': '|b1', 'fortran_order': False, 'shape': (16,), 'shape': (16, 12), }",
                "(" * 5000,
                "-" * 9000 + "1",
                "[" * 150 + "]" * 150,
                "'''",
                "{'descr': '|O', 'fortran_order': False, 'shape': (16,), }",
                "\0",
                "",
                "{'descr': [('a', '|b1')], 'fortran_order': False, 'shape': (16,), }",
            ]
        )
        data = header.encode() + b"\n"
        whole, refused = (
            b"\x93NUMPY\x01\x00" + struct.pack("<H", len(data)) + data + whole[-192:],
            None,
        )
        shown = header[:200]
    elif how == 3:
        whole += bytes(rng.randrange(300))
        shown += "\nwith zeros after it"
        refused = refused or None
    elif how == 4:
        whole = rng.choice(
            [b"", b"PK\x03\x04", b"PK\x05\x06" + bytes(18), b"\x80\x04N.", b"no mask"]
        )
        refused, shown = True, repr(whole)
    path.write_bytes(whole)
    return shown, refused


def _csv(rng: random.Random, path: Path) -> tuple[str, bool | None]:
    lines = [str(line) for line in _lines(rng)]
    rng.shuffle(lines)
    refused: bool | None = False
    how = rng.randrange(12)
    if how < 3:
        odd = [
            "-1",
            "16",
            "1e1",
            "3.5",
            "NA",
            "",
            "True",
            "9" * 30,
            "0x3",
            "3 4",
            "'3'",
            "1_1",
            "٣",
        ]
        lines[rng.randrange(4)] = rng.choice(odd)
        refused = None
    table = rng.random() < 0.4
    if table:
        row = f"{FACTOR}x,{ROWS}x{COLUMNS},{' '.join(lines)}"
        text = f"acceleration,matrix_size,sampled_lines\n5x,16x12,3\n{row}\n4x,16x16,3\n"
    else:
        text = "\n".join(["line", *lines]) + "\n"
    if how == 3:
        text, refused = text.replace("\n", "\r\n"), False
    elif how == 4:
        text, refused = f"\ufeff{text}", None
    elif how == 5:
        text, refused = f"# a comment, with a comma\n{text}", False
    elif how == 6 and not table:
        text, refused = "\n".join(["line", *(f"{n},{n}" for n in lines)]) + "\n", True
    elif how == 6:
        text, refused = f"{text}{row},9\n", True
    elif how == 7:
        text, refused = text.replace("line", "line,line", 1).replace("\n", ",3\n"), True
    elif how == 8:
        at = rng.randrange(len(text))
        text, refused = text[:at] + rng.choice('\0\x1b",;\t\n9') + text[at:], None
    elif how == 9:
        odd = ["", "line", "line\n", "a,b\n1,2\n", '"', "line\n" + "0\n" * 4, "\0" * 9, "0 1 15 7"]
        text, refused = rng.choice(odd), True
    elif how == 10 and table:
        text, refused = text + row + "\n", True
    path.write_bytes(text.encode())
    return repr(text), refused


def draw(rng: random.Random, folder: Path) -> Hostile:
    """A mask for the mask command, as .npy or .csv."""
    path = folder / ("given" + rng.choice([".npy", ".csv"]))
    shown, refused = (_npy if path.suffix == ".npy" else _csv)(rng, path)
    study: dict[str, Any] = tiny_study()
    heads = study["datasets"]["heads"]
    heads["preparation"]["matrix"] = [ROWS, COLUMNS]
    heads["masks"] = {FACTOR: str(path)}
    unusual = rng.random() < 0.3
    if unusual:
        heads["allow_unusual_masks"] = True
        refused = None if refused else refused
    config, output = folder / "study.yaml", folder / "out" / "mask.npz"
    config.write_text(yaml.safe_dump(study))

    def verify() -> None:
        samples = np.load(output)["samples"]
        assert samples.dtype == np.bool_
        assert samples.shape == (ROWS, COLUMNS)
        given = _expected(path)
        assert np.array_equal(samples, given), (samples[:, 0], given[:, 0])
        if not unusual:
            whole_lines = (samples == samples[:, :1]).all()
            assert samples[0, 0]
            if whole_lines:
                assert (
                    samples[:, 0].sum() == ROWS // FACTOR or abs(samples.mean() * FACTOR - 1) <= 0.1
                )

    arguments = ["mask", "--config", str(config), "--dataset", "heads", "--acceleration", "4x"]
    return Hostile([*arguments, "--output", str(output)], shown, output, verify, refused)


def _expected(path: Path) -> NDArray[np.bool_]:
    """What a file says, read in another way than the pipeline reads it."""
    if path.suffix == ".npy":
        array = np.load(path)
        given = array if array.ndim == 2 else np.repeat(array[:, None], COLUMNS, axis=1)
        assert set(np.unique(given).tolist()) <= {0, 1}
        return given.astype(bool)
    text = path.read_text(encoding="utf-8-sig")
    rows = [row for row in csv.reader(text.splitlines()) if row and not row[0].startswith("#")]
    heading, *rest = rows
    assert all(len(row) == len(heading) for row in rest), "a row of another length"
    assert len(set(heading)) == len(heading), "two columns of one name"
    if "line" in heading:
        indices = [int(row[heading.index("line")]) for row in rest]
    else:
        named = [dict(zip(heading, row, strict=True)) for row in rest]
        (row,) = [
            r for r in named if (r["acceleration"], r["matrix_size"]) == ("4x", f"{ROWS}x{COLUMNS}")
        ]
        indices = [int(index) for index in row["sampled_lines"].split()]
    assert all(0 <= index < ROWS for index in indices)
    lines = np.zeros(ROWS, bool)
    lines[indices] = True
    return np.repeat(lines[:, None], COLUMNS, axis=1)
