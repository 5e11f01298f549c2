"""Commands of the pipeline that are stopped when their time is over."""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

from benchmarks.gpu.study_commands import PROJECT


def bounded(command: list[str], until: float, folder: Path) -> str:
    """Run a command until a time at most: `finished`, `stopped at its limit` or its status.

    Its output is the phase's. It is asked to stop first, so that trainings save their state.
    """
    environment = {**os.environ, "PATH": f"{_python(folder)}:{os.environ.get('PATH', '')}"}
    environment.setdefault("OMP_NUM_THREADS", "1")
    environment["PYTHONPATH"] = os.pathsep.join(
        filter(None, (str(PROJECT), os.environ.get("PYTHONPATH")))
    )
    print(f"$ {shlex.join(command)}", flush=True)
    process = subprocess.Popen(command, cwd=PROJECT, env=environment, start_new_session=True)
    try:
        status = process.wait(timeout=max(1.0, until - time.time()))
    except subprocess.TimeoutExpired:
        for number, seconds in ((signal.SIGTERM, 5.0), (signal.SIGKILL, 5.0)):
            os.killpg(process.pid, number)
            try:
                process.wait(timeout=seconds)
                break
            except subprocess.TimeoutExpired:
                continue
        return "stopped at its limit"
    finally:
        # Jobs that outlive their Snakemake would work on against those that follow.
        _end_group(process.pid)
    return "finished" if status == 0 else f"ended with status {status}"


def _end_group(group: int) -> None:
    with suppress(ProcessLookupError):
        os.killpg(group, signal.SIGKILL)


def _python(folder: Path) -> Path:
    """A folder with this Python under the name that the rules call."""
    names = folder / "bin"
    names.mkdir(parents=True, exist_ok=True)
    script = names / "python"
    # No link: a virtual environment is known by the place of its interpreter.
    script.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} "$@"\n')
    script.chmod(0o755)
    return names
