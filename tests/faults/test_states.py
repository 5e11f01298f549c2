"""Signals, full disks, damaged states, losses that are not numbers, two at once."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from multiprocessing.context import ForkServerProcess
from pathlib import Path

import numpy as np
import pytest
from fault_helpers import (
    INPUT_ERROR,
    INTERRUPTED,
    KILLED,
    TWO_STAGE,
    Start,
    Uninterrupted,
    assert_same_result,
    finish,
    log,
)
from fault_worker import Job
from training_helpers import SIZE, Files, prepared_data
from waiting import wait_until

from pipeline_src.data.store import write_store
from pipeline_src.planning.places import PREVIOUS_STATE, STATE
from pipeline_src.running.resume_state import read_state
from pipeline_src.running.training_lock import is_locked

pytest_plugins = ["shared_fixtures"]

Make = Callable[..., Job]
Seen = Callable[..., None]
KIND = "SFT-KD AT, two stages"


@pytest.fixture
def stopped(job: Make, start: Start, tmp_path: Path) -> Path:
    """The folder of a training that was killed half-way."""
    output = tmp_path / "stopped"
    # Between the two renames of a save there is only the state before: then a little further.
    while not (output / STATE).exists():
        process = start(job(KIND, output))
        wait_until(
            lambda: (output / PREVIOUS_STATE).exists() and (output / STATE).exists(),
            "a second save",
        )
        process.kill()
        assert finish(process) == KILLED
    (tmp_path / "stopped.log").unlink()
    return output


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGUSR1])
def test_signal_saves_and_exits_with_its_own_status(
    number: signal.Signals,
    job: Make,
    start: Start,
    uninterrupted: Uninterrupted,
    seen: Seen,
    tmp_path: Path,
) -> None:
    output = tmp_path / "out"
    # Nothing but the signal makes it save within an epoch.
    process = start(replace(job(KIND, output), save_every=1e9))
    wait_until(lambda: (output / STATE).exists(), "a save")
    assert process.pid is not None
    os.kill(process.pid, number)
    assert finish(process) == INTERRUPTED, log(output)
    assert f"stopped by {number.name} in stage" in log(output)
    assert not is_locked(output)
    assert finish(start(job(KIND, output))) == 0
    assert "goes on after" in log(output)
    assert_same_result(output, uninterrupted(KIND)[0])
    seen(number.name, KIND, 1, "saved, exit status 75, went on to the same bits")


def test_full_disk_while_saving(
    job: Make, start: Start, uninterrupted: Uninterrupted, seen: Seen, tmp_path: Path
) -> None:
    """A limit on the size of files: large enough for weights, too small for a state."""
    output = tmp_path / "out"
    assert finish(start(job(KIND, output, largest_file=60_000))) == 0, log(output)
    assert "state not saved, training goes on: " in log(output)
    assert_same_result(output, uninterrupted(KIND)[0])
    seen("no room for the state", KIND, 1, "said so, trained on to the same bits")


def test_full_disk_at_the_end_keeps_the_state(
    stopped: Path, job: Make, start: Start, uninterrupted: Uninterrupted, seen: Seen
) -> None:
    """Too small for the weights: one line, and nothing of what was trained is lost."""
    before = (stopped / STATE).read_bytes()
    assert finish(start(job(KIND, stopped, largest_file=2500))) == INPUT_ERROR
    assert "weights.safetensors: cannot be written (" in log(stopped).splitlines()[-1]
    assert (stopped / STATE).read_bytes() == before
    assert not (stopped / "weights.safetensors").exists()
    assert finish(start(job(KIND, stopped))) == 0
    assert_same_result(stopped, uninterrupted(KIND)[0])
    seen("no room for the weights", KIND, 1, "one line; state kept; same bits once there was room")


def test_damaged_state_falls_back_to_the_one_before(
    stopped: Path, job: Make, start: Start, uninterrupted: Uninterrupted, kills: int, seen: Seen
) -> None:
    draw = random.Random("bytes")
    current, previous = stopped / STATE, stopped / PREVIOUS_STATE
    good = {path: path.read_bytes() for path in (current, previous)}
    for _ in range(kills):
        for path, content in good.items():
            path.write_bytes(content)
        size = len(good[current])
        if draw.random() < 0.5:
            current.write_bytes(good[current][: draw.randrange(size)])
        else:
            at = draw.randrange(size)
            flipped = bytes([good[current][at] ^ (1 << draw.randrange(8))])
            current.write_bytes(good[current][:at] + flipped + good[current][at + 1 :])
        assert finish(start(job(KIND, stopped))) == 0, log(stopped)
        assert f"{current}: state is damaged" in log(stopped)
        assert_same_result(stopped, uninterrupted(KIND)[0])
    assert log(stopped).count("goes on after") == kills
    seen("state cut or a bit flipped", KIND, kills, "fell back to the one before; same bits")


def test_both_states_damaged_starts_anew(
    stopped: Path, job: Make, start: Start, uninterrupted: Uninterrupted
) -> None:
    for name in (STATE, PREVIOUS_STATE):
        (stopped / name).write_bytes(b"")
    assert finish(start(job(KIND, stopped))) == 0
    assert "goes on after" not in log(stopped)
    assert_same_result(stopped, uninterrupted(KIND)[0])


def test_state_of_another_training_is_refused_with_a_line(
    stopped: Path, job: Make, start: Start, seen: Seen
) -> None:
    other = job(KIND, stopped)
    configuration = {**TWO_STAGE, "training": {**TWO_STAGE["training"], "learning_rate": 0.01}}
    assert finish(start(replace(other, configuration=configuration))) == 0
    assert f"{stopped / STATE}: not resumed, it is the state of another training" in log(stopped)
    assert "goes on after" not in log(stopped)
    assert not list(stopped.glob("training.*"))
    seen("state of another configuration", KIND, 1, "refused with a line; trained anew")


def test_loss_that_is_no_number_names_the_batch_and_keeps_the_last_good_state(
    files: Files, job: Make, start: Start, seen: Seen, tmp_path: Path
) -> None:
    prepared = prepared_data()
    # Patient b's second slice.
    prepared.images[4] = np.full((SIZE, SIZE), 3e38, np.float32)
    write_store(tmp_path / "volumes.h5", prepared, {"dataset": "tiny"})
    bad = job("teacher", tmp_path / "out")
    bad = replace(bad, inputs=replace(bad.inputs, store=tmp_path / "volumes.h5"))
    assert finish(start(bad)) == INPUT_ERROR
    [line] = [text for text in log(bad.output).splitlines() if text.startswith("error: ")]
    assert "stage reconstruction, epoch 1, training batch " in line
    assert "b)" in line
    state = bad.output / STATE
    if state.exists():  # of the batches before
        for name, tensor in read_state(state).tensors.items():
            assert tensor.isfinite().all(), name
    seen("loss not finite", "teacher", 1, "stage, epoch, batch and patients named")


def test_diverging_training_keeps_the_last_good_state(
    job: Make, start: Start, tmp_path: Path
) -> None:
    # The rate grows a millionfold every second epoch: good at first.
    training = {**TWO_STAGE["training"], "lr_step": 2, "learning_rate": 1e-3, "epochs": 30}
    loss = Path(__file__).parent / "diverging_loss.py"
    assert loss.exists()
    configuration = {
        **TWO_STAGE,
        "training": training,
        "methods": {"diverging": {"module": "diverging_loss"}},
        "evaluation": {},
        "distillation": {"protocol": "joint"},
    }
    wanted = replace(
        job("Std-KD FSP, two stages", tmp_path / "out"),
        configuration=configuration,
        model="std_kd_diverging",
    )
    assert finish(start(wanted)) == INPUT_ERROR, log(wanted.output)
    last = log(wanted.output).splitlines()[-1]
    assert "stage joint, epoch " in last
    saved = read_state(wanted.output / STATE)
    assert all(tensor.isfinite().all() for tensor in saved.tensors.values())
    assert saved.facts["position"]["epoch"] > 1
    # Started again it goes on from there, and stops at the same place with the same words.
    assert finish(start(wanted)) == INPUT_ERROR
    assert log(wanted.output).splitlines()[-1] == last
    assert "goes on after" in log(wanted.output)


def two_at_once(job: Make, start: Start, output: Path) -> list[ForkServerProcess]:
    """A training that stands still half-way, and a second process that waits for it."""
    first = start(job(KIND, output, kill_at=40, kill_by=signal.SIGSTOP))
    status = Path(f"/proc/{first.pid}/stat")
    wait_until(lambda: status.read_text().rpartition(")")[2].split()[0] == "T", "it to stop")
    assert (output / STATE).exists()
    second = start(job(KIND, output))
    wait_until(lambda: "waiting for process" in log(output), "its wait")
    return [first, second]


def test_second_process_waits_and_takes_the_result(
    job: Make, start: Start, uninterrupted: Uninterrupted, seen: Seen, tmp_path: Path
) -> None:
    output = tmp_path / "out"
    first, second = two_at_once(job, start, output)
    assert first.pid
    os.kill(first.pid, signal.SIGCONT)
    assert finish(first) == 0
    assert finish(second) == 0
    assert "complete; trained by the process that was waited for" in log(output)
    assert_same_result(output, uninterrupted(KIND)[0])
    seen("two processes on one training", KIND, 1, "the second waited; trained once")


def test_second_process_goes_on_when_the_first_is_killed(
    job: Make, start: Start, uninterrupted: Uninterrupted, tmp_path: Path
) -> None:
    output = tmp_path / "out"
    first, second = two_at_once(job, start, output)
    first.kill()
    assert finish(second) == 0
    assert "goes on after" in log(output)
    assert_same_result(output, uninterrupted(KIND)[0])


def test_read_only_results_folder_is_one_line(
    job: Make, files: Files, seen: Seen, tmp_path: Path
) -> None:
    """By the command line, as another user where root runs the tests."""
    if os.geteuid() == 0 and not _can_become_another_user():
        pytest.skip("root cannot act as another user here, and no permission bit binds it")
    folder = tmp_path / "results"
    folder.mkdir(mode=0o555)
    program = (
        "import os, sys\n"
        "from pathlib import Path\n"
        "from pipeline_src.running import training_run\n"
        "from pipeline_src.errors import InputError\n"
        "from pipeline_src.running.interruption import Interruption\n"
        "from pipeline_src.running.training_lock import locked\n"
        "os.geteuid() or os.seteuid(65534)\n"
        "try:\n"
        "    with Interruption() as stop, locked(Path(sys.argv[1]), stop):\n"
        "        print('locked')\n"
        "except InputError as error:\n"
        "    print(error)\n"
    )
    for part in tmp_path.parents:
        if part.name.startswith("pytest"):
            part.chmod(0o755)
    done = subprocess.run(
        [sys.executable, "-c", program, str(folder / "training")], capture_output=True, text=True
    )
    assert done.stdout.startswith(f"{folder}/training/training.lock: cannot be locked ("), done
    assert done.stdout.count("\n") == 1
    seen("read-only results folder", "any", 1, "one line before anything is computed")


def _can_become_another_user() -> bool:
    try:
        os.seteuid(65534)
        os.seteuid(0)
    except OSError:
        return False
    return True
