"""The status command among damaged files, and files that change while they are read."""

from __future__ import annotations

import json
import random
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from status_helpers import facts, folder_of, held, one, save_state

from pipeline_src.config import Study
from pipeline_src.files import read_json
from pipeline_src.operations.status import reading
from pipeline_src.operations.status.showing import plain_table
from pipeline_src.planning.places import PREVIOUS_STATE, PROGRESS, STATE

pytest_plugins = ["status_fixtures"]


@pytest.mark.parametrize("text", ["", "[]", "{", '{"best_epoch": 3, "runs": {"seconds": 1}}'])
def test_a_manifest_that_tells_nothing(text: str, study: Study, results: Path) -> None:
    folder = folder_of(results, "std_kd_at")
    folder.mkdir(parents=True)
    (folder / "manifest.json").write_text(text)
    found = one(study, results)
    assert (found.state, found.validation_psnr_db, found.seconds) == ("done", None, None)
    assert found.note.startswith(
        "its manifest.json does not list" if "best" in text else "its manifest.json cannot be read"
    )


def test_progress_cut_short_is_said_and_the_state_still_counts(study: Study, results: Path) -> None:
    folder = folder_of(results, "std_kd_at")
    save_state(folder)
    whole = (folder / PROGRESS).read_bytes()
    for size in (0, 1, 60, len(whole) - 3):
        (folder / PROGRESS).write_bytes(whole[:size])
        found = one(study, results)
        assert (found.state, found.position) == ("stopped", None), size
        assert "cannot be read from progress.json; the same command goes on there" in found.note
    with held(folder):
        running = one(study, results)
    assert (running.state, running.seconds_left) == ("running", None)
    assert "cannot be read from progress.json" in running.note


def test_progress_without_a_state_tells_nothing(study: Study, results: Path) -> None:
    folder = folder_of(results, "std_kd_at")
    save_state(folder)
    save_state(folder)
    (folder / STATE).unlink()
    assert one(study, results).state == "stopped"
    (folder / PREVIOUS_STATE).unlink()
    assert one(study, results).state == "waiting"


def test_altered_bytes_never_raise(study: Study, results: Path) -> None:
    folder, draw = folder_of(results, "std_kd_at"), random.Random("bits")
    save_state(folder)
    whole = (folder / PROGRESS).read_bytes()
    for _ in range(200):
        at = draw.randrange(len(whole))
        flipped = bytes([whole[at] ^ (1 << draw.randrange(8))])
        (folder / PROGRESS).write_bytes(whole[:at] + flipped + whole[at + 1 :])
        found = one(study, results)
        assert found.state == "stopped"
        assert "std_kd_at" in plain_table([found])


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("position", None),
        ("position", {}),
        ("epoch", 0),
        ("epoch", 9),
        ("batch", 4),
        ("batches", 0),
        ("number", 3),
        ("stage", 1),
        ("seconds", "long"),
        ("seconds", 10**400),
        ("seconds", float("inf")),
        ("epoch_seconds", -1.0),
        ("validation_loss", float("nan")),
        ("training_sha256", 7),
    ],
)
def test_impossible_progress_is_not_shown(
    key: str, value: Any, study: Study, results: Path
) -> None:
    folder = folder_of(results, "std_kd_at")
    save_state(folder)
    progress = read_json(folder / PROGRESS)
    (progress["position"] if key in progress["position"] else progress)[key] = value
    (folder / PROGRESS).write_text(json.dumps(progress))
    assert "cannot be read from progress.json" in one(study, results).note


def test_numbers_that_json_has_not_are_left_out(study: Study, results: Path) -> None:
    rows = [{"validation_loss": float("inf"), "validation_psnr_db": float("nan"), "seconds": 1.0}]
    save_state(folder_of(results, "std_kd_at"), histories={"reconstruction": rows})
    found = one(study, results)
    assert (found.state, found.validation_loss, found.validation_psnr_db) == ("stopped", None, None)


def test_files_replaced_all_the_time_are_read_whole(study: Study, results: Path) -> None:
    """Another process saves one state after the other."""
    folder = folder_of(results, "std_kd_at")
    save_state(folder)
    code = (
        "import json, sys; from pathlib import Path; import torch\n"
        "facts = json.loads(sys.argv[2])\n"
        "from pipeline_src.running.progress_file import progress_of\n"
        "from pipeline_src.running.resume_state import Saved, StateFiles\n"
        "files = StateFiles(Path(sys.argv[1]), 'this')\n"
        "print('going', flush=True)\n"
        "for n in range(10**9):\n"
        "    saved = Saved({'w': torch.zeros(n % 3000)}, facts)\n"
        "    files.save(saved, progress_of('this', 2, facts))\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code, str(folder), json.dumps(facts())], stdout=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"going\n"
        [planned] = [p for p in reading.plan(study, results) if p.model == "std_kd_at"]
        found = [reading.training_status(planned) for _ in range(1500)]
        process.kill()
    assert {(t.state, round(t.epochs_done, 2)) for t in found} == {("stopped", 12.67)}
