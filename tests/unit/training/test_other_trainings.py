"""A training's folder, state and starting weights are never taken for those of another."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import yaml
from training_helpers import CONFIGURATION, Files
from unit_helpers import one_line

from pipeline_src.cli import main

pytest_plugins = ["shared_fixtures"]
Output = pytest.CaptureFixture[str]
#: So that teacher and student have weights of the same shapes.
EQUAL = {
    "networks": {
        role: {"depth": 3, "cascades": 2, "features": 4} for role in ("teacher", "student")
    }
}


@pytest.fixture
def configured(tmp_path: Path) -> Path:
    path = tmp_path / "study.yaml"
    path.write_text(yaml.safe_dump(CONFIGURATION | EQUAL))
    return path


def train(configured: Path, files: Files, model: str, output: Path, *words: str | Path) -> int:
    given = ("--config", configured, "--data", files.store, "--mask", files.mask)
    setting = ("--dataset", "tiny", "--acceleration", "4x", "--model", model, "--seed", "0")
    return main(["train", *map(str, (*given, *setting, *words, "--output", output))])


def test_files_that_are_swapped_are_refused(
    configured: Path, files: Files, tmp_path: Path, capsys: Output
) -> None:
    sft, out = tmp_path / "sft", tmp_path / "out"
    assert train(configured, files, "sft_teacher", sft) == 0
    capsys.readouterr()
    weights, blocks = sft / "weights.safetensors", sft / "student_weights.safetensors"
    for words in (
        ("--teacher", blocks, "--warm-start", weights),
        ("--teacher", blocks, "--warm-start", blocks),
        ("--teacher", weights, "--warm-start", weights),
    ):
        assert train(configured, files, "sft_kd_at", out, *words) == 2
        assert "are --teacher and --warm-start swapped?" in one_line(capsys.readouterr().err)
    assert not out.exists()
    right = ("--teacher", weights, "--warm-start", blocks)
    assert train(configured, files, "sft_kd_at", out, *right) == 0


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--model", "teacher"], "of name student, not teacher"),
        (["--seed", "1"], "of seed 0, not 1"),
    ],
)
def test_the_result_of_another_training_is_not_overwritten(
    words: list[str], said: str, configured: Path, files: Files, tmp_path: Path, capsys: Output
) -> None:
    out = tmp_path / "out"
    assert train(configured, files, "student", out) == 0
    before = {path.name: path.read_bytes() for path in out.iterdir()}
    capsys.readouterr()
    assert train(configured, files, "student", out, *words) == 2
    assert said in one_line(capsys.readouterr().err)
    assert {path.name: path.read_bytes() for path in out.iterdir()} == before
    # The same training in other words of the configuration is made anew.
    assert train(configured, files, "student", out, "--set", "training.learning_rate=0.01") == 0


def test_the_state_of_another_training_is_not_overwritten(
    configured: Path, files: Files, tmp_path: Path, capsys: Output, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out"
    # Saved after every epoch, and left before its result is written.
    monkeypatch.setattr(
        "pipeline_src.running.training_run.write_results", lambda *_: (_ for _ in ()).throw(OSError)
    )
    assert train(configured, files, "student", out, "--save-every", "0") != 0
    monkeypatch.undo()
    state = (out / "training.state").read_bytes()
    capsys.readouterr()
    assert train(configured, files, "student", out, "--seed", "1") == 2
    assert "is the unfinished training of seed 0, not 1" in one_line(capsys.readouterr().err)
    assert (out / "training.state").read_bytes() == state
    assert train(configured, files, "student", out) == 0


def test_a_file_in_place_of_the_folder_is_named(
    configured: Path, files: Files, tmp_path: Path, capsys: Output
) -> None:
    (tmp_path / "out").write_text("")
    assert train(configured, files, "student", tmp_path / "out") == 2
    assert "is a file; give a folder" in one_line(capsys.readouterr().err)


def test_zero_filling_does_not_overwrite_a_models_metrics(
    runs: dict[str, Path], files: Files, tmp_path: Path, capsys: Output
) -> None:
    folder = Path(shutil.copytree(runs["teacher"], tmp_path / "teacher"))
    given = ("--zero-filled", folder, "--data", files.store, "--mask", files.mask)
    setting = ("--dataset", "tiny", "--acceleration", "4x", "--part", "validation")
    assert main(["evaluate", *map(str, (*given, *setting))]) == 2
    assert "is the folder of a trained model" in one_line(capsys.readouterr().err)
    assert not (folder / "volumes.csv").exists()
