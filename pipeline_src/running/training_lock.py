"""Locks a training's folder, so that only one process at a time trains in it."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from pipeline_src import locks
from pipeline_src.errors import InputError
from pipeline_src.running.interruption import Interruption
from pipeline_src.text import printable

NAME = "training.lock"


@contextmanager
def locked(folder: Path, interruption: Interruption, poll: float = 0.5) -> Iterator[bool]:
    """Hold the folder's lock; waits for a process that has it, and yields whether it had to wait.

    The system releases the lock when its process ends, however that happens; the file says who
    holds it. On a file system without locks the training continues without one, with a message.

    Raises:
        InputError: the folder cannot be written to, or the lock's name is taken.
        Interrupted: a signal was received while waiting.
    """
    path, waited = folder / NAME, False
    while (handle := _take(path)) is None:
        if not waited:
            other = locks.holder(path) or "another process"
            waits = f"{folder}: waiting for {other}, which trains it now"
            print(printable(waits), file=sys.stderr)
        waited = True
        interruption.leave(f"while waiting for {path}")
        time.sleep(poll)
    try:
        yield waited
    finally:
        _give_up(handle, path)


def _take(path: Path) -> int | None:
    """The lock's open file, or None if another process has the lock."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle = locks.open_lock(path)
    except OSError as error:
        raise InputError(f"{path}: cannot be locked ({error.strerror or error})") from error
    try:
        # Its holder may have removed the file since it was opened.
        if not _try_lock(handle, path) or not _is_current(handle, path):
            os.close(handle)
            return None
    except OSError as error:
        os.close(handle)
        raise InputError(f"{path}: cannot be locked ({error.strerror or error})") from error
    try:
        locks.sign(handle)
    except OSError as error:  # a full disk, on which a training must not even start
        _give_up(handle, path)
        raise InputError(f"{path}: cannot be written ({error.strerror or error})") from error
    return handle


def _give_up(handle: int, path: Path) -> None:
    path.unlink(missing_ok=True)
    os.close(handle)
    with suppress(OSError):  # if nothing was written, the folder is removed too
        path.parent.rmdir()


def is_locked(folder: Path) -> bool:
    """Whether a process is training in this folder now; needs no write permission."""
    return locks.is_locked(folder / NAME)


def _try_lock(handle: int, path: Path) -> bool:
    try:
        return locks.try_lock(handle)
    except OSError as error:
        if error.errno not in locks.NO_LOCKS:
            raise
        print(
            f"{path.parent}: trains without a lock ({error.strerror}); see to it that no other "
            "process trains there",
            file=sys.stderr,
        )
        return True


def _is_current(handle: int, path: Path) -> bool:
    """Whether the open file is still the one with that name."""
    try:
        return os.fstat(handle).st_ino == path.lstat().st_ino
    except FileNotFoundError:
        return False
