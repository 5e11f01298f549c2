"""Leaving a training at chosen places and taking it up again."""

from __future__ import annotations

from pathlib import Path

import pytest
from training_helpers import Files, history, std_inputs, study_with, train

from pipeline_src.errors import Interrupted
from pipeline_src.files import read_json
from pipeline_src.training.engine import Stage
from pipeline_src.training.safekeeping import Safekeeping

pytest_plugins = ["shared_fixtures"]

STUDY = study_with(training={"epochs": 3, "batch_size": 2})


@pytest.mark.parametrize(
    "places",
    [
        [("features", 1, 1)],
        [("features", 2, 0)],
        # After the last epoch of a stage, and then within the next: the first stage's history
        # comes from a state that this sitting has not written.
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

    class Leaving(Safekeeping):
        def __call__(self, stage: Stage, *, epoch_over: bool) -> None:
            here = (stage.name, stage.epoch, stage.batch)
            # What is asked for within an epoch is saved there, as after a signal.
            if here in places and not epoch_over:
                self._save(stage)
            super().__call__(stage, epoch_over=epoch_over)
            if here in places:
                places.remove(here)
                raise Interrupted(str(here))

    monkeypatch.setattr("pipeline_src.training.run.Safekeeping", Leaving)
    output = tmp_path / "left"
    sittings = len(places) + 1
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
    assert len(read_json(output / "manifest.json")["sittings"]) == sittings
