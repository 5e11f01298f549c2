"""On a full disk every command that writes says so in one line and leaves nothing half-written."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from crate_helpers import make_results
from system_fixtures import run_on_small_disk
from training_helpers import CONFIGURATION, SIZE, study_with
from unit_helpers import one_line

from pipeline_src.cli import main
from pipeline_src.config.networks import Network
from pipeline_src.models.weights import save_weights
from pipeline_src.training.builder import fresh_network

pytest_plugins = ["system_fixtures"]


@pytest.fixture
def made(tmp_path: Path, write_config: Any) -> dict[str, str]:
    """What the commands read, by name."""
    config = write_config(CONFIGURATION)
    store, mask, model = tmp_path / "volumes.h5", tmp_path / "mask.npz", tmp_path / "disk/student"
    named = ("--config", str(config), "--dataset", "tiny")
    assert main(["prepare", *named, "--output", str(store)]) == 0
    assert main(["mask", *named, "--acceleration", "4x", "--output", str(mask)]) == 0
    weights = model / "weights.safetensors"
    save_weights(weights, fresh_network(study_with().networks.student, 0, "student"))
    checkpoint = tmp_path / "checkpoint.pt"
    assert main(["export-weights", "--student", str(weights), "--output", str(checkpoint)]) == 0
    setting = ("--dataset", "tiny", "--acceleration", "4x", "--part", "test")
    measured, scan = tmp_path / "zero_filled", tmp_path / "scan.npy"
    np.save(scan, np.random.default_rng(0).random((SIZE, SIZE, 1), dtype=np.float32))
    given = ("--data", str(store), "--mask", str(mask))
    assert main(["evaluate", "--zero-filled", str(measured), *given, *setting]) == 0
    return {name: str(path) for name, path in locals().items() if isinstance(path, Path)}


def commands(made: dict[str, str], disk: Path, results: Path) -> dict[str, list[str]]:
    """Each command that writes, with outputs on the disk."""
    named = ["--config", made["config"], "--dataset", "tiny"]
    files_ = ["--data", made["store"], "--mask", made["mask"]]
    setting = ["--dataset", "tiny", "--acceleration", "4x"]
    student = [*named, "--acceleration", "4x", "--model", "student", "--seed", "0"]

    def at(name: str) -> list[str]:
        return ["--output", str(disk / "out" / name)]

    metrics = f"{made['measured']}/volumes.csv"
    trained = ["--model", made["model"], "--trained-mask", made["mask"]]
    pair = ["--teacher", made["weights_"], "--student", made["weights_"]]
    return {
        "prepare": ["prepare", *named, *at("volumes.h5")],
        "mask": ["mask", *named, "--acceleration", "4x", *at("mask.npz")],
        "train": ["train", *student, *files_, *at("model")],
        "evaluate": ["evaluate", made["model"], *files_, *setting, "--part", "test"],
        "tables": ["tables", metrics, *at("tables")],
        "figure": ["figure", "mask", made["mask"], *at("mask.png")],
        "reconstruct": ["reconstruct", made["scan"], *trained, *at("made")],
        "bundle": ["bundle", made["model"], *trained[2:], *at("bundle")],
        "cost": ["cost", *pair, *files_, "--repeats", "1", *at("cost.csv")],
        "crate": ["crate", str(results), *at("study.zip")],
        "import": ["import-weights", made["checkpoint"], *at("imported")],
        "export": ["export-weights", "--student", f"{made['weights_']}", *at("c.pt")],
        "schema": ["schema", str(disk)],
    }


def test_every_command_says_so_and_leaves_nothing(
    disk: Path, made: dict[str, str], tmp_path: Path
) -> None:
    made["weights_"] = str(shutil.copy(made["weights"], tmp_path / "weights.safetensors"))
    asked = commands(made, disk, make_results(tmp_path))
    for name, found in zip(asked, run_on_small_disk(disk, 0, [*asked.values()]), strict=True):
        assert found.status == 2, (name, found)
        assert found.left == [], name
        assert "(No space left on device" in one_line(found.said), name


@pytest.mark.parametrize("room", [4096, 40960])
def test_a_disk_that_fills_up_meanwhile(
    room: int, disk: Path, made: dict[str, str], tmp_path: Path
) -> None:
    """The first bytes are written, and the rest finds no place."""
    weights = tmp_path / "weights.safetensors"
    save_weights(weights, fresh_network(Network(depth=5, features=32), 0, "student"))
    named = ["--config", made["config"], "--dataset", "tiny"]
    named += ["--set", "datasets.tiny.source.matrix=128"]
    named += ["--set", "datasets.tiny.preparation.matrix=[128,128]"]
    out = disk / "out"
    checkpoint = tmp_path / "large.pt"
    assert main(["export-weights", "--student", str(weights), "--output", str(checkpoint)]) == 0
    asked = [
        ["prepare", *named, "--output", str(out / "volumes.h5")],
        ["export-weights", "--student", str(weights), "--output", str(out / "c.pt")],
        ["import-weights", str(checkpoint), "--output", str(out)],
    ]
    for words, found in zip(asked, run_on_small_disk(disk, room, asked), strict=True):
        assert found.status == 2, (words, found)
        assert found.left == [], words
        assert "(No space left on device)" in one_line(found.said)


@pytest.mark.parametrize(
    ("raised", "line"),
    [
        (OSError(28, "No space left on device"), "error: No space left on device\n"),
        (OSError(5, "Input/output error", "a/b"), "error: a/b: Input/output error\n"),
        (OSError("two\nlines"), "error: two lines\n"),
        (MemoryError(), "error: not enough memory\n"),
        (
            MemoryError("Unable to allocate 9 TiB"),
            "error: not enough memory (Unable to allocate 9 TiB)\n",
        ),
    ],
)
def test_what_the_system_refuses_is_one_line(
    raised: Exception,
    line: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def schema(*_: Any) -> None:
        raise raised

    monkeypatch.setattr("pipeline_src.commands.schema.schema", schema)
    assert main(["schema", "."]) == 2
    assert one_line(capsys.readouterr().err).startswith(line)
