"""The multi-process service (MPS), by which processes compute on one GPU at the same time."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

CONTROL = "nvidia-cuda-mps-control"
#: Environment variables that lead CUDA to a service of one's own.
PIPES, LOG = "CUDA_MPS_PIPE_DIRECTORY", "CUDA_MPS_LOG_DIRECTORY"


@contextmanager
def sharing(folder: Path, *, wanted: bool = True) -> Iterator[bool]:
    """A service of one's own, in a folder, for the processes started meanwhile; whether there is
    one. It is stopped afterwards.
    """
    if not wanted or not shutil.which(CONTROL):
        yield False
        return
    folder.mkdir(parents=True, exist_ok=True)
    before = {name: os.environ.get(name) for name in (PIPES, LOG)}
    os.environ.update({PIPES: str(folder), LOG: str(folder)})
    try:
        done = subprocess.run(
            [CONTROL, "-d"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, timeout=20
        )
        yield done.returncode == 0
    except subprocess.TimeoutExpired:
        yield False
    finally:
        with suppress(OSError, subprocess.SubprocessError):
            subprocess.run([CONTROL], input="quit\n", text=True, capture_output=True, timeout=20)
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
