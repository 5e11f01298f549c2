"""Files that appear whole or not at all, and their digests."""

from __future__ import annotations

import errno
import hashlib
import json
import math
import os
import re
import secrets
import shutil
import stat
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from io import BufferedReader, FileIO
from pathlib import Path
from typing import Any

from pipeline_src.errors import InputError

#: Bytes of a file that is read at once at most; a manifest of a large study has some hundred
#: thousand, a figure some million.
LARGEST_FILE = 100_000_000
#: Bytes of images that are held in memory at most; more stay in their file. In memory they do not
#: depend on the disk, and in the file they need not fit into memory.
MOST_HELD = 2 << 30
#: Levels of mappings and lists in JSON.
DEEPEST_JSON = 100
#: What a system says that cannot reserve room on a disk, which is not that there is none.
CANNOT_RESERVE = (errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP)
_SURROGATE = re.compile(r"\\u[dD][89a-fA-F]")


@contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside ``path`` that is renamed to it when the block succeeds.

    The temporary file is there and empty. Its name is unique to the process and keeps the suffix,
    so two writers never mix their bytes and libraries that look at the suffix still know the
    format. When the block raises, nothing is left behind.

    Raises:
        InputError: the folder cannot be created or written to.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = _make_empty(path)
    except OSError as error:
        raise InputError(f"{path}: cannot be written ({error.strerror})") from error
    try:
        yield temporary
        with temporary.open("rb") as stream:
            os.fsync(stream.fileno())
        temporary.replace(path)
    except OSError as error:
        raise InputError(f"{path}: cannot be written ({error.strerror or error})") from error
    finally:
        temporary.unlink(missing_ok=True)


def _make_empty(path: Path) -> Path:
    """A new file of a random name beside ``path``.

    The `tempfile` module would make it private; results follow the user's umask like other files,
    and the system alone applies it without changing it for the process's other threads.
    """
    while True:
        temporary = path.with_name(f".{path.stem}.{secrets.token_hex(4)}{path.suffix}")
        try:
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
            os.close(os.open(temporary, flags, 0o666))
        except FileExistsError:
            continue
        return temporary


def leftovers(path: Path) -> list[Path]:
    """Temporary files that writers of ``path`` left behind when they were killed."""
    return sorted(path.parent.glob(f".{path.stem}.????????{path.suffix}"))


def remove_leftovers(paths: Iterable[Path]) -> None:
    """Remove what writers of ``paths`` left behind when they were killed."""
    for path in paths:
        for leftover in leftovers(path):
            leftover.unlink()


def is_in_use(folder: Path) -> bool:
    """Whether something lies where a new folder is to be: a file, or a folder that is not empty."""
    return folder.exists() and (not folder.is_dir() or any(folder.iterdir()))


@contextmanager
def whole_folder(path: Path) -> Iterator[Path]:
    """Yield a new folder beside ``path`` that is renamed to it when the block succeeds; when the
    block raises, nothing is left behind. An empty folder at ``path`` is replaced.

    Raises:
        InputError: it cannot be written.
    """
    temporary = path.parent / f".{path.name}.{secrets.token_hex(4)}"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary.mkdir()
        yield temporary
        os.replace(temporary, path)  # noqa: PTH105 - also over an empty folder
    except OSError as error:
        raise InputError(f"{path}: cannot be written ({error.strerror or error})") from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def write_text(path: Path, text: str) -> None:
    """Write ``text`` to ``path`` atomically, in UTF-8."""
    with atomic_path(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(path: Path, value: Any) -> None:
    """Write ``value`` as indented JSON to ``path`` atomically; NaN and infinity, for which JSON has
    no number, as null.
    """
    text = json.dumps(_with_nulls(value), indent=2, ensure_ascii=False, allow_nan=False)
    write_text(path, text + "\n")


def _with_nulls(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _with_nulls(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_with_nulls(one) for one in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def reserve(stream: FileIO, size: int) -> None:
    """Give a new file its size and room on the disk, which cannot get full while it is written to.

    Raises:
        OSError: there is not enough room.
    """
    try:
        os.posix_fallocate(stream.fileno(), 0, size)
    except (AttributeError, OSError) as error:
        if isinstance(error, OSError) and error.errno not in CANNOT_RESERVE:
            raise
        # Where the system, such as macOS, or the disk cannot reserve, zeros do.
        for start in range(0, size, 1 << 20):
            stream.write(bytes(min(1 << 20, size - start)))
        stream.seek(0)


def open_regular(path: Path) -> BufferedReader:
    """A file of others, opened to be read: of a pipe or a device, reading might never end.

    Raises:
        OSError: it cannot be opened, or is not a regular file.
    """
    handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    mode = os.fstat(handle).st_mode
    if stat.S_ISREG(mode):
        return os.fdopen(handle, "rb")
    os.close(handle)
    if stat.S_ISDIR(mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
    raise OSError(errno.EINVAL, "is a pipe or a device, and no regular file", str(path))


def read_bytes(path: Path, most: int = LARGEST_FILE) -> bytes:
    """The content of a file of others, no more than its size says and than ``most`` bytes: some
    files of the system have no end.

    Raises:
        InputError: it cannot be read, is no regular file, or is larger.
    """
    try:
        with open_regular(path) as stream:
            size = os.fstat(stream.fileno()).st_size
            if size > most:
                raise InputError(f"{path}: is larger than any such file of this pipeline")
            return stream.read(size)
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror})") from error


def parse_json(text: str) -> Any:
    """Read JSON that others may have written.

    Raises:
        ValueError, RecursionError: it is no JSON, holds half of a surrogate pair, which cannot be
            written again, or nests deeper than `DEEPEST_JSON`.
    """
    value = json.loads(text)
    if _SURROGATE.search(text):
        json.dumps(value, ensure_ascii=False).encode()
    level = [value]
    for _ in range(DEEPEST_JSON):
        inner = [v for v in level if isinstance(v, dict | list)]
        level = [c for v in inner for c in (v.values() if isinstance(v, dict) else v)]
        if not level:
            return value
    raise ValueError(f"it nests deeper than {DEEPEST_JSON} levels")


def read_json(path: Path) -> Any:
    """Read a JSON file.

    Raises:
        InputError: the file is missing, larger than `LARGEST_FILE`, no JSON, or nests too deep.
    """
    try:
        return parse_json(read_bytes(path).decode("utf-8"))
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path}: is not valid JSON ({error})") from error


def sha256_file(path: Path) -> str:
    """The SHA-256 of a file's bytes, in hexadecimal.

    Raises:
        InputError: it cannot be read.
    """
    try:
        digest = hashlib.sha256()
        with open_regular(path) as stream:
            # No more than its size says: some files of the system have no end.
            left = os.fstat(stream.fileno()).st_size
            while left > 0 and (chunk := stream.read(min(left, 1 << 20))):
                digest.update(chunk)
                left -= len(chunk)
        return digest.hexdigest()
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror})") from error


def sha256_json(value: Any) -> str:
    """The SHA-256 of a JSON-serialisable value, independent of the order of its keys."""
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()
