"""A result counts as done only if it is what is asked for now, and stands alone in its place."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest
from inference_helpers import SIZE, blobs, facts, trained
from unit_helpers import one_line

from pipeline_src.files import write_json
from pipeline_src.inference import batch
from pipeline_src.inference.result_files import BOUND
from pipeline_src.locks import alone_in

Output = pytest.CaptureFixture[str]


def test_another_slice_axis_is_another_result(tmp_path: Path, capsys: Output) -> None:
    model = trained(tmp_path)
    np.save(tmp_path / "cube.npy", blobs(SIZE, SIZE, SIZE))
    assert model.reconstruct(tmp_path / "out", tmp_path / "cube.npy") == 0
    first = np.load(tmp_path / "out/cube.npy")
    capsys.readouterr()
    words = ("--slice-axis", "0", tmp_path / "cube.npy")
    assert model.reconstruct(tmp_path / "out", *words) == 0
    assert "1 reconstructed" in capsys.readouterr().out
    assert np.abs(np.load(tmp_path / "out/cube.npy") - first).max() > 0.01
    told = facts(tmp_path / "out", "cube")["input"]["slices_along"]
    assert told == {"axis": 0, "orientation": None}


def test_pictures_can_be_left_out_and_made_later(tmp_path: Path, capsys: Output) -> None:
    model, out = trained(tmp_path), tmp_path / "out"
    np.save(tmp_path / "a.npy", blobs(SIZE, SIZE, 1))
    rounds = (
        (("--no-pictures",), "1 reconstructed;", ["a.npy"]),
        (("--no-pictures",), "1 existed already", ["a.npy"]),
        ((), "1 reconstructed;", ["a.npy", "a.png"]),
        # A picture of the same result may stay; of another one it goes.
        (("--no-pictures",), "1 existed already", ["a.npy", "a.png"]),
        (("--no-pictures", "--scale", "2"), "1 reconstructed;", ["a.npy"]),
    )
    for words, said, left in rounds:
        assert model.reconstruct(out, *words, tmp_path / "a.npy") == 0
        assert said in capsys.readouterr().out
        assert sorted(path.name for path in out.iterdir() if path.suffix != ".json") == left
        assert sorted(facts(out, "a")["outputs"]) == left


def test_what_a_killed_run_has_left_does_not_stay_beside_another_result(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, out = trained(tmp_path), tmp_path / "out"
    np.save(tmp_path / "a.npy", blobs(SIZE, SIZE, 1))
    assert model.reconstruct(out, tmp_path / "a.npy") == 0
    begun: list[bytes] = []

    def keep_begun(path: Path, *given: Any) -> None:
        begun.append((out / "a.json").read_bytes())

    monkeypatch.setattr(batch.Run, "_write_sheet", keep_begun)
    assert model.reconstruct(out, "--scale", "2", tmp_path / "a.npy") == 0
    (out / "a.json").write_bytes(begun[0])
    (out / "a.png").write_bytes(b"of the run before")
    assert model.reconstruct(out, "--scale", "2", "--no-pictures", tmp_path / "a.npy") == 0
    assert not (out / "a.png").exists()


def test_temporary_files_of_a_killed_run_go_wanted_or_not(tmp_path: Path) -> None:
    model, out = trained(tmp_path), tmp_path / "out"
    np.save(tmp_path / "a.npy", blobs(SIZE, SIZE, 1))
    out.mkdir()
    for name in ("a.01234567.json", "a.01234567.npy", "a.01234567.png", f"a{BOUND}.01234567.npy"):
        (out / f".{name}").touch()
    assert model.reconstruct(out, "--no-pictures", tmp_path / "a.npy") == 0
    assert not list(out.glob(".a.*"))


def test_results_are_no_inputs_however_their_folder_is_called(tmp_path: Path) -> None:
    model, scans = trained(tmp_path), tmp_path / "scans"
    scans.mkdir()
    np.save(scans / "a.npy", blobs(SIZE, SIZE, 1))
    (tmp_path / "link").symlink_to(scans)
    for given in (tmp_path / "other/../scans", tmp_path / "link"):
        (tmp_path / "other").mkdir(exist_ok=True)
        for _ in range(2):
            assert model.reconstruct(given / "out", given) == 0
        made = sorted(path.name for path in (scans / "out").glob("**/*.npy"))
        assert made == ["a.npy"]


@pytest.mark.parametrize("name", ["a.nii.gz", "a.NII.GZ"])
def test_a_damaged_file_is_refused_however_its_suffix_is_written(
    name: str, tmp_path: Path, capsys: Output
) -> None:
    model = trained(tmp_path)
    nibabel.save(nibabel.Nifti1Image(blobs(SIZE, SIZE, 3), np.eye(4)), tmp_path / "good.nii.gz")
    content = bytearray((tmp_path / "good.nii.gz").read_bytes())
    content[-8] ^= 1  # of the checksum
    (tmp_path / name).write_bytes(content)
    assert model.reconstruct(tmp_path / "out", tmp_path / name) == 2
    assert "CRC" in one_line(capsys.readouterr().err)
    shutil.copy(tmp_path / "good.nii.gz", tmp_path / name)
    assert model.reconstruct(tmp_path / "out", tmp_path / name) == 0
    assert (tmp_path / "out/a.nii.gz").read_bytes()[:2] == b"\x1f\x8b"


@pytest.mark.parametrize("value", [np.nan, 0.0])
def test_an_affine_that_points_nowhere_hinders_nothing(value: float, tmp_path: Path) -> None:
    model = trained(tmp_path)
    image = nibabel.Nifti1Image(blobs(SIZE, SIZE, 3), np.eye(4))
    image.header["srow_x"] = value
    image.header["sform_code"], image.header["qform_code"] = 1, 0
    image.header.set_slope_inter(1, 0)
    made = nibabel.Nifti1Image(np.asarray(image.dataobj), None, image.header)
    nibabel.save(made, tmp_path / "a.nii")
    assert model.reconstruct(tmp_path / "out", tmp_path / "a.nii") == 0
    assert (tmp_path / "out/a.png").exists()


def test_what_belongs_to_an_earlier_result_goes_with_it(tmp_path: Path) -> None:
    model = trained(tmp_path)
    np.save(tmp_path / "a.npy", blobs(SIZE, SIZE, 1))
    assert model.reconstruct(tmp_path / "out", tmp_path / "a.npy") == 0
    bound, other = tmp_path / f"out/a{BOUND}.npy", tmp_path / "out/b.npy"
    told = facts(tmp_path / "out", "a")
    for path in (bound, other):
        path.write_bytes(b"")
    write_json(tmp_path / "out/a.json", told | {"outputs": {bound.name: "", "b.npy": ""}})
    assert model.reconstruct(tmp_path / "out", "--scale", "2", tmp_path / "a.npy") == 0
    assert not bound.exists()
    assert other.exists()


def test_two_runs_are_not_in_one_folder(tmp_path: Path, capsys: Output) -> None:
    model = trained(tmp_path)
    np.save(tmp_path / "a.npy", blobs(SIZE, SIZE, 1))
    (tmp_path / "out").mkdir()
    with alone_in(tmp_path / "out", "reconstruct"):
        assert model.reconstruct(tmp_path / "out", tmp_path / "a.npy") == 2
    assert "another reconstruct works in it" in one_line(capsys.readouterr().err)
    assert model.reconstruct(tmp_path / "out", tmp_path / "a.npy") == 0


def test_the_code_is_digested_once_for_all_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """For each small file anew, that took a tenth of the time."""
    asked, real = [], batch.digests
    monkeypatch.setattr(batch, "digests", lambda files: asked.append(1) or real(files))
    for name in "abc":
        np.save(tmp_path / f"{name}.npy", blobs(SIZE, SIZE, 1))
    assert trained(tmp_path).reconstruct(tmp_path / "out", *tmp_path.glob("*.npy")) == 0
    assert len(asked) == 1
