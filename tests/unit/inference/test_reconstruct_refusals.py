"""What cannot be reconstructed is refused in one line, and leaves nothing."""

from __future__ import annotations

import gzip
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import h5py
import nibabel
import numpy as np
import pytest
from inference_helpers import SIZE, blobs, kspace_of, trained
from unit_helpers import one_line, rewrite

from pipeline_src.cli import main
from pipeline_src.text import printable

Output = pytest.CaptureFixture[str]


def nifti(path: Path, array: object) -> Path:
    nibabel.save(nibabel.Nifti1Image(np.asarray(array), np.eye(4)), path)
    return path


def with_value(value: float) -> np.ndarray:
    image = blobs(SIZE, SIZE, 3)
    image[4, 4, 1] = value
    return image


def saved(path: Path, array: object) -> Path:
    np.save(path, np.asarray(array))
    return path


def truncated(path: Path) -> Path:
    nifti(path.with_name("whole.nii.gz"), blobs(SIZE, SIZE, 3))
    path.write_bytes(gzip.compress(gzip.decompress(path.with_name("whole.nii.gz").read_bytes())))
    path.write_bytes(path.read_bytes()[:500])
    return path


BAD: dict[str, tuple[str, Callable[[Path], Path], str]] = {
    "NaN": ("a.nii", lambda p: nifti(p, with_value(np.nan)), "1 NaN or infinite"),
    "infinity": ("a.npy", lambda p: saved(p, with_value(np.inf)), "1 NaN or infinite"),
    "negative": ("a.npy", lambda p: saved(p, with_value(-1)), "negative values (minimum -1)"),
    "all negative": ("a.nii", lambda p: nifti(p, -blobs(SIZE, SIZE, 3)), "negative values (min"),
    "zero": ("a.nii", lambda p: nifti(p, np.zeros((SIZE, SIZE, 3), np.float32)), "zero everywhere"),
    "four axes": ("a.nii", lambda p: nifti(p, blobs(SIZE, SIZE, 3, 2)), "4-D"),
    "coils": ("a.npy", lambda p: saved(p, np.ones((2, 3, SIZE, SIZE), complex)), "4-D"),
    "no axis": ("a.npy", lambda p: saved(p, 3.0), "0-D"),
    "no slice": ("a.npy", lambda p: saved(p, np.ones((SIZE, SIZE, 0))), "is empty"),
    "empty file": ("a.nii", lambda p: _written(p, b""), "empty (0 bytes)"),
    "text": ("a.nii.gz", lambda p: _written(p, b"no image at all"), "not a NIfTI file"),
    "truncated": ("a.nii.gz", truncated, "truncated"),
    "no archive": ("a.npz", lambda p: _written(p, b"PK\3\4 and no more"), "not a NumPy archive"),
    "single array": ("a.npz", lambda p: _single(p), "is a single array and no archive"),
    "pipe": ("a.npy", lambda p: _pipe(p), "is a pipe or a device"),
    "scalar": ("a.h5", lambda p: _hdf5(p, image=3.0), "is 0-D (shape none)"),
    "null": ("a.h5", lambda p: _hdf5(p, image=h5py.Empty("f4")), "image is an empty data set"),
    "beyond single precision": (
        "a.npy",
        lambda p: saved(p, np.full((SIZE, SIZE, 1), 1e300)),
        "within single precision",
    ),
    "k-space beyond single precision": (
        "a.npz",
        lambda p: _kspace(p, 1e300),
        "within single precision",
    ),
    "name in Latin-1": (
        "a\udce9.npy",
        lambda p: saved(p, blobs(SIZE, SIZE, 1)),
        "this name is no UTF-8",
    ),
    "objects": ("a.npy", lambda p: saved(p, np.array([{}, 1])), "not a NumPy array"),
    "text array": ("a.npy", lambda p: saved(p, np.full((SIZE, SIZE), "a")), "type <U1"),
    "other keys": ("a.h5", lambda p: _hdf5(p, slices=np.ones(3)), "keys: slices"),
    "no HDF5": ("a.h5", lambda p: _written(p, b"nothing"), "not an HDF5"),
    "unknown": ("a.dcm", lambda p: _written(p, b"DICM"), "the sample.safetensors of a bundle"),
    "pointer": (
        "a.nii",
        lambda p: _written(p, b"version https://git-lfs.github.com/spec/v1\n"),
        "git lfs pull",
    ),
}


def _written(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    return path


def _hdf5(path: Path, **keys: object) -> Path:
    rewrite(path, **keys)
    return path


def _single(path: Path) -> Path:
    with path.open("wb") as stream:
        np.save(stream, blobs(SIZE, SIZE, 1))
    return path


def _pipe(path: Path) -> Path:
    os.mkfifo(path)
    return path


def _kspace(path: Path, factor: float) -> Path:
    mask = trained(path.parent).mask.samples
    kspace = kspace_of(blobs(SIZE, SIZE, 1), mask).astype(complex)
    np.savez(path, kspace=factor * kspace, mask=mask)
    return path


@pytest.mark.parametrize("kind", BAD)
def test_bad_input(kind: str, tmp_path: Path, capsys: Output) -> None:
    name, make, fragment = BAD[kind]
    path = make(tmp_path / name)
    assert trained(tmp_path).reconstruct(tmp_path / "out", path) == 2
    line = one_line(capsys.readouterr().err)
    assert fragment in line
    assert printable(str(path)) in line
    assert [p for p in (tmp_path / "out").rglob("*") if p.is_file()] == []


def test_nothing_there(tmp_path: Path, capsys: Output) -> None:
    model = trained(tmp_path)
    (tmp_path / "empty").mkdir()
    (tmp_path / "out").mkdir()
    saved(tmp_path / "out/a.npy", blobs(SIZE, SIZE, 1))
    for given, fragment in (
        (tmp_path / "none.nii", "does not exist"),
        (tmp_path / "*.nii", "no file matches"),
        (tmp_path / "empty", "holds no file"),
        (tmp_path / "out", "out: holds the files of"),
    ):
        assert model.reconstruct(tmp_path / "out", given) == 2
        assert fragment in one_line(capsys.readouterr().err)


def test_two_inputs_of_one_name(tmp_path: Path, capsys: Output) -> None:
    one = saved(tmp_path / "a.npy", blobs(SIZE, SIZE, 1))
    two = nifti(tmp_path / "a.nii", blobs(SIZE, SIZE, 1))
    assert trained(tmp_path).reconstruct(tmp_path / "out", one, two) == 2
    assert "would be named a" in one_line(capsys.readouterr().err)


def test_the_input_is_never_overwritten(tmp_path: Path, capsys: Output) -> None:
    path = saved(tmp_path / "a.npy", blobs(SIZE, SIZE, 1))
    before = path.read_bytes()
    assert trained(tmp_path).reconstruct(tmp_path, path) == 2
    assert "is the input itself" in one_line(capsys.readouterr().err)
    assert path.read_bytes() == before


def test_a_file_of_others_is_never_overwritten(tmp_path: Path, capsys: Output) -> None:
    """A sidecar of BIDS has the name that the facts would have."""
    path = saved(tmp_path / "a.npy", blobs(SIZE, SIZE, 1))
    (tmp_path / "out").mkdir()
    for content in ('{"EchoTime": 0.01}', "{"):
        (tmp_path / "out/a.json").write_text(content)
        assert trained(tmp_path).reconstruct(tmp_path / "out", path) == 2
        assert str(tmp_path / "out/a.json") in one_line(capsys.readouterr().err)
        assert (tmp_path / "out/a.json").read_text() == content


@pytest.mark.parametrize("name", ["a.npy", "a.png"])
def test_a_result_that_was_not_made_here_is_never_overwritten(
    name: str, tmp_path: Path, capsys: Output
) -> None:
    path = saved(tmp_path / "a.npy", blobs(SIZE, SIZE, 1))
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / name).write_text("mine")
    assert trained(tmp_path).reconstruct(tmp_path / "out", path) == 2
    assert f"{name} lies there" in one_line(capsys.readouterr().err)
    assert (tmp_path / "out" / name).read_text() == "mine"


def npy_header(text: str) -> bytes:
    return b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text.encode()


@pytest.mark.parametrize("shape", ["(-1, 16, 16)", "(10**30, 16)".replace("10**30", "9" * 30)])
def test_sizes_that_cannot_be_are_one_line(shape: str, tmp_path: Path, capsys: Output) -> None:
    header = f"{{'descr': '<f4', 'fortran_order': False, 'shape': {shape}}}\n"
    (tmp_path / "a.npy").write_bytes(npy_header(header))
    assert trained(tmp_path).reconstruct(tmp_path / "out", tmp_path / "a.npy") == 2
    assert "a.npy" in one_line(capsys.readouterr().err)


def test_numbers_beyond_those_of_the_network_are_one_line(tmp_path: Path, capsys: Output) -> None:
    np.save(tmp_path / "a.npy", np.full((SIZE, SIZE, 1), 1e300))
    assert trained(tmp_path).reconstruct(tmp_path / "out", tmp_path / "a.npy") == 2
    assert "NaN or infinite" in one_line(capsys.readouterr().err)


@pytest.mark.parametrize(
    ("words", "fragment"),
    [
        (["--batch", "0"], "--batch 0"),
        (["--threads", "-1"], "--threads -1"),
        (["--threads", "5000"], "--threads 5000: must be 1024 or less"),
        (["--output", "out\udce9"], "this name is no UTF-8"),
        (["--scale", "0"], "--scale 0"),
        (["--scale", "nan"], "--scale nan"),
        (["--mask", "no.npy"], "no.npy: mask cannot be read"),
    ],
)
def test_options_that_cannot_be(
    words: list[str],
    fragment: str,
    tmp_path: Path,
    capsys: Output,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    path = saved(tmp_path / "a.npy", blobs(SIZE, SIZE, 1))
    assert trained(tmp_path).reconstruct(tmp_path / "out", path, *words) == 2
    assert fragment in one_line(capsys.readouterr().err)


def test_a_folder_that_is_no_model(tmp_path: Path, capsys: Output) -> None:
    path = saved(tmp_path / "a.npy", blobs(SIZE, SIZE, 1))
    model = trained(tmp_path)
    (tmp_path / "student/notes").mkdir()
    for folder, fragment in (
        (tmp_path / "none", "does not exist"),
        (tmp_path / "student/notes", "has neither weights.safetensors"),
        (model.folder, "--trained-mask"),
    ):
        words = ["--model", str(folder), "--output", str(tmp_path / "out"), str(path)]
        assert main(["reconstruct", *words]) == 2
        assert fragment in one_line(capsys.readouterr().err)


def test_a_pickle_in_place_of_weights(tmp_path: Path, capsys: Output) -> None:
    """It is not read as one: what it would run makes a file."""
    import pickle

    class Evil:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            return shutil.rmtree, (str(tmp_path / "precious"),)

    (tmp_path / "precious").mkdir()
    path = saved(tmp_path / "a.npy", blobs(SIZE, SIZE, 1))
    model = trained(tmp_path)
    (model.folder / "weights.safetensors").write_bytes(pickle.dumps(Evil()))
    assert model.reconstruct(tmp_path / "out", path) == 2
    assert "weights cannot be read" in one_line(capsys.readouterr().err)
    assert (tmp_path / "precious").is_dir()
