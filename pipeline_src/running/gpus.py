"""Assigns each training on this machine a GPU, if no cluster does: its own, unless trainings are
asked to share.
"""

from __future__ import annotations

import os
import re
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from itertools import takewhile
from pathlib import Path

from pipeline_src import locks
from pipeline_src.errors import InputError

VISIBLE = "CUDA_VISIBLE_DEVICES"
#: Environment variable with how many trainings may share a GPU; Snakemake's process sets it.
SHARED_BY = "SFT_KD_RECON_TRAININGS_PER_GPU"


def visible_gpus() -> list[str]:
    """GPUs that this process may use, by CUDA's names: those in the environment variable, else
    those with a device file.
    """
    declared = os.environ.get(VISIBLE)
    if declared is not None:
        names = [name.strip() for name in declared.split(",")]
        # CUDA ignores everything after a name that it does not know.
        return list(takewhile(lambda name: name not in ("", "-1"), names))
    # CUDA numbers the GPUs consecutively, whatever their device files are called.
    return [str(number) for number, _ in enumerate(Path("/dev").glob("nvidia[0-9]*"))]


def torch_knows_gpus() -> bool:
    """Whether torch is built for GPUs, according to its file of versions."""
    found = find_spec("torch")
    version = Path(found.origin).with_name("version.py") if found and found.origin else Path()
    if not version.is_file():
        return True  # an unknown layout of torch's files; torch itself will show
    text = version.read_text(encoding="utf-8")
    built_for = re.findall(r"^(?:cuda|hip)\b[^=\n]*=\s*(\S+)", text, re.MULTILINE)
    return not built_for or any(value != "None" for value in built_for)


def trainings_per_gpu() -> int:
    """How many trainings may use a GPU at once; 1 by default.

    Raises:
        InputError: the environment variable is not a number.
    """
    told = os.environ.get(SHARED_BY, "1")
    if not told.isascii() or not told.isdigit() or int(told) < 1:
        raise InputError(f"{SHARED_BY}={told}: give how many trainings share a GPU, such as 2")
    return int(told)


def share_gpus(asked: int) -> str:
    """Let the trainings that this process starts share GPUs, if more of them are to run at once
    than there are GPUs.

    Returns a line that says so, else an empty text. A value that is already in the environment is
    kept.
    """
    names = visible_gpus()
    if SHARED_BY in os.environ or not names or asked <= len(names):
        return ""
    share = -(-asked // len(names))
    os.environ[SHARED_BY] = str(share)
    gpus = "the GPU" if len(names) == 1 else f"each of {len(names)} GPUs"
    return f"gpu={asked}: up to {share} trainings share {gpus}, its memory and its time"


@contextmanager
def one_gpu(poll: float = 0.5) -> Iterator[str | None]:
    """Reserve a GPU that no other training of this user has, or that may be shared by more; waits
    until there is one.

    Must be called before CUDA is started. The system releases the GPU when the process that holds
    it ends, however that happens. Does nothing if there is no GPU, if torch is built for the CPU
    only, if SLURM assigned a GPU to this job, or if files cannot be locked, about which it prints a
    message.

    Raises:
        InputError: the locks cannot be kept in a folder that is this user's own, or `SHARED_BY` is
            not a number.
    """
    names, job, share = visible_gpus(), os.environ.get("SLURM_JOB_ID"), trainings_per_gpu()
    if not names or not torch_knows_gpus() or (job and len(names) == 1):
        yield None
        return
    told = False
    folder = _folder()
    while (taken := _take(names, folder, share)) is None:
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
    # Under SLURM each job numbers its own GPUs from 0.
    owner = os.environ.get("SLURM_JOB_ID", f"user_{os.getuid()}")
    return locks.private_folder(f"sft_kd_recon_gpus_{owner.replace(os.sep, '_')}")


def _take(names: list[str], folder: Path, share: int) -> tuple[str | None, int] | None:
    """A GPU and the open file of its lock, preferring an unused one; without a name if files cannot
    be locked; None if all GPUs are taken.
    """
    for place in range(share):
        for name in names:
            others = f".{place}" if place else ""
            path = folder / f"{name.replace(os.sep, '_')}{others}.lock"
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
