"""A fork server, and commands that ask it."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import psutil
from waiting import wait_until

from pipeline_src.acceleration.fork_client import VARIABLE, socket_name

ROOT = Path(__file__).resolve().parents[3]
PROGRAM = ("-m", "pipeline_src.acceleration.fork_server")


class Server:
    """A fork server, and commands that ask it."""

    def __init__(self, folder: Path, program: Sequence[str] = PROGRAM) -> None:
        folder.mkdir()
        self.address = folder / socket_name()
        self.process = subprocess.Popen(
            [sys.executable, *program, str(self.address)],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            env=os.environ | {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"},
        )
        wait_until(lambda: self.address.exists() or self.process.poll() is not None, "the server")

    def begin(self, *command: str, **settings: Any) -> subprocess.Popen[str]:
        """A command whose process may ask the server."""
        environment = {VARIABLE: str(self.address), "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
        environment |= settings.pop("environment", {})
        return subprocess.Popen(
            [sys.executable, "-m", "pipeline_src", *command],
            env=os.environ | environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            **settings,
        )

    def run(self, *command: str, **settings: Any) -> tuple[int, str, str]:
        """Exit status, output and errors of a command."""
        process = self.begin(*command, **settings)
        output, errors = process.communicate(timeout=60)
        return process.returncode, output, errors

    def forks(self) -> list[psutil.Process]:
        return psutil.Process(self.process.pid).children()

    def close(self) -> None:
        assert self.process.stdin
        self.process.stdin.close()

    def stop(self) -> None:
        for fork in self.forks() if self.process.poll() is None else []:
            fork.kill()
        self.process.kill()
        self.process.communicate()
