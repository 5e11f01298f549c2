"""What the end of a step's log says of its cause."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipeline_src.operations.logs import error_line

TRACEBACK = """\
Traceback (most recent call last):
  File "x.py", line 1, in <module>
OSError: [Errno 28] No space left on device"""


@pytest.mark.parametrize(
    "line",
    [
        "error: no data",
        "slurmstepd: error: Detected 1 oom_kill event in StepId=7.0.",
        "OSError: [Errno 28] No space left on device",
        "/bin/bash: line 1: python: command not found",
        "/usr/bin/bash: line 1: 4711 Bus error               (core dumped) python -m pipeline_src",
        "/var/spool/slurmd/job7/slurm_script: line 4:  4711 Killed                  python -m x",
        "sh: 1: python: not found",
        "python: command not found",
        "Killed",
        "Illegal instruction (core dumped)",
        "Segmentation fault",
        "tee: results/tiny/heart.log: No space left on device",
    ],
)
def test_errors_of_python_shell_and_system_are_found(line: str, tmp_path: Path) -> None:
    log = tmp_path / "heart.log"
    log.write_text(f"begun\n{TRACEBACK if line in TRACEBACK else line}\n\n")
    assert error_line(log) == line


@pytest.mark.parametrize(
    "line",
    [
        "epoch 3 of 50, 0.021",
        "stopped by SIGTERM in stage reconstruction; the same command goes on",
        "/usr/bin/bash: line 1: 4711 Terminated              python -m pipeline_src",
        "Terminated",
        "Killed cells are masked",
    ],
)
def test_other_ends_are_no_errors(line: str, tmp_path: Path) -> None:
    log = tmp_path / "heart.log"
    log.write_text(f"begun\n{line}\n")
    assert error_line(log) == ""
