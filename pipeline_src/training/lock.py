"""One process at a time in a training's folder."""

from __future__ import annotations

import fcntl
import os
import socket
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

from pipeline_src.errors import InputError
from pipeline_src.training.interruption import Interruption

NAME = "training.lock"


@contextmanager
def locked(folder: Path, interruption: Interruption, poll: float = 0.5) -> Iterator[bool]:
    """Hold the folder's lock; waits for a process that has it, and yields whether it had to.

    The system lets go of the lock when its process ends, however that happens; the file says who
    holds it.

    Raises:
        InputError: the folder cannot be written to.
        Interrupted: a signal came while waiting.
    """
    path, waited = folder / NAME, False
    while (stream := _take(path)) is None:
        if not waited:
            holder = path.read_text().strip() if path.exists() else "another process"
            print(f"{folder}: waiting for {holder}, which trains it now", file=sys.stderr)
        waited = True
        interruption.leave(f"while waiting for {path}")
        time.sleep(poll)
    with stream:
        try:
            yield waited
        finally:
            path.unlink(missing_ok=True)
            with suppress(OSError):  # where nothing came of it, not even a folder is left
                folder.rmdir()


def _take(path: Path) -> IO[str] | None:
    """The lock's open file, or None where another process has it."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        stream = path.open("a+")
        # Its holder may have removed the file since it was opened.
        if not _try_lock(stream.fileno()) or not _is_current(stream.fileno(), path):
            stream.close()
            return None
        stream.truncate(0)
        stream.write(f"process {os.getpid()} on {socket.gethostname()}\n")
        stream.flush()
    except OSError as error:
        raise InputError(f"{path}: cannot be locked ({error.strerror or error})") from error
    return stream


def is_locked(folder: Path) -> bool:
    """Whether a process trains in this folder now; asks without the right to write."""
    try:
        with (folder / NAME).open("rb") as stream:
            fcntl.flock(stream, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        pass
    return False


def _try_lock(handle: int) -> bool:
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _is_current(handle: int, path: Path) -> bool:
    """Whether the open file is still the one under that name."""
    try:
        return os.fstat(handle).st_ino == path.stat().st_ino
    except FileNotFoundError:
        return False
