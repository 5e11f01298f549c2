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
from pipeline_src.operations.status import reading
from pipeline_src.operations.status.showing import plain_table
from pipeline_src.running.state import NAME, PREVIOUS

pytest_plugins = ["status_fixtures"]


@pytest.mark.parametrize("text", ["", "[]", "{", '{"best_epoch": 3, "runs": {"seconds": 1}}'])
def test_a_manifest_that_tells_nothing(text: str, study: Study, results: Path) -> None:
    folder = folder_of(results, "std_kd_at")
    folder.mkdir(parents=True)
    (folder / "manifest.json").write_text(text)
    found = one(study, results)
    assert (found.state, found.validation_psnr_db, found.seconds) == ("done", None, None)
    assert found.note == ("" if "best" in text else "its manifest.json cannot be read")


def test_a_cut_state_falls_back_to_the_one_before(study: Study, results: Path) -> None:
    folder = folder_of(results, "std_kd_at")
    save_state(folder, position={"epoch": 2, "batch": 0, "epochs": 8, "batches": 3})
    save_state(folder)
    whole = (folder / NAME).read_bytes()
    for size in (0, 20, 35, 60, 500, len(whole) - 1):
        (folder / NAME).write_bytes(whole[:size])
        found = one(study, results)
        assert (found.state, found.epochs_done) == ("stopped", 9), size
    (folder / PREVIOUS).write_bytes(b"")
    found = one(study, results)
    assert (found.state, found.note) == ("waiting", "its saved state is damaged: begins anew")
    with held(folder):
        assert one(study, results).state == "running"


def test_altered_bytes_never_raise(study: Study, results: Path) -> None:
    folder, draw = folder_of(results, "std_kd_at"), random.Random("bits")
    save_state(folder)
    whole = (folder / NAME).read_bytes()
    for _ in range(200):
        at = draw.randrange(32, len(whole) - 200)
        flipped = bytes([whole[at] ^ (1 << draw.randrange(8))])
        (folder / NAME).write_bytes(whole[:at] + flipped + whole[at + 1 :])
        found = one(study, results)
        assert found.state in ("stopped", "waiting")
        assert "std_kd_at" in plain_table([found])


@pytest.mark.parametrize(
    "changes",
    [
        {"position": {"epoch": 1, "batch": 0, "epochs": 8, "batches": 0}},
        {"position": {"epoch": 0, "batch": 0, "epochs": 8, "batches": 3}},
        {"position": {"epoch": 1, "batch": 4, "epochs": 8, "batches": 3}},
        {"position": None},
        {"position": {}},
        {"stage_number": -1},
        {"histories": []},
        {"histories": {"reconstruction": [{"seconds": "long"}]}},
        {"runs": 3},
    ],
)
def test_impossible_facts_are_damage(changes: dict[str, Any], study: Study, results: Path) -> None:
    save_state(folder_of(results, "std_kd_at"), **changes)
    assert one(study, results).note == "its saved state is damaged: begins anew"


def test_state_moved_away_between_two_looks(
    study: Study, results: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A training saves by moving the current state to `previous` first: there is always one."""
    folder = folder_of(results, "std_kd_at")
    save_state(folder)
    (folder / NAME).rename(folder / PREVIOUS)
    assert one(study, results).state == "stopped"

    save_state(folder)
    read = reading._read_state

    def moving(path: Path, stages: int) -> Any:
        if path.name == NAME and path.exists():
            path.rename(folder / PREVIOUS)
        return read(path, stages)

    monkeypatch.setattr(reading, "_read_state", moving)
    assert one(study, results).state == "stopped"


def test_files_replaced_all_the_time_are_read_whole(study: Study, results: Path) -> None:
    """Another process saves one state after the other."""
    folder = folder_of(results, "std_kd_at")
    save_state(folder)
    code = (
        "import json, sys; from pathlib import Path; import torch\n"
        "facts = json.loads(sys.argv[2])\n"
        "from pipeline_src.running.state import Saved, StateFiles\n"
        "files = StateFiles(Path(sys.argv[1]), 'this')\n"
        "print('going', flush=True)\n"
        "for n in range(10**9):\n"
        "    files.save(Saved({'w': torch.zeros(n % 3000)}, facts))\n"
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
