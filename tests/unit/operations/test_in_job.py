"""A signal to the Snakemake within a job reaches the training below it."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest
from waiting import PATIENCE, wait_until

OUTER = """
import signal, subprocess, sys
from pathlib import Path
from pipeline_src.operations.cluster.in_job import pass_signals_on
pass_signals_on()
# As Snakemake does, later than the Snakefile: it waits for its job, and takes its status.
signal.signal(signal.SIGTERM, lambda *_: None)
# The shell between is not told; it waits for the training as well.
job = subprocess.Popen(["bash", "-c", f"{sys.executable} {sys.argv[1]}; exit $?"])
sys.exit(job.wait())
"""
TRAINING = """
import signal, sys, time
from pathlib import Path
here = Path(__file__).parent
def stop(number, frame):
    (here / "told").write_text(signal.Signals(number).name)
    sys.exit(75)
signal.signal(signal.SIGTERM, stop)
signal.signal(signal.SIGUSR1, stop)
(here / "ready").touch()
time.sleep(600)
"""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGUSR1])
def test_signals_are_passed_on(number: signal.Signals, tmp_path: Path) -> None:
    (tmp_path / "training.py").write_text(TRAINING)
    command = [sys.executable, "-c", OUTER, str(tmp_path / "training.py")]
    with subprocess.Popen(command) as outer:
        wait_until((tmp_path / "ready").exists, "the training")
        outer.send_signal(number)
        assert outer.wait(timeout=PATIENCE) == 75
    assert (tmp_path / "told").read_text() == number.name
