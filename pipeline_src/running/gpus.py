"""One GPU for each training of a machine, where no cluster hands them out."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import takewhile
from pathlib import Path

from pipeline_src import locks

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
    ends, however that happens. Nothing is done where there is none, where SLURM has given this job
    one, or where files cannot be locked, which is said.

    Raises:
        InputError: the locks cannot be kept in a folder that is this user's own.
    """
    names, job = visible_gpus(), os.environ.get("SLURM_JOB_ID")
    if not names or (job and len(names) == 1):
        yield None
        return
    told = False
    folder = _folder()
    while (taken := _take(names, folder)) is None:
        if not told:
            print(f"waiting for a GPU: trainings use {', '.join(names)}", file=sys.stderr)
        told = True
        time.sleep(poll)
    name, handle = taken
    if name is None:
        yield None
        return
    before = os.environ.get(VISIBLE)
    os.environ[VISIBLE] = name
    try:
        yield name
    finally:
        os.close(handle)
        if before is None:
            del os.environ[VISIBLE]
        else:
            os.environ[VISIBLE] = before


def _folder() -> Path:
    # Under SLURM each job counts its own GPUs from 0.
    owner = os.environ.get("SLURM_JOB_ID", f"user_{os.getuid()}")
    return locks.private_folder(f"sft_kd_recon_gpus_{owner.replace(os.sep, '_')}")


def _take(names: list[str], folder: Path) -> tuple[str | None, int] | None:
    """A free GPU and its lock's open file; no name where files cannot be locked; None where all
    GPUs are taken."""
    for name in names:
        path = folder / f"{name.replace(os.sep, '_')}.lock"
        try:
            handle = locks.hold(path)
        except OSError as error:
            print(
                f"{path}: cannot be locked ({error.strerror}); goes on without asking whether "
                "another training uses the GPU",
                file=sys.stderr,
            )
            return None, -1
        if handle is not None:
            return name, handle
    return None
