"""Files of strangers that are larger than they say, that have no end, or that cannot be written
again."""

from __future__ import annotations

import gzip
import json
import os
import struct
from pathlib import Path

import nibabel
import numpy as np
import pytest
from unit_helpers import one_line

from pipeline_src.cli import main
from pipeline_src.data import nifti_files
from pipeline_src.data.nifti_files import read_nifti
from pipeline_src.errors import LONGEST, InputError
from pipeline_src.evaluation.metrics_files import read_metrics
from pipeline_src.files import read_bytes, read_json, sha256_file
from pipeline_src.npz_files import reading_npz
from pipeline_src.reporting.report import embedded_image
from pipeline_src.sampling.given_masks import mask_from_file

GOOD = np.arange(4 * 5 * 2, dtype=np.float32).reshape(4, 5, 2)


@pytest.mark.parametrize("change", ["no place of the pixels", "no length of the header"])
def test_extensions_are_bounded_as_nibabel_reads_them(
    change: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    raw = nibabel.Nifti1Image(GOOD, np.eye(4)).to_bytes()
    head = bytearray(raw[:348])
    if change == "no place of the pixels":
        struct.pack_into("<f", head, 108, 0)
    else:
        struct.pack_into("<f", head, 108, 352 + 4096)
        struct.pack_into("<i", head, 0, 0)
    long = struct.pack("<ii", 4096, 6) + bytes(4088)
    (tmp_path / "a.nii.gz").write_bytes(gzip.compress(head + b"\1\0\0\0" + long + raw[352:]))
    monkeypatch.setattr(nifti_files, "MOST_EXTENSIONS", 2048)
    monkeypatch.setattr(nibabel, "load", lambda _: pytest.fail("it is read into memory"))
    with pytest.raises(InputError, match="save it anew"):
        read_nifti(tmp_path / "a.nii.gz")


@pytest.mark.skipif(not Path("/proc/self/pagemap").exists(), reason="this system has no /proc")
def test_files_of_the_system_without_an_end_are_empty() -> None:
    """They say that they have no bytes."""
    path = Path("/proc/self/pagemap")
    assert sha256_file(path) == sha256_file(Path("/proc/self/status")) != ""
    assert read_bytes(path) == b""


def test_figures_and_captions_that_are_pipes_are_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "dag.png")
    with pytest.raises(InputError, match=r"dag\.png: cannot be read \(is a pipe"):
        embedded_image(tmp_path / "dag.png")
    with (tmp_path / "large.png").open("wb") as stream:
        stream.truncate(1 << 40)
    with pytest.raises(InputError, match="larger than any"):
        embedded_image(tmp_path / "large.png")


def test_a_table_of_too_many_columns_is_one_line(tmp_path: Path) -> None:
    path = tmp_path / "wide.csv"
    path.write_text("," * 300_000 + "\n")
    with pytest.raises(InputError, match="more than 500 columns"):
        read_metrics([path])
    with pytest.raises(InputError, match="more than 500 columns"):
        mask_from_file(path, (16, 16), 4)
    path.write_text("a" * (2 << 20))
    with pytest.raises(InputError, match="more than 500 columns"):
        read_metrics([path])


def test_a_message_that_quotes_a_book_is_short() -> None:
    said = str(InputError(f"file.csv: holds {'9' * 10**6}, where 1 is due"))
    assert len(said) < LONGEST
    assert said.startswith("file.csv: holds 999")
    assert said.endswith("999, where 1 is due")


@pytest.mark.parametrize("header", [b"{'descr': (", b"{'descr':\n  1"])
def test_a_header_that_is_no_python_is_one_line(header: bytes, tmp_path: Path) -> None:
    import zipfile

    content = b"\x93NUMPY\1\0" + struct.pack("<H", len(header)) + header
    with zipfile.ZipFile(tmp_path / "a.npz", "w") as file:
        file.writestr("a.npy", content)
    with (
        pytest.raises(InputError, match="is no archive"),
        reading_npz(tmp_path / "a.npz", "is no archive") as arrays,
    ):
        arrays["a"]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('{"model": "\\ud800"}', "surrogates not allowed"),
        ('{"a": "\\uD83D\\uDE00"}', ""),
        ("[" * 150 + "]" * 150, "nests deeper than 100 levels"),
        ('{"a":' * 99 + "1" + "}" * 99, ""),
    ],
)
def test_json_that_cannot_be_written_again_is_refused(text: str, said: str, tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_text(text)
    if not said:
        assert read_json(path) == json.loads(text)
        return
    with pytest.raises(InputError, match=said):
        read_json(path)


@pytest.mark.parametrize("key", ["\\ud800", "a\\udfff"])
def test_keys_that_are_halves_of_a_pair_are_one_line(
    key: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "a.yaml").write_text(f'"{key}": 1\n')
    assert main(["check", "--config", str(tmp_path / "a.yaml")]) == 2
    one_line(capsys.readouterr().err)
