"""Leaving a training at chosen places and taking it up again."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import load, save
from training_helpers import Files, history, leave_at, std_inputs, study_with, train

from pipeline_src.errors import Interrupted
from pipeline_src.files import read_json
from pipeline_src.running.checkpointing import Checkpointer
from pipeline_src.running.interruption import Interruption
from pipeline_src.running.progress_file import TrainingProgress
from pipeline_src.running.resume_state import Saved, StateFiles, flattened
from pipeline_src.training.builder import fresh_network
from pipeline_src.training.engine import Stage
from pipeline_src.training.objectives import ReconstructionObjective

pytest_plugins = ["shared_fixtures"]

STUDY = study_with(training={"epochs": 3, "batch_size": 2})


@pytest.mark.parametrize(
    "places",
    [
        [("features", 1, 1)],
        [("features", 2, 0)],
        # After the last epoch of a stage, and then within the next: the first stage's history
        # comes from a state that this run has not written.
        [("features", 4, 0), ("reconstruction", 2, 0)],
        [("features", 4, 0), ("reconstruction", 1, 1), ("reconstruction", 3, 2)],
        [("reconstruction", 4, 0)],
    ],
)
def test_left_anywhere_it_ends_with_the_same_bits(
    places: list[tuple[str, int, int]],
    files: Files,
    runs: dict[str, Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    inputs = std_inputs(files, runs)
    whole = train(STUDY, "std_kd_at", inputs, tmp_path / "whole")

    leave_at(monkeypatch, places)
    output = tmp_path / "left"
    runs = len(places) + 1
    for _ in places[:]:
        with pytest.raises(Interrupted):
            train(STUDY, "std_kd_at", inputs, output)
    assert not places
    train(STUDY, "std_kd_at", inputs, output)
    assert (output / "weights.safetensors").read_bytes() == (
        whole / "weights.safetensors"
    ).read_bytes()
    for stage in ("features", "reconstruction"):
        rows, others = (history(f / f"history_{stage}.csv") for f in (output, whole))
        assert [{**row, "seconds": ""} for row in rows] == [{**r, "seconds": ""} for r in others]
    assert len(read_json(output / "manifest.json")["runs"]) == runs


def test_saving_after_short_epochs_takes_a_small_share_of_the_time(
    files: Files, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    saved: list[str] = []
    clock = [0.0]
    monkeypatch.setattr("pipeline_src.running.checkpointing.time.monotonic", lambda: clock[0])

    class NotedFiles(StateFiles):
        def save(self, saved_state: Saved, progress: TrainingProgress | None = None) -> None:
            assert progress is not None
            saved.append(saved_state.facts["stage"])
            clock[0] += 0.1

    stage = stage_like(files)
    keeping = Checkpointer(NotedFiles(tmp_path, ""), None, Interruption(), 30, 1, dict)
    for _ in range(100):
        clock[0] += 1
        keeping(stage, epoch_over=True)
        keeping(stage, epoch_over=False)
    # The first shows what one takes; after that one in 5 s or a little more, 2 % of the time.
    assert 100 // 6 < len(saved) <= 1 + 100 // 5
    clock[0] += 30
    keeping(stage, epoch_over=False)
    assert 100 // 6 + 1 < len(saved) <= 2 + 100 // 5


def stage_like(files: Files) -> Stage:
    study = study_with()
    train_part, fidelity = files.slices("train")
    validation, _ = files.slices("validation")
    objective = ReconstructionObjective(
        fresh_network(study.networks.student, 0, "student"), fidelity
    )
    parts = (objective, train_part, validation, study.training, 0)
    return Stage("reconstruction", 0, *parts)


@pytest.mark.parametrize("kind", [torch.float32, torch.float64, torch.int64])
def test_tensors_that_come_over_in_one_piece_are_the_same(kind: torch.dtype) -> None:
    tensors = {
        "weights": torch.rand(3, 2, 3, 3).mul(9).to(kind).to(memory_format=torch.channels_last),
        "steps": torch.ones((), dtype=kind),
        "bias": torch.arange(5).to(kind),
    }
    found = flattened(tensors)
    assert list(found) == list(tensors)
    assert all(torch.equal(found[n], t) and found[n].is_contiguous() for n, t in tensors.items())
    # Parts of one piece can be saved side by side.
    assert load(save(found))["bias"].tolist() == list(range(5))


def test_the_end_of_the_parent_is_noticed_and_not_looked_for_after_every_step(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    looks: list[int] = []
    alive, clock = [True], [0.0]

    def look(process: int) -> bool:
        looks.append(process)
        return alive[0]

    monkeypatch.setattr("pipeline_src.running.interruption.is_alive", look)
    monkeypatch.setattr("pipeline_src.running.interruption.time.monotonic", lambda: clock[0])
    interruption = Interruption(parent=7)
    for _ in range(100):
        assert interruption.signal == ""
        clock[0] += 0.01
    assert looks == [7, 7]
    alive[0] = False
    clock[0] += 1
    assert "process 7" in interruption.signal
