"""The status command: each state from real files, and what a terminal and a pipe are shown."""

from __future__ import annotations

import io
import json
import os
import random
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from rich.console import Console
from training_helpers import Files, std_inputs, study_with, train

from pipeline_src.cli import main
from pipeline_src.config import Study
from pipeline_src.errors import InputError, Interrupted
from pipeline_src.files import read_json, write_json, write_text
from pipeline_src.status import reading
from pipeline_src.status.reading import TrainingStatus, trainings
from pipeline_src.status.showing import Counted, arranged, plain_table, show, view
from pipeline_src.training import state as state_module
from pipeline_src.training.engine import Epoch
from pipeline_src.training.lock import NAME as LOCK
from pipeline_src.training.progress import Progress
from pipeline_src.training.state import NAME, PREVIOUS, Saved, StateFiles

pytest_plugins = ["shared_fixtures"]

#: Teacher, SFT teacher, student, two controls, and two methods with two recipes.
MODELS = 9
#: The cells of a training as `facts` has it, with its lock held.
RUNNING = "tiny/4x std_kd_fsp 0 running 5/8 24.00 0:00:10 reconstruction:2/2 2/3 2.500e-01 0:00:40"
PROGRESS_LINE = "teacher reconstruction: epoch 3/8, validation loss 1e-2, 30.00 dB, 5 s left\n"
TRACEBACK = """Traceback (most recent call last):
  File "run.py", line 1, in <module>
    step()
RuntimeError: CUDA error: an illegal memory access was encountered
Compile with `TORCH_USE_CUDA_DSA` to enable device-side assertions.
"""


@pytest.fixture
def study() -> Study:
    return study_with(training={"epochs": 8})


@pytest.fixture
def results(tmp_path: Path, study: Study) -> Path:
    """An empty results folder with the study's configuration, as a run begins it."""
    folder = tmp_path / "results" / "tiny"
    folder.mkdir(parents=True)
    text = yaml.safe_dump(study.model_dump(mode="json"), sort_keys=False)
    (folder / "config.yaml").write_text(text)
    return folder


def folder_of(results: Path, model: str) -> Path:
    return results / "tiny" / "4x" / "seed0" / model


def write_log(results: Path, model: str, text: str, *, later: float = 10.0) -> Path:
    """A training's log, last written some seconds from now."""
    path = results / "logs" / "train" / f"tiny_4x_seed0_{model}.log"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    at = path.stat().st_mtime + later
    os.utime(path, (at, at))
    return path


def facts(**changes: Any) -> dict[str, Any]:
    """In the second of a distillation's two stages: 2 of 3 batches of epoch 5 of 8."""
    rows = [
        {"epoch": n, "validation_loss": 1 / n, "validation_psnr_db": 20.0 + n, "seconds": 3.0}
        for n in range(1, 5)
    ]
    return {
        "model": "std_kd_at",
        "seed": 0,
        "dataset": "tiny",
        "acceleration": "4x",
        "stage": "reconstruction",
        "stage_number": 1,
        "position": {"epoch": 5, "batch": 2, "epochs": 8, "batches": 3, "best_loss": 0.25},
        "histories": {
            "features": [{**row, "seconds": 7.0} for row in rows],
            "reconstruction": rows,
        },
        "sittings": [{"seconds": 30.5}, {"seconds": 9.5}],
        **changes,
    }


def save_state(folder: Path, digest: str = "this", **changes: Any) -> None:
    StateFiles(folder, digest).save(Saved({"weights/w": torch.zeros(50)}, facts(**changes)))


def one(study: Study, results: Path, model: str = "std_kd_at") -> TrainingStatus:
    [found] = [t for t in trainings(study, results) if t.model == model]
    return found


@contextmanager
def held(folder: Path) -> Iterator[None]:
    """Another process holds the folder's lock."""
    code = (
        "import sys; from pathlib import Path\n"
        "from pipeline_src.training.interruption import Interruption\n"
        "from pipeline_src.training.lock import locked\n"
        "with Interruption() as i, locked(Path(sys.argv[1]), i):\n"
        "    print('held', flush=True); sys.stdin.read()\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code, str(folder)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    with process:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        yield
        assert process.stdin is not None
        process.stdin.close()


def lines_of(text: str) -> list[str]:
    return [line.rstrip() for line in text.splitlines()]


def drawn(found: list[TrainingStatus], width: int, height: int) -> list[str]:
    """The lines of the view on a terminal of that size."""
    stream = io.StringIO()
    console = Console(file=stream, width=width, height=height, color_system=None)
    console.print(view("tiny", found, width, height))
    return lines_of(stream.getvalue())


def made(count: int, state: reading.State, setting: str = "tiny") -> list[TrainingStatus]:
    done = 8.0 if state == "done" else 0.0
    return [
        TrainingStatus(setting, "4x", seed, f"{state}_model", state, done, 8, note=f"why {seed}")
        for seed in range(count)
    ]


# Reading ------------------------------------------------------------------------------------------


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
    assert found.seconds == sum(s["seconds"] for s in manifest["sittings"])


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

    monkeypatch.setattr("pipeline_src.training.run.Progress", Stopping)
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
    history = state_module.read_state(folder / NAME).facts["histories"]["reconstruction"]
    assert running.validation_loss == history[-1]["validation_loss"]
    assert running.validation_psnr_db == history[-1]["validation_psnr_db"]
    median = sorted(row["seconds"] for row in history)[1]
    assert running.seconds_left == pytest.approx(median * 5)
    assert one(study, results).state == "stopped"


def test_names_of_state_files_are_those_of_training(study: Study) -> None:
    assert reading.STATE_FILES == (NAME, PREVIOUS)


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
        ("error: \x1b[31mred [bold]\x1b[0m \x07", "error:  [31mred [bold] [0m"),
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
    write_json(folder / "manifest.json", {"training_sha256": "this", "sittings": [{"seconds": 2}]})
    write_log(results, "std_kd_at", "error: from before\n")
    assert one(study, results).state == "done"
    save_state(folder, "this")
    assert (one(study, results).state, one(study, results).seconds) == ("done", 2)
    # Begun again with other settings, and stopped.
    save_state(folder, "another")
    assert one(study, results).state == "stopped"


@pytest.mark.parametrize("text", ["", "[]", "{", '{"best_epoch": 3, "sittings": {"seconds": 1}}'])
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
        {"sittings": 3},
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
        "from pipeline_src.training.state import Saved, StateFiles\n"
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
        found = [reading.look(planned) for _ in range(1500)]
        process.kill()
    assert {(t.state, round(t.epochs_done, 2)) for t in found} == {("stopped", 12.67)}


def test_torch_is_not_imported(study: Study, results: Path) -> None:
    save_state(folder_of(results, "std_kd_at"))
    code = (
        "import sys; from pathlib import Path; from pipeline_src.status import reading, showing\n"
        "from pipeline_src.config import load_study\n"
        "path = Path(sys.argv[1])\n"
        "found = reading.trainings(load_study(path / 'config.yaml'), path)\n"
        "showing.show(path, False, sys.stdout)\n"
        "assert {t.state for t in found} == {'stopped', 'waiting'}\n"
        "heavy = {'torch', 'numpy', 'pandas', 'safetensors', 'matplotlib'} & set(sys.modules)\n"
        "sys.exit(f'imported: {heavy}' if heavy else 0)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(results)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


# Showing ------------------------------------------------------------------------------------------


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> Terminal:
    """A terminal of 100 columns and 20 lines."""
    for name, value in {"TERM": "xterm", "COLUMNS": "100", "LINES": "20"}.items():
        monkeypatch.setenv(name, value)
    return Terminal()


def no_sleep(_seconds: float) -> None:
    raise AssertionError("is to end at once")


@pytest.fixture
def mixed(study: Study, results: Path) -> Iterator[Path]:
    """A results folder with a training in each state."""
    best = {"validation_loss": 0.0125, "validation_psnr_db": 31.5}
    done = {"best_epoch": best, "sittings": [{"seconds": 3600}, {"seconds": 61.6}]}
    write_json(folder_of(results, "teacher") / "manifest.json", done)
    write_log(results, "sft_teacher", "error: [red]bad[/red]\n")
    save_state(folder_of(results, "std_kd_at"))
    save_state(folder_of(results, "std_kd_fsp"))
    with held(folder_of(results, "std_kd_fsp")):
        yield results


def test_piped_output_is_one_plain_line_a_training(mixed: Path) -> None:
    stream = io.StringIO()
    show(mixed, False, stream)
    text = stream.getvalue()
    assert text.isascii()
    assert "\x1b" not in text
    lines = text.splitlines()
    assert len(lines) == 1 + MODELS + 2
    heading = lines[0].split()
    assert heading[:5] == ["setting", "model", "seed", "state", "epoch"]
    assert heading[-1] == "note"
    rows = {line.split()[1]: line.split(maxsplit=11) for line in lines[1 : 1 + MODELS]}
    done = "tiny/4x teacher 0 done - 31.50 - - - 1.250e-02 1:01:02"
    assert " ".join(rows["teacher"]) == done
    assert " ".join(rows["std_kd_fsp"]) == RUNNING
    assert rows["sft_teacher"][3] == "failed"
    assert rows["sft_teacher"][11] == "error: [red]bad[/red]"
    assert rows["std_kd_at"][11].endswith("epoch 5 of 8; the same command goes on there")
    assert rows["student"][3:] == ["waiting", *"-------"]
    # Every column begins or ends at one place.
    notes = [lines[0].index("note"), *(line.index("error:") for line in lines if "error:" in line)]
    assert len(set(notes)) == 1
    assert lines[-1] == (
        "9 trainings: 1 running, 1 failed, 1 stopped, 1 done, 5 waiting; "
        "33 of 120 epochs (28%); the running ones end in about 0:00:10"
    )


def test_once_in_a_terminal_is_the_same(
    mixed: Path, terminal: Terminal, monkeypatch: pytest.MonkeyPatch
) -> None:
    piped = io.StringIO()
    show(mixed, False, piped)
    show(mixed, True, terminal)
    assert terminal.getvalue() == piped.getvalue()
    dumb = Terminal()
    monkeypatch.setenv("TERM", "dumb")
    show(mixed, False, dumb)
    assert dumb.getvalue() == piped.getvalue()


def test_pipe_stays_plain_where_colours_are_asked_for(
    mixed: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    stream = io.StringIO()
    show(mixed, False, stream)
    assert "\x1b" not in stream.getvalue()


def test_a_reader_that_closes_the_pipe_is_no_error(mixed: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from pipeline_src.status.showing import show\n"
        "sys.stdin.read(); show(Path(sys.argv[1]), False, sys.stdout)\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code, str(mixed)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        process.stdin.close()
        assert process.stderr.read() == b""
    assert process.returncode == 0


def test_the_live_view_ends_when_all_are_done(
    study: Study, results: Path, terminal: Terminal, monkeypatch: pytest.MonkeyPatch
) -> None:
    for t in trainings(study, results):
        write_json(folder_of(results, t.model) / "manifest.json", {})
    monkeypatch.setattr("time.sleep", no_sleep)
    show(results, False, terminal)
    assert "tiny: 9 trainings: 9 done" in terminal.getvalue()
    assert "120 of 120 epochs (100%)" in terminal.getvalue()


def test_the_live_view_follows_the_files_until_ctrl_c(
    study: Study, results: Path, terminal: Terminal, monkeypatch: pytest.MonkeyPatch
) -> None:
    slept = []

    def sleep(seconds: float) -> None:
        slept.append(seconds)
        if len(slept) == 2:
            raise KeyboardInterrupt
        write_json(folder_of(results, "teacher") / "manifest.json", {})

    monkeypatch.setattr("time.sleep", sleep)
    show(results, False, terminal)
    text = terminal.getvalue()
    assert slept == [2.0, 2.0]
    assert text.index("trainings: 9 waiting") < text.index("trainings: 1 done, 8 waiting")
    # The cursor is shown again.
    assert text.rindex("\x1b[?25h") > text.rindex("\x1b[?25l")


def test_view_shows_each_state_with_what_matters(study: Study, mixed: Path) -> None:
    lines = drawn(trainings(study, mixed), 140, 30)
    assert lines[0] == ("tiny: 9 trainings: 1 running, 1 failed, 1 stopped, 1 done, 5 waiting")
    assert "33 of 120 epochs (28%); the running ones end in about 0:00:10" in lines[1]
    assert lines[2].split()[:4] == ["setting", "model", "seed", "state"]
    assert " ".join(lines[3].split()) == RUNNING
    # The setting stands once; markup in a log is text.
    assert lines[4].split() == ["sft_teacher", "0", "failed", "error:", "[red]bad[/red]"]
    assert lines[5].split()[2] == "stopped"
    assert lines[5].endswith("the same command goes on there")
    assert lines[6].split()[:3] == ["teacher", "0", "done"]
    assert [line.split()[2] for line in lines[7:]] == ["waiting"] * 5


@pytest.mark.parametrize("width", [40, 80, 140])
@pytest.mark.parametrize("height", [5, 8, 12, 24, 60])
def test_view_fits_any_terminal(width: int, height: int) -> None:
    found = [
        replace(t, note="long " * 50)
        for setting in ("a", "b", "c")
        for state in reading.STATES
        for t in made(4, state, setting)
    ]
    lines = drawn(found, width, height)
    assert len(lines) < height
    assert max(map(len, lines)) <= width


def test_a_long_list_counts_what_is_done_and_waiting() -> None:
    found = [*made(9, "done"), *made(2, "stopped"), *made(8, "waiting"), *made(1, "running")]
    found += [*made(3, "waiting", "other"), *made(1, "failed", "other"), *made(2, "done", "last")]
    whole = arranged(found, 26)
    assert len(whole) == 26
    states = [t.state for t in whole if isinstance(t, TrainingStatus) and t.dataset == "tiny"]
    assert states == ["running"] + ["stopped"] * 2 + ["done"] * 9 + ["waiting"] * 8
    # Order within a state is the study's.
    assert [t.seed for t in whole[3:12] if isinstance(t, TrainingStatus)] == list(range(9))

    short = arranged(found, 25)
    assert short == arranged(found, 7)
    assert [x.text if isinstance(x, Counted) else x.state for x in short] == [
        "running",
        "stopped",
        "stopped",
        "9 done, 8 waiting",
        "failed",
        "3 waiting",
        "2 done",
    ]
    lines = drawn(found, 120, 20)
    assert "tiny/4x   9 done" not in lines[6]
    assert lines[6].split() == ["9", "done,", "8", "waiting"]
    assert lines[7].split()[0] == "other/4x"


def test_a_list_with_too_many_notable_ones_shows_the_first_by_state() -> None:
    found = [*made(5, "stopped"), *made(4, "failed"), *made(3, "running"), *made(9, "done")]
    shortest = arranged(found, 6)
    assert [x.text if isinstance(x, Counted) else x.state for x in shortest] == [
        *["running"] * 3,
        *["failed"] * 2,
        "and 2 failed, 5 stopped, 9 done; --once lists all",
    ]
    assert len(arranged(found, 0)) == 1


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("nowhere", r"nowhere: no such folder or configuration; .*results/STUDY"),
        ("empty", r"empty: holds no config\.yaml, which a run writes there; .*--config"),
        ("not.yaml", r"not\.yaml: holds no mapping"),
        ("bad.yaml", r"bad\.yaml: datasets: "),
    ],
)
def test_what_is_not_there_is_said_in_one_line(name: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "not.yaml").write_text("- 1\n")
    (tmp_path / "bad.yaml").write_text("study: tiny\ndatasets: {}\n")
    with pytest.raises(InputError, match=message) as caught:
        show(tmp_path / name, False, io.StringIO())
    assert "\n" not in str(caught.value)


def test_a_configuration_stands_for_its_results(
    mixed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    config = tmp_path / "mine.yaml"
    config.write_text((mixed / "config.yaml").read_text())
    of_config, of_folder = io.StringIO(), io.StringIO()
    show(config, True, of_config)
    show(mixed, True, of_folder)
    assert of_config.getvalue() == of_folder.getvalue()


def test_the_command_prints_once_when_piped(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["status", str(tmp_path / "gone")]) == 2
    assert "gone" in capsys.readouterr().err
    study = study_with()
    write_text(tmp_path / "config.yaml", yaml.safe_dump(study.model_dump(mode="json")))
    assert main(["status", str(tmp_path)]) == 0
    printed = capsys.readouterr().out
    assert printed.count(" waiting ") == len(study.model_names())
