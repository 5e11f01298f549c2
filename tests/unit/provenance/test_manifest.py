"""Manifests are read as they were written, those of older versions too, and damage stays local."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from pipeline_src.errors import InputError
from pipeline_src.provenance.manifest import Manifest, write_manifest
from pipeline_src.provenance.run_recorder import RunRecorder


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A manifest as a training writes it."""
    for name in ("weights.safetensors", "mask.npz"):
        (tmp_path / name).write_text(name)
    path = tmp_path / "manifest.json"
    write_manifest(
        path,
        command="train",
        inputs={"mask": tmp_path / "mask.npz"},
        outputs=[tmp_path / "weights.safetensors"],
        settings={"model": "teacher"},
        code={"a.py": "d1g35t"},
        runs=[RunRecorder().so_far(), {"seconds": 2.5}],
        facts={"dataset": "heart", "training_sha256": "f1", "histories": ["history_a.csv"]},
    )
    return path


def alter(path: Path, **changes: Any) -> None:
    content = json.loads(path.read_text())
    path.write_text(json.dumps({k: v for k, v in (content | changes).items() if v is not ...}))


def test_what_was_written_is_read(path: Path) -> None:
    manifest = Manifest.read(path, "command", "inputs", "outputs", "settings", "code", "runs")
    assert manifest.command == "train"
    assert manifest.inputs["mask"].path == "mask.npz"
    assert list(manifest.outputs) == ["weights.safetensors"]
    assert (manifest.settings, manifest.code) == ({"model": "teacher"}, {"a.py": "d1g35t"})
    assert manifest.seconds == manifest.runs[0].seconds + 2.5
    assert (manifest.training_sha256, manifest.histories) == ("f1", ["history_a.csv"])
    assert manifest.get("dataset") == "heart"
    assert "dataset" in manifest
    assert manifest.get("acceleration", "none") == "none"


def test_labels_stand_before_what_went_in(path: Path) -> None:
    assert list(json.loads(path.read_text())) == [
        *("command", "dataset", "training_sha256", "histories"),
        *("inputs", "outputs", "settings", "code", "runs", "made_by"),
    ]


def test_runs_of_older_versions_are_read(path: Path) -> None:
    alter(path, runs=..., sittings=[{"started": "2026-01-01", "seconds": 3, "host": "a"}])
    manifest = Manifest.read(path, "runs")
    assert manifest.seconds == 3
    [run] = manifest.without_places(str)["runs"]
    assert run == {"started": "2026-01-01", "seconds": 3}


@pytest.mark.parametrize("damage", [None, 3, {"mask": {}}, ...])
def test_a_damaged_part_leaves_the_others(damage: Any, path: Path) -> None:
    alter(path, inputs=damage)
    manifest = Manifest.read(path, "command", "outputs")
    assert manifest.inputs == {}
    with pytest.raises(
        InputError, match=r"manifest\.json: is not a manifest .*\(inputs.*: "
    ) as error:
        manifest.require("outputs", "inputs")
    assert "run the workflow again" in str(error.value)


@pytest.mark.parametrize("text", ["[]", "3", "null", "{}"])
def test_what_is_no_manifest_tells_nothing(text: str, path: Path) -> None:
    path.write_text(text)
    assert Manifest.read(path).is_empty
    with pytest.raises(InputError, match="command: is missing"):
        Manifest.read(path, "command")


def test_places_are_left_out_and_nothing_else(path: Path) -> None:
    content = json.loads(path.read_text())
    public = Manifest.read(path).without_places(lambda place: f"/data/{place}")
    content["inputs"]["mask"]["path"] = "/data/mask.npz"
    for name in ("host", "job", "gpus"):
        del content["runs"][0][name]
    assert json.dumps(public) == json.dumps(content)
