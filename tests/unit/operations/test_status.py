"""The status command: each state is read from real files."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from status_helpers import MODELS, folder_of, held, one, save_state, trainings, write_log
from training_helpers import Files, std_inputs, study_with, train

from pipeline_src.config import Study
from pipeline_src.errors import Interrupted
from pipeline_src.files import read_json, write_json
from pipeline_src.operations.status import reading
from pipeline_src.planning.places import STATE
from pipeline_src.running import resume_state
from pipeline_src.running.progress import Progress
from pipeline_src.running.training_lock import NAME as LOCK
from pipeline_src.training.engine import Epoch

pytest_plugins = ["shared_fixtures", "status_fixtures"]

PROGRESS_LINE = "teacher reconstruction: epoch 3/8, validation loss 1e-2, 30.00 dB, 5 s left\n"
TRACEBACK = """Traceback (most recent call last):
  File "run.py", line 1, in <module>
    step()
RuntimeError: CUDA error: an illegal memory access was encountered
Compile with `TORCH_USE_CUDA_DSA` to enable device-side assertions.
"""


def test_nothing_there_is_waiting_in_the_order_of_the_study(study: Study, tmp_path: Path) -> None:
    study = study.model_copy(update={"seeds": [0, 3], "accelerations": [4, 5]})
    found = trainings(study, tmp_path / "nowhere")
    assert len(found) == 2 * MODELS * 2
    assert {t.state for t in found} == {"waiting"}
    assert [(t.setting, t.model, t.seed) for t in found[:3]] == [
        ("tiny/4x", "teacher", 0),
        ("tiny/4x", "teacher", 3),
        ("tiny/4x", "sft_teacher", 0),
    ]
    assert found[-1].setting == "tiny/5x"
    # Distilled in two stages.
    assert {t.model: t.epochs for t in found}["teacher"] == 8
    assert {t.model: t.epochs for t in found}["sft_kd_fsp"] == 16
    assert not (tmp_path / "nowhere").exists()


def test_models_of_ablations_are_trainings_too(study: Study, tmp_path: Path) -> None:
    variant = {"set": {"training": {"epochs": 3}}}
    ablated = study_with(ablations={"short": {"models": ["student"], "variants": {"few": variant}}})
    found = {t.model: t for t in trainings(ablated, tmp_path)}
    assert found["student@short.few"].epochs == 3
    assert len(found) == MODELS + 1


def test_a_finished_training_is_done(files: Files, study: Study, results: Path) -> None:
    output = train(study, "student", files.inputs(), folder_of(results, "student"))
    manifest = read_json(output / "manifest.json")
    found = one(study, results, "student")
    assert (found.state, found.epochs_done, found.note) == ("done", 8, "")
    assert found.validation_psnr_db == manifest["best_epoch"]["validation_psnr_db"]
    assert found.validation_loss == manifest["best_epoch"]["validation_loss"]
    assert found.seconds == sum(s["seconds"] for s in manifest["runs"])


def test_a_training_stopped_half_way_is_stopped_and_runs_under_a_lock(
    files: Files,
    runs: dict[str, Path],
    study: Study,
    results: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Stopping(Progress):
        def __call__(self, stage: str, epochs: int, row: Epoch) -> None:
            if (stage, row.epoch) == ("reconstruction", 3):
                os.kill(os.getpid(), signal.SIGTERM)

    monkeypatch.setattr("pipeline_src.running.training_run.Progress", Stopping)
    folder = folder_of(results, "std_kd_at")
    with pytest.raises(Interrupted) as stopped:
        train(study, "std_kd_at", std_inputs(files, runs), folder)
    write_log(results, "std_kd_at", f"{PROGRESS_LINE}{stopped.value}\n")

    found = one(study, results)
    assert found.state == "stopped"
    assert found.note == (
        "reconstruction, after 0 of 2 batches of epoch 4 of 8; the same command goes on there"
    )
    assert found.epochs_done == 8 + 3
    assert found.position is not None
    assert (found.position.number, found.position.stages) == (2, 2)
    assert found.seconds_left is None

    with held(folder):
        running = one(study, results)
    assert running.state == "running"
    assert running.position == found.position
    history = resume_state.read_state(folder / STATE).facts["histories"]["reconstruction"]
    assert running.validation_loss == history[-1]["validation_loss"]
    assert running.validation_psnr_db == history[-1]["validation_psnr_db"]
    median = sorted(row["seconds"] for row in history)[1]
    assert running.seconds_left == pytest.approx(median * 5)
    assert one(study, results).state == "stopped"


@pytest.mark.parametrize(
    ("changes", "done", "left"),
    [
        ({}, 8 + 4 + 2 / 3, 3.0 * (3 + 1 / 3)),
        # In the first stage: its pace is taken for the second too.
        (
            {"stage": "features", "stage_number": 0, "histories": {"features": [{"seconds": 2.0}]}},
            4 + 2 / 3,
            2.0 * (11 + 1 / 3),
        ),
        # No epoch of the second stage is over: the pace of the first.
        (
            {"histories": {"features": [{"seconds": 7.0}], "reconstruction": []}},
            8 + 4 + 2 / 3,
            7.0 * (3 + 1 / 3),
        ),
        # In the very first epoch: by its batches.
        (
            {
                "stage": "features",
                "stage_number": 0,
                "position": {"epoch": 1, "batch": 1, "epochs": 8, "batches": 4},
                "histories": {"features": []},
            },
            0.25,
            160 * 15.75,
        ),
        # Between the stages the position is beyond the last epoch.
        (
            {
                "stage": "features",
                "stage_number": 0,
                "position": {"epoch": 9, "batch": 0, "epochs": 8, "batches": 3},
                "histories": {"features": [{"seconds": 2.0}]},
            },
            8,
            2.0 * 8,
        ),
    ],
)
def test_progress_and_time_left(
    changes: dict[str, Any], done: float, left: float, study: Study, results: Path
) -> None:
    save_state(folder_of(results, "std_kd_at"), **changes)
    with held(folder_of(results, "std_kd_at")):
        found = one(study, results)
    assert found.epochs_done == pytest.approx(done)
    assert found.seconds_left == pytest.approx(left)
    assert found.seconds == 40
    assert found.position is not None
    assert 1 <= found.position.epoch <= 8


def test_running_before_anything_is_saved(study: Study, results: Path) -> None:
    with held(folder_of(results, "std_kd_at")):
        found = one(study, results)
    assert (found.state, found.position, found.note) == ("running", None, "no state saved yet")


def test_a_training_that_ends_while_it_is_read_is_done(
    study: Study, results: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Locked at the first look; then its manifest is written and lock and state are gone."""
    folder = folder_of(results, "std_kd_at")
    answers = [True, False]

    def is_locked(asked: Path) -> bool:
        if asked != folder:
            return False
        write_json(folder / "manifest.json", {"best_epoch": {"validation_psnr_db": 30.0}})
        return answers.pop(0)

    monkeypatch.setattr(reading, "is_locked", is_locked)
    assert one(study, results).state == "done"


def test_looking_changes_nothing_and_leaves_no_lock(study: Study, results: Path) -> None:
    folder = folder_of(results, "std_kd_at")
    save_state(folder)
    # As a killed process leaves it.
    (folder / LOCK).write_text("process 1 on elsewhere\n")
    before = {p: (p.stat().st_mtime_ns, p.stat().st_size) for p in results.rglob("*")}
    assert one(study, results).state == "stopped"
    assert {p: (p.stat().st_mtime_ns, p.stat().st_size) for p in results.rglob("*")} == before
    with held(folder):
        assert one(study, results).state == "running"


@pytest.mark.parametrize(
    ("log", "shown"),
    [
        (
            "error: stage features, epoch 1: the loss is nan\n\n",
            "error: stage features, epoch 1: the loss is nan",
        ),
        ("usage: x\npython -m pipeline_src: error: bad", "python -m pipeline_src: error: bad"),
        (TRACEBACK, "RuntimeError: CUDA error: an illegal memory access was encountered"),
        ("error: \x1b[31mred [bold]\x1b[0m \x07", r"error: \x1b[31mred [bold]\x1b[0m \x07"),
        ("stopped by SIGTERM in stage features\n", None),
        ("Traceback (most recent call last):\n  File\nKeyboardInterrupt\n", None),
        (f"Exception ignored in: <function f>\n{TRACEBACK}", None),
        ("", None),
    ],
)
@pytest.mark.parametrize("with_state", [False, True])
def test_a_log_that_ends_with_an_error_is_failed(
    log: str, shown: str | None, with_state: bool, study: Study, results: Path
) -> None:
    if with_state:
        save_state(folder_of(results, "std_kd_at"))
    write_log(results, "std_kd_at", PROGRESS_LINE + log)
    found = one(study, results)
    if shown is None:
        assert found.state == ("stopped" if with_state else "waiting")
    else:
        assert (found.state, found.note) == ("failed", shown)
        assert found.epochs_done == (pytest.approx(12 + 2 / 3) if with_state else 0)
    with held(folder_of(results, "std_kd_at")):
        assert one(study, results).state == "running"


def test_an_error_before_the_state_was_saved_is_of_an_earlier_attempt(
    study: Study, results: Path
) -> None:
    save_state(folder_of(results, "std_kd_at"))
    write_log(results, "std_kd_at", "error: no such file\n", later=-100)
    assert one(study, results).state == "stopped"


def test_manifest_beats_log_and_state_of_the_same_training(study: Study, results: Path) -> None:
    """A training killed between writing its manifest and removing its state."""
    folder = folder_of(results, "std_kd_at")
    write_json(folder / "manifest.json", {"training_sha256": "this", "runs": [{"seconds": 2}]})
    write_log(results, "std_kd_at", "error: from before\n")
    assert one(study, results).state == "done"
    save_state(folder, "this")
    assert (one(study, results).state, one(study, results).seconds) == ("done", 2)
    # Begun again with other settings, and stopped.
    save_state(folder, "another")
    assert one(study, results).state == "stopped"


def test_torch_is_not_imported(study: Study, results: Path) -> None:
    save_state(folder_of(results, "std_kd_at"))
    code = (
        "import sys; from pathlib import Path\n"
        "from pipeline_src.operations.status import reading, showing\n"
        "from pipeline_src.config import load_study\n"
        "path = Path(sys.argv[1])\n"
        "study = load_study(path / 'config.yaml')\n"
        "found = [reading.training_status(p) for p in reading.plan(study, path)]\n"
        "showing.show(path, False, sys.stdout)\n"
        "assert {t.state for t in found} == {'stopped', 'waiting'}\n"
        "heavy = {'torch', 'numpy', 'pandas', 'safetensors', 'matplotlib'} & set(sys.modules)\n"
        "sys.exit(f'imported: {heavy}' if heavy else 0)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(results)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
