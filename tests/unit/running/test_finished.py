"""Finished trainings are known by their digest, and survive what Snakemake deletes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from pipeline_src.files import sha256_file
from pipeline_src.running.finished import (
    forget,
    is_complete,
    restore_finished,
    set_aside,
    trained_folders,
)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "results" / "study" / "heads" / "4x" / "seed0" / "teacher"
    folder.mkdir(parents=True)
    (folder / "weights.safetensors").write_bytes(b"weights")
    outputs = {"weights.safetensors": sha256_file(folder / "weights.safetensors")}
    manifest = {"training_sha256": "mine", "outputs": outputs}
    (folder / "manifest.json").write_text(json.dumps(manifest))
    return folder


def test_complete_is_the_same_training_with_all_its_files(folder: Path) -> None:
    assert is_complete(folder, "mine")
    assert not is_complete(folder, "another")
    (folder / "weights.safetensors").write_bytes(b"other")
    assert not is_complete(folder, "mine")
    (folder / "weights.safetensors").unlink()
    assert not is_complete(folder, "mine")


def test_what_was_deleted_is_taken_back(folder: Path) -> None:
    set_aside(folder)
    for name in ("weights.safetensors", "manifest.json"):
        (folder / name).unlink()
    assert restore_finished(folder, "mine")
    assert is_complete(folder, "mine")
    assert sorted(p.name for p in folder.iterdir()) == ["manifest.json", "weights.safetensors"]


def test_what_another_training_left_is_not_taken(folder: Path) -> None:
    set_aside(folder)
    for name in ("weights.safetensors", "manifest.json"):
        (folder / name).unlink()
    assert not restore_finished(folder, "another")
    assert list(folder.iterdir()) == []


def test_a_damaged_file_is_not_taken(folder: Path) -> None:
    set_aside(folder)
    (folder / "weights.safetensors").unlink()
    (folder / "finished" / "weights.safetensors").write_bytes(b"cut")
    assert not restore_finished(folder, "mine")
    assert not (folder / "weights.safetensors").exists()


def test_setting_aside_leaves_the_result_as_it_is(folder: Path) -> None:
    set_aside(folder)
    assert is_complete(folder, "mine")
    forget(folder)
    assert is_complete(folder, "mine")
    assert not (folder / "finished").exists()


def test_half_a_result_is_not_set_aside(folder: Path) -> None:
    (folder / "weights.safetensors").unlink()
    set_aside(folder)
    assert [p.name for p in folder.iterdir()] == ["manifest.json"]


def test_trained_folders_are_those_with_a_training_manifest(folder: Path, tmp_path: Path) -> None:
    other = folder.parent / "student"
    other.mkdir()
    (other / "manifest.json").write_text("{}")
    assert list(trained_folders(tmp_path / "results")) == [folder]


@pytest.mark.parametrize(
    "name", ["../victim", "../../../../../../victim", "/victim", "training.lock", "a/b", "..", ""]
)
def test_a_manifest_that_names_other_files_moves_none(
    name: str, folder: Path, tmp_path: Path
) -> None:
    """Results of a stranger, in which the digest is that of the training that is to be run."""
    victim = tmp_path / "victim"
    victim.write_text("mine")
    aside = folder / "finished"
    aside.mkdir()
    name = str(victim) if name == "/victim" else name
    if name not in ("..", ""):
        planted = aside / ("planted" if "victim" in name else name)
        planted.parent.mkdir(exist_ok=True)
        planted.write_text("theirs")
        outputs = {name: sha256_file(victim if "victim" in name else planted)}
    else:
        outputs = {name: "0"}
    text = json.dumps({"training_sha256": "mine", "outputs": outputs})
    (aside / "manifest.json").write_text(text)
    before = sorted(p.name for p in folder.iterdir() if p.name != "finished")
    assert not restore_finished(folder, "mine")
    assert victim.read_text() == "mine"
    assert sorted(p.name for p in folder.iterdir()) == before
    (folder / "manifest.json").write_text(text)
    assert not is_complete(folder, "mine")
    set_aside(folder)
    assert not (folder / "finished").exists()


@pytest.mark.parametrize("linked", ["finished", "finished/weights.safetensors"])
def test_links_are_not_taken_back(linked: str, folder: Path, tmp_path: Path) -> None:
    set_aside(folder)
    (folder / linked).rename(tmp_path / "elsewhere")
    (folder / linked).symlink_to(tmp_path / "elsewhere")
    for name in ("weights.safetensors", "manifest.json"):
        (folder / name).unlink()
    assert not restore_finished(folder, "mine")
    assert not (folder / "weights.safetensors").exists()
    assert (tmp_path / "elsewhere").exists()


@pytest.mark.parametrize("outputs", [3, ["weights.safetensors"], None, "text"])
def test_a_manifest_of_another_shape_is_no_result(outputs: object, folder: Path) -> None:
    text = json.dumps({"training_sha256": "mine", "outputs": outputs})
    (folder / "manifest.json").write_text(text)
    assert not is_complete(folder, "mine")
    set_aside(folder)
    assert not (folder / "finished").exists()
