"""What is refused when a study is packed, from a finished study made by hand."""

from __future__ import annotations

import json
import shutil
import zipfile
from pathlib import Path

import pytest
from crate_helpers import (
    FOLDER,
    SECRET,
    put,
)

from pipeline_src.errors import InputError
from pipeline_src.provenance.crate import write_crate

pytest_plugins = ["crate_fixtures"]


# What is refused.


def refused(results: Path) -> str:
    output = results.parent / "out" / "crate.zip"
    with pytest.raises(InputError) as caught:
        write_crate(results, output)
    assert not output.parent.exists()
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize(
    "name",
    [
        "config.yaml",
        "tiny/volumes.h5",
        "tiny/4x/mask.npz",
        "tiny/4x/zero_filled/volumes.csv",
        f"{FOLDER}sft_teacher@terms.alone/weights.safetensors",
        f"{FOLDER}sft_kd_at/history_features.csv",
        f"{FOLDER}student/slices.csv",
        f"{FOLDER}student/manifest.json",
        "tables/main.csv",
        "report.html",
        # Named by manifests alone.
        f"{FOLDER}sft_teacher/student_weights.safetensors",
        f"{FOLDER}teacher/panel.npz",
        "figures/tiny/4x/mask.pdf",
    ],
)
def test_an_unfinished_study(name: str, results: Path) -> None:
    (results / name).unlink()
    assert f"{results / name}: is missing" in refused(results)


def test_the_first_missing_file_is_named(results: Path) -> None:
    for name in ("report.html", "tables/main.csv", "tiny/4x/mask.npz"):
        (results / name).unlink()
    assert refused(results).startswith(f"{results / 'tiny/4x/mask.npz'}: is missing")


def test_no_results_at_all(tmp_path: Path) -> None:
    results = tmp_path / "nothing"
    assert refused(results).startswith(f"{results / 'config.yaml'}: is missing")


def test_a_file_that_is_not_what_was_made(results: Path) -> None:
    path = put(results / FOLDER / "student/history_reconstruction.csv", "edited")
    assert f"{path}: is not the file that its manifest describes" in refused(results)


def test_a_file_that_changed_after_it_was_read(results: Path) -> None:
    path = put(results / "tiny/4x/mask.npz", "drawn anew")
    line = refused(results)
    assert f"{path}: has changed" in line
    assert "manifest.json" in line


@pytest.mark.parametrize("key", ["command", "inputs", "outputs", "runs", "made_by"])
def test_a_manifest_that_lacks_something(key: str, results: Path) -> None:
    path = results / FOLDER / "student/manifest.json"
    content = json.loads(path.read_text())
    del content[key]
    path.write_text(json.dumps(content))
    line = refused(results)
    assert f"{path}: is not a manifest of this pipeline" in line
    assert key in line


def test_a_manifest_that_is_no_mapping(results: Path) -> None:
    path = put(results / FOLDER / "student/manifest.json", "[1, 2]")
    assert f"{path}: is not a manifest" in refused(results)
    put(path, "{")
    assert f"{path}: is not valid JSON" in refused(results)


def test_no_time_anywhere(results: Path) -> None:
    for path in results.rglob("*manifest.json"):
        path.write_text(json.dumps(json.loads(path.read_text()) | {"runs": []}))
    assert "no manifest in it tells when" in refused(results)


def test_a_write_that_fails_leaves_nothing(
    results: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(shutil, "copyfileobj", full)
    output = tmp_path / "out" / "c.zip"
    with pytest.raises(InputError, match="No space left"):
        write_crate(results, output)
    assert list(output.parent.iterdir()) == []


def test_a_link_out_of_the_results_is_not_packed(results: Path, tmp_path: Path) -> None:
    secret = put(tmp_path / "secret", SECRET)
    (results / "tables/note.csv").symlink_to(secret)
    with pytest.raises(InputError) as caught:
        write_crate(results, tmp_path / "out/x.zip")
    line = f"{results / 'tables/note.csv'}: is a link to {secret.resolve()}, outside the results"
    assert str(caught.value).startswith(line)
    assert not (tmp_path / "out").exists()


def test_links_within_the_results_and_to_them_are_followed(results: Path, tmp_path: Path) -> None:
    (results / "tables/main.md").symlink_to("main.csv")
    (tmp_path / "elsewhere").symlink_to(results)
    write_crate(tmp_path / "elsewhere", tmp_path / "x.zip")
    with zipfile.ZipFile(tmp_path / "x.zip") as file:
        assert file.read("tables/main.md") == file.read("tables/main.csv")
