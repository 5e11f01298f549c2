"""One GPU for each training of a machine, where no cluster hands them out."""

from __future__ import annotations

import fcntl
import os
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import takewhile
from pathlib import Path
from typing import IO

VISIBLE = "CUDA_VISIBLE_DEVICES"


def visible_gpus() -> list[str]:
    """GPUs that this process may use, as CUDA names them: those that the environment declares, else
    those whose device files are there."""
    declared = os.environ.get(VISIBLE)
    if declared is not None:
        names = [name.strip() for name in declared.split(",")]
        # CUDA takes no notice of what follows a name that it does not know.
        return list(takewhile(lambda name: name not in ("", "-1"), names))
    # CUDA counts those that are there, whatever their files are called.
    return [str(number) for number, _ in enumerate(Path("/dev").glob("nvidia[0-9]*"))]


@contextmanager
def one_gpu(poll: float = 0.5) -> Iterator[str | None]:
    """Use one GPU that no other training of this user uses; waits until one is free.

    Must come before CUDA is started. The system gives a GPU free when the process that held it
    ends, however that happens. Nothing is done where there is none, or where SLURM has given this
    job one.
    """
    names, job = visible_gpus(), os.environ.get("SLURM_JOB_ID")
    if not names or (job and len(names) == 1):
        yield None
        return
    told = False
    while (taken := _take(names)) is None:
        if not told:
            print(f"waiting for a GPU: trainings use {', '.join(names)}", file=sys.stderr)
        told = True
        time.sleep(poll)
    name, stream = taken
    before = os.environ.get(VISIBLE)
    os.environ[VISIBLE] = name
    try:
        yield name
    finally:
        stream.close()
        if before is None:
            del os.environ[VISIBLE]
        else:
            os.environ[VISIBLE] = before


def _take(names: list[str]) -> tuple[str, IO[str]] | None:
    # Under SLURM each job counts its own GPUs from 0.
    owner = os.environ.get("SLURM_JOB_ID", f"user_{os.getuid()}")
    folder = Path(tempfile.gettempdir()) / f"sft_kd_recon_gpus_{owner}"
    folder.mkdir(mode=0o700, exist_ok=True)
    for name in names:
        stream = (folder / f"{name.replace(os.sep, '_')}.lock").open("a")
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            stream.close()
        else:
            return name, stream
    return None
