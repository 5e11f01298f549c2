"""Opens lock files safely, even in folders that other users can write to.

A link, a pipe, a device or another user's file under a lock's name is never followed, waited for or
written to.
"""

from __future__ import annotations

import errno
import fcntl
import os
import socket
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from pipeline_src.errors import InputError

#: What file systems without locks say, such as Lustre that is mounted without `flock`, or some NFS.
NO_LOCKS = (errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOTSUP)
#: Where all processes of a machine meet.
SHARED = Path("/tmp")
_SAFELY = os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


def open_lock(path: Path) -> int:
    """Open a lock file for reading and writing, as a descriptor; makes it where there is none.

    Raises:
        InputError: what lies there is not a regular file of this user alone.
        OSError: it cannot be opened or made.
    """
    while True:
        try:
            return os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | _SAFELY, 0o666)
        except FileExistsError:
            pass
        try:
            handle = os.open(path, os.O_RDWR | _SAFELY)
        except FileNotFoundError:
            continue  # Its holder has just removed it.
        except OSError as error:
            if problem := _problem(os.lstat(path)):
                raise InputError(f"{path}: {problem}") from error
            raise
        if problem := _problem(os.fstat(handle)):
            os.close(handle)
            raise InputError(f"{path}: {problem}")
        return handle


def _problem(status: os.stat_result) -> str:
    """What keeps a file from being this user's lock file; empty where nothing does."""
    if not stat.S_ISREG(status.st_mode):
        return "is not a regular file, so it cannot be a lock; remove it"
    if status.st_uid != os.geteuid():
        return "belongs to another user; once nobody works there, remove it"
    if status.st_nlink > 1:
        return "is a file with another name too, so it cannot be a lock; remove it"
    return ""


def try_lock(handle: int) -> bool:
    """Lock an open file for this process; False if another process holds the lock.

    Raises:
        OSError: it cannot be locked; its number is one of `NO_LOCKS` if no file can be.
    """
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def hold(path: Path) -> int | None:
    """Open a lock file and lock it; None if another process holds the lock.

    Raises:
        InputError, OSError: as in `open_lock` and `try_lock`.
    """
    handle, locked = open_lock(path), False
    try:
        locked = try_lock(handle)
    finally:
        if not locked:
            os.close(handle)
    return handle if locked else None


@contextmanager
def alone_in(folder: Path, what: str) -> Iterator[None]:
    """Keep other processes of the same kind out of a folder; ``what`` names them in the message.

    Where folders cannot be locked, nobody is kept out.

    Raises:
        InputError: another one is in it.
    """
    handle = os.open(folder, os.O_RDONLY)
    try:
        with suppress(OSError):
            if not try_lock(handle):
                raise InputError(
                    f"{folder}: another {what} works in it; wait for it, or give another folder"
                )
        yield
    finally:
        os.close(handle)


def is_locked(path: Path) -> bool:
    """Whether a process holds this lock now; needs no write permission."""
    try:
        handle = os.open(path, os.O_RDONLY | _SAFELY)
    except OSError:
        return False
    try:
        fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        pass
    finally:
        os.close(handle)
    return False


def sign(handle: int) -> None:
    """Write into a lock file who holds it."""
    os.ftruncate(handle, 0)
    os.pwrite(handle, f"process {os.getpid()} on {socket.gethostname()}\n".encode(), 0)


def holder(path: Path) -> str:
    """Who holds a lock, as `sign` wrote it; empty if that cannot be read."""
    try:
        handle = os.open(path, os.O_RDONLY | _SAFELY)
    except OSError:
        return ""
    try:
        regular = stat.S_ISREG(os.fstat(handle).st_mode)
        return os.read(handle, 200).decode(errors="replace").strip() if regular else ""
    except OSError:
        return ""
    finally:
        os.close(handle)


def lock_problem(folder: Path) -> str:
    """Why files in this folder cannot be locked; empty where they can, or nothing can be written.

    A folder that is not there yet is asked for by the one that it will be in.
    """
    try:
        with tempfile.TemporaryFile(dir=nearest_folder(folder)) as stream:
            try_lock(stream.fileno())
    except OSError as error:
        if error.errno in NO_LOCKS:
            return f"its file system has no file locks ({error.strerror})"
    return ""


def nearest_folder(folder: Path) -> Path:
    """The folder, or the nearest one above it that exists."""
    # The root is there, so one is found. A file in a folder's place is found too: nothing can be
    # written to it, and whoever tries is told why.
    return next(place for place in (folder, *folder.absolute().parents) if place.exists())


def private_folder(name: str) -> Path:
    """A folder of this user alone, the same for all of their processes on this machine.

    It lies below `/tmp`, whatever TMPDIR says and however the user has logged in. Where another
    user has taken the name, it lies in XDG_RUNTIME_DIR, if that is this user's own.

    Raises:
        InputError: neither can be had.
    """
    shared = SHARED / name
    own = os.environ.get("XDG_RUNTIME_DIR")
    for folder in (shared, Path(own) / name if own and _is_private(Path(own)) else None):
        if folder is not None and _make_private(folder):
            return folder
    raise InputError(
        f"{shared}: is not this user's own folder, so no lock can be kept there; have it removed, "
        "or let XDG_RUNTIME_DIR name a folder that belongs to this user alone"
    )


def _make_private(folder: Path) -> bool:
    try:
        folder.mkdir(mode=0o700)
    except FileExistsError:
        pass
    except OSError:
        return False
    return _is_private(folder)


def _is_private(folder: Path) -> bool:
    """Whether it is a folder, not a link to one, of this user, that nobody else can write to."""
    try:
        status = folder.lstat()
    except OSError:
        return False
    own = stat.S_ISDIR(status.st_mode) and status.st_uid == os.geteuid()
    return own and not status.st_mode & (stat.S_IWGRP | stat.S_IWOTH)
