"""Files of strangers that unpack to more than they seem, or are not what they say."""

from __future__ import annotations

import gzip
import hashlib
import json
import os
import struct
import zipfile
from pathlib import Path

import nibabel
import numpy as np
import pytest
import torch
from pydantic import ValidationError
from reporting_helpers import write_chain
from safetensors.torch import save
from unit_helpers import GOOD

from pipeline_src.config.load import read_yaml
from pipeline_src.data import nifti_files
from pipeline_src.data.nifti_files import read_nifti
from pipeline_src.errors import InputError
from pipeline_src.npz_files import reading_npz
from pipeline_src.provenance.lineage import trace
from pipeline_src.running.progress_file import Position
from pipeline_src.running.resume_state import StateFiles
from pipeline_src.tabular import read_rows


@pytest.mark.parametrize("kind", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_archives_that_numpy_does_not_write(kind: int, tmp_path: Path) -> None:
    """Two kilobytes of them unpack to two gigabytes."""
    np.savez(tmp_path / "good.npz", a=np.zeros(3))
    with zipfile.ZipFile(tmp_path / "good.npz") as good:
        content = good.read("a.npy")
    with zipfile.ZipFile(tmp_path / "a.npz", "w", kind) as file:
        file.writestr("a.npy", content)
    with (
        pytest.raises(InputError, match=r"save it anew with numpy\.savez"),
        reading_npz(tmp_path / "a.npz", "is no archive") as arrays,
    ):
        arrays["a"]


def a_nifti(path: Path, extensions: list[int]) -> Path:
    nibabel.save(nibabel.Nifti1Image(GOOD, np.eye(4)), path.with_name("plain.nii"))
    raw = path.with_name("plain.nii").read_bytes()
    head = bytearray(raw[:348])
    struct.pack_into("<f", head, 108, 352 + sum(extensions))
    parts = b"".join(struct.pack("<ii", n, 6) + bytes(n - 8) for n in extensions)
    content = bytes(head) + b"\1\0\0\0" + parts + raw[352:]
    path.write_bytes(gzip.compress(content) if path.suffix == ".gz" else content)
    return path


@pytest.mark.parametrize("name", ["a.nii", "a.nii.gz"])
def test_extensions_are_bounded_before_they_are_read(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = a_nifti(tmp_path / name, [4096, 8192])
    np.testing.assert_array_equal(read_nifti(path), GOOD)
    monkeypatch.setattr(nifti_files, "MOST_EXTENSIONS", 10_000)
    monkeypatch.setattr(nibabel, "load", lambda _: pytest.fail("it is read into memory"))
    with pytest.raises(InputError, match="save it anew without them"):
        read_nifti(path)


def test_the_xml_of_cifti_is_not_parsed(tmp_path: Path) -> None:
    image = nibabel.Nifti2Image(np.zeros((1, 1, 1, 1, 2, 2), np.float32), np.eye(4))
    image.header["intent_code"] = 3002
    image.header.extensions.append(nibabel.nifti1.Nifti1Extension(32, b"<!DOCTYPE a [<"))
    nibabel.save(image, tmp_path / "a.dscalar.nii")
    with pytest.raises(InputError, match="is a CIFTI file"):
        read_nifti(tmp_path / "a.dscalar.nii")


@pytest.mark.parametrize("suffix", [".mnc", ".gii", ".gii.gz"])
def test_other_kinds_are_not_opened(suffix: str, tmp_path: Path) -> None:
    (tmp_path / f"a{suffix}").write_bytes(b"<x")
    with pytest.raises(InputError, match="is no NIfTI file; convert it"):
        read_nifti(tmp_path / f"a{suffix}")


@pytest.mark.parametrize(
    "text",
    [
        *("!!bool x", "!!int ''", "!!float ''", "!!timestamp x", "!!map [1]", "!!set [1]"),
        *(r'"\UFFFFFFFF"', "0x" + "f" * 9000, "0b" + "1" * 20_000),
    ],
    ids=lambda text: text[:12],
)
def test_values_that_are_not_of_their_tag(text: str, tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text(f"study: {text}\n")
    with pytest.raises(InputError, match=r"a\.yaml: is not valid YAML"):
        read_yaml(tmp_path / "a.yaml")


def test_packed_tables_are_not_unpacked(tmp_path: Path) -> None:
    with gzip.open(tmp_path / "a.csv.gz", "wt") as file:
        file.write("a\n1\n")
    with pytest.raises(InputError, match="is compressed; unpack it first"):
        read_rows(tmp_path / "a.csv.gz", "metrics", ["a"])


def test_a_path_of_many_folders_is_looked_for_at_once(tmp_path: Path) -> None:
    """Every end of it would take the square of its length."""
    write_chain(tmp_path)
    table = tmp_path / "tables" / "main.md"
    manifest = table.with_suffix(".manifest.json")
    given = {"a": {"path": "a/../" * 100_000 + "zz", "sha256": "a"}}
    manifest.write_text(json.dumps(json.loads(manifest.read_text()) | {"inputs": given}))
    assert [step.problem for step in trace(table)] == ["", "is gone"]


@pytest.mark.parametrize(
    "facts", ["{}", '{"digest": 5}', '{"digest": "d", "gpu": [1]}', "[]", "[" * 100_000]
)
def test_a_state_that_does_not_say_of_what(
    facts: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    content = save({"a": torch.zeros(1)}, {"facts": facts})
    (tmp_path / "training.state").write_bytes(hashlib.sha256(content).digest() + content)
    assert StateFiles(tmp_path, "d").load() is None
    assert "is not a training state" in capsys.readouterr().err


def test_a_state_does_not_reach_the_terminal(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    content = save({"a": torch.zeros(1)}, {"facts": json.dumps({"digest": "\x1b[31mred"})})
    (tmp_path / "training.state").write_bytes(hashlib.sha256(content).digest() + content)
    os.mkfifo(tmp_path / "training.state.previous")
    assert StateFiles(tmp_path, "d").load() is None
    said = capsys.readouterr().err
    assert "\x1b" not in said
    assert "is a pipe or a device" in said


def test_progress_beyond_counting_is_no_progress() -> None:
    """It would be divided, which Python cannot do with whole numbers of any size."""
    given = dict.fromkeys(("number", "stages", "epoch", "epochs", "batch", "batches"), 10**400)
    with pytest.raises(ValidationError, match="less than or equal to"):
        Position.model_validate({"stage": "a", **given})
