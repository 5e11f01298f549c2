"""Learning curves for TensorBoard hold what the histories do."""

from __future__ import annotations

import json
import struct
import sys
from pathlib import Path

import pandas as pd
import pytest
from crate_helpers import make_results, put

from pipeline_src.cli import main
from pipeline_src.files import write_json

HISTORY = pd.DataFrame(
    {
        "epoch": [1, 2],
        "train_loss": [0.5, 0.25],
        "validation_loss": [0.5, 0.375],
        "validation_psnr_db": [20.0, 21.5],
        "learning_rate": [0.001, 0.0005],
        "seconds": [2.0, 3.0],
    }
)
pytest.importorskip("tensorboardX")


@pytest.fixture
def results(tmp_path: Path) -> Path:
    made = make_results(tmp_path)
    for path in made.glob("*/*/seed*/*/manifest.json"):
        # In the order of the stages, which is that of their names.
        files = sorted(path.parent.glob("history_*.csv"))
        for file in files:
            HISTORY.to_csv(file, index=False)
        content = json.loads(path.read_text())
        write_json(path, content | {"histories": [file.name for file in files]})
    return made


def scalars(file: Path) -> dict[tuple[str, int], tuple[float, float]]:
    """Time and value by title and epoch: length, its sum, the event, its sum, and again."""
    from tensorboardX.proto.event_pb2 import Event

    content, at, found = file.read_bytes(), 0, {}
    while at < len(content):
        [length] = struct.unpack_from("<Q", content, at)
        event = Event.FromString(content[at + 12 : at + 12 + length])
        for value in event.summary.value:
            found[value.tag, event.step] = (event.wall_time, value.simple_value)
        at += length + 16
    return found


def test_every_stage_of_every_training_is_there(
    results: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "runs"
    assert main(["histories", str(results), "--output", str(output)]) == 0
    trained = {p.parent.relative_to(results) for p in results.glob("*/*/seed*/*/manifest.json")}
    files = [path for path in output.rglob("*") if path.is_file()]
    assert {path.parent.relative_to(output) for path in files} == trained
    assert len(files) == len(trained) > 3
    assert (
        f"{len(trained)} trainings; see them with: tensorboard --logdir" in capsys.readouterr().out
    )
    [distilled] = [path for path in files if path.parent.name == "std_kd_at"]
    found = scalars(distilled)
    assert len(found) == 2 * 5 * len(HISTORY)
    # Times are those since the training began, through both stages.
    assert found["features/validation_psnr_db", 2] == (5.0, 21.5)
    assert found["reconstruction/train_loss", 1] == (7.0, 0.5)


@pytest.mark.parametrize("folder", ["nowhere", "results/tiny/tables"])
def test_a_folder_without_trainings_is_refused(
    folder: str, results: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    del results
    output = tmp_path / "runs"
    assert main(["histories", str(tmp_path / folder), "--output", str(output)]) == 2
    assert "has no finished training" in capsys.readouterr().err
    assert not output.exists()


def test_a_damaged_history_leaves_nothing(
    results: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    put(results / "tiny/4x/seed0/teacher/history_reconstruction.csv", "epoch,loss\n1,2\n")
    assert main(["histories", str(results), "--output", str(tmp_path / "runs")]) == 2
    assert (
        "history_reconstruction.csv: holds no history; columns missing" in capsys.readouterr().err
    )
    assert not (tmp_path / "runs").exists()


def test_a_folder_in_use_is_left_alone(
    results: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    mine = put(tmp_path / "runs" / "mine.txt", "mine")
    assert main(["histories", str(results), "--output", str(tmp_path / "runs")]) == 2
    assert "is there already" in capsys.readouterr().err
    assert mine.read_text() == "mine"


def test_without_the_package(
    results: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setitem(sys.modules, "tensorboardX", None)
    assert main(["histories", str(results), "--output", str(tmp_path / "runs")]) == 2
    assert "pip install" in capsys.readouterr().err
