"""Work by several processes: in order, with its errors, and ending with who started it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from waiting import wait_until

from pipeline_src.errors import InputError
from pipeline_src.running.interruption import is_alive
from pipeline_src.running.processes import in_processes

ROOT = Path(__file__).resolve().parents[3]


def test_results_come_in_order_from_other_processes() -> None:
    found = list(in_processes(lambda n: (n * n, os.getpid()), range(7), 3))
    assert [square for square, _ in found] == [n * n for n in range(7)]
    assert os.getpid() not in {process for _, process in found}


@pytest.mark.parametrize(("processes", "things"), [(1, 3), (8, 1)])
def test_one_at_a_time_is_done_here(processes: int, things: int) -> None:
    found = in_processes(lambda _n: os.getpid(), range(things), processes)
    assert set(found) == {os.getpid()}


def test_wrong_input_is_told_as_ever() -> None:
    def refuse(number: int) -> None:
        raise InputError(f"model {number}: is damaged")

    with pytest.raises(InputError, match="model 0: is damaged"):
        list(in_processes(refuse, range(4), 2))


def test_a_killed_process_is_told() -> None:
    def end(_number: int) -> None:
        os.kill(os.getpid(), signal.SIGKILL)

    with pytest.raises(InputError, match=r"--processes 2: .* was killed.*give fewer"):
        list(in_processes(end, range(4), 2))


LINES = """
import os, sys, time
from pathlib import Path
from pipeline_src.running.processes import in_processes

def wait(number):
    (Path(sys.argv[1]) / str(os.getpid())).touch()
    time.sleep(60)

list(in_processes(wait, range(2), 2))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="the system tells of a parent's end on Linux")
def test_processes_end_with_the_one_that_started_them(tmp_path: Path) -> None:
    started = subprocess.Popen([sys.executable, "-c", LINES, str(tmp_path)], cwd=ROOT)
    wait_until(lambda: len(list(tmp_path.iterdir())) == 2, "both processes")
    started.kill()
    started.wait()
    for process in tmp_path.iterdir():
        wait_until(lambda number=int(process.name): not is_alive(number), "a process's end")
