"""What a launcher that a script started in the background leaves to its Snakemake."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

PROJECT = Path(__file__).resolve().parents[3]


def test_snakemake_can_be_interrupted_where_the_launcher_ignores_it(tmp_path: Path) -> None:
    """A shell's script starts what ends in `&` with SIGINT ignored, and children inherit that."""
    (tmp_path / "snakemake.py").write_text(
        "import signal\nprint('SIGINT:', signal.getsignal(signal.SIGINT))\n"
    )
    squeue = tmp_path / "squeue"
    squeue.write_text("#!/bin/sh\n")
    squeue.chmod(0o755)
    path = os.pathsep.join([str(tmp_path), os.environ["PATH"]])
    done = subprocess.run(
        [sys.executable, "-m", "pipeline_src", "launch", "--", "all"],
        cwd=tmp_path,
        env=os.environ | {"PATH": path, "PYTHONPATH": str(PROJECT)},
        capture_output=True,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_IGN),
    )
    assert done.returncode == 0, done.stderr
    assert "default_int_handler" in done.stdout
