"""Finds data files, and detects those that exist by name only."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Sequence
from fnmatch import fnmatch
from pathlib import Path

from pipeline_src.errors import InputError

SYSTEM_NAMES = frozenset(
    {"@eadir", "__macosx", "lost+found", "$recycle.bin", "#recycle", "thumbs.db", "desktop.ini"}
    | {"#snapshot", "@recently-snapshot", "@recycle", "~snapshot", "system volume information"}
)
DOWNLOADS = frozenset(
    {".part", ".crdownload", ".partial", ".filepart", ".download", ".aria2", ".tmp"}
    | {".opdownload", ".!qb", ".!ut", ".gstmp"}
)
#: So Chrome calls a file until the whole of it is there.
UNNAMED_DOWNLOAD = "Unconfirmed *.crdownload"

# DVC leaves a note beside a file; Git LFS and git-annex leave a short text in its place.
TRACKED = ".dvc"
POINTER_SIZE = 1024


def is_hidden(path: Path) -> bool:
    """Whether any component is hidden or belongs to the operating system; such paths are
    ignored.
    """
    return any(
        (part.startswith(".") and part not in (".", "..")) or part.lower() in SYSTEM_NAMES
        for part in path.parts
    )


def require_folder(path: Path, what: str) -> Path:
    """``path``, if it is a folder that can be listed.

    Raises:
        InputError: it is missing, is not a folder, or may not be read.
    """
    try:
        if not path.is_dir():
            problem = "is not a folder" if path.exists() else "does not exist"
            raise InputError(
                f"{path.absolute()}: {what} {problem}; set data_root or the source's path"
            )
        next(path.iterdir(), None)
    except PermissionError:
        raise InputError(f"{path}: {what} may not be read (no permission)") from None
    return path


def entries(folder: Path, what: str) -> list[Path]:
    """The entries of a folder, sorted, without hidden ones; broken links are included.

    Raises:
        InputError: see `require_folder`.
    """
    return sorted(p for p in require_folder(folder, what).iterdir() if not is_hidden(Path(p.name)))


def subfolders(folder: Path, what: str) -> list[Path]:
    """The folders in a folder, sorted, including broken links, which may be folders.

    Raises:
        InputError: see `require_folder`.
    """
    return [path for path in entries(folder, what) if path.is_dir() or is_broken_link(path)]


def matching(folder: Path, pattern: str) -> list[Path]:
    """Paths below ``folder`` that match a glob, sorted; nothing hidden, but including broken links.

    Raises:
        InputError: ``pattern`` is not a glob, or a file that it would match is still being
            downloaded, or was not yet.
    """
    # A component without a wildcard is only found where it exists, which a broken link does not.
    wild = "/".join(
        part if re.search(r"[*?[]", part) else re.sub(r"([A-Za-z0-9])", r"[\1]", part, count=1)
        for part in pattern.split("/")
    )
    _refuse_unreadable(folder, [part for part in pattern.split("/") if part])
    try:
        matched = set(folder.glob(wild))
        # And what is being downloaded, or was not.
        unnamed = "/".join([*wild.split("/")[:-1], UNNAMED_DOWNLOAD])
        found = matched.union(folder.glob(f"{wild}.*"), folder.glob(unnamed))
    except (NotImplementedError, ValueError) as error:
        raise InputError(f"pattern: {pattern!r} is not a glob below path ({error})") from None
    seen = [path for path in sorted(found) if not is_hidden(path.relative_to(folder))]
    refuse_unfinished(seen)
    refuse_only_tracked(seen)
    return [path for path in seen if path in matched and path.suffix != TRACKED]


def _refuse_unreadable(folder: Path, parts: Sequence[str]) -> None:
    """Refuse a folder that a glob would look into and may not, which it would pass over in silence.

    ``parts`` are those of the pattern, below ``folder``.
    """
    if not parts:
        return
    first, *deeper = parts
    try:
        # Its entries know what they are, so that no file is asked.
        with os.scandir(folder) as found:
            inside = [entry for entry in found if not is_hidden(Path(entry.name))]
    except PermissionError:
        raise InputError(f"{folder}: may not be read (no permission)") from None
    except OSError:
        return  # no folder, or none any more
    for entry in inside:
        if first == "**" and entry.is_dir(follow_symlinks=False):
            _refuse_unreadable(folder / entry.name, parts)
        elif deeper and fnmatch(entry.name, first) and entry.is_dir():
            _refuse_unreadable(folder / entry.name, deeper)


def name_when_finished(path: Path) -> str:
    """The name of a file, without what programs append while they download it."""
    return path.stem if path.suffix.lower() in DOWNLOADS else path.name


def refuse_unfinished(paths: Iterable[Path]) -> None:
    """Refuse files that are still being downloaded.

    Raises:
        InputError: there are some.
    """
    unfinished = [path for path in paths if name_when_finished(path) != path.name]
    if unfinished:
        raise InputError(
            f"{_named(unfinished, 'is still being downloaded')}; wait for the download, start it "
            "again, or delete what is left of it"
        )


def refuse_only_tracked(paths: Iterable[Path]) -> None:
    """Refuse files of which DVC's note is there alone.

    Raises:
        InputError: there are some.
    """
    files = [path.with_suffix("") for path in paths if path.suffix == TRACKED]
    absent = [path for path in files if not path.exists() and not path.is_symlink()]
    if absent:
        raise InputError(f"{_named(absent, 'its content is not fetched (DVC)')}; use `dvc pull`")


def refuse_two_suffixes(path: Path) -> None:
    """Refuse a volume that exists in its folder as `.nii.gz` and as `.nii`.

    Raises:
        InputError: both exist.
    """
    other = path.with_suffix("") if path.suffix == ".gz" else path.with_name(f"{path.name}.gz")
    if other.suffixes and (other.exists() or other.is_symlink()):
        raise InputError(
            f"{path}: lies there as {other.name} too, and only one of them can be the volume; "
            "move the other away"
        )


def refuse_absent(
    paths: Sequence[Path], otherwise: str = ", or leave their patients out of the split"
) -> None:
    """Refuse files that exist by name only, and say how to get their content.

    ``otherwise`` says how to do without them.

    Raises:
        InputError: a file is a broken link, a pointer of git-annex or Git LFS, or empty; the
            message names the first three of a kind.
    """
    absent: dict[tuple[str, str], list[Path]] = {}
    for path in paths:
        reason = _why_absent(path)
        if reason:
            absent.setdefault(reason, []).append(path)
    for (what, remedy), names in absent.items():
        raise InputError(f"{_named(names, what)}; {remedy}{otherwise}")


def refuse_no_utf8(paths: Iterable[Path]) -> None:
    """Refuse files and folders whose names are not UTF-8, as their folders' names must be.

    Raises:
        InputError: there are some.
    """
    for path in paths:
        try:
            os.path.realpath(path).encode()
            str(path).encode()
        except UnicodeEncodeError:
            raise InputError(
                f"{path}: this name is no UTF-8, and no manifest could hold it; rename the file or "
                "its folder"
            ) from None


def is_broken_link(path: Path) -> bool:
    """Whether a link leads nowhere."""
    return path.is_symlink() and not path.exists()


def _named(paths: list[Path], what: str) -> str:
    others = paths[1:]
    if not others:
        return f"{paths[0]}: {what}"
    shown = ", ".join(str(path) for path in others[:2]) + (", ..." if len(others) > 2 else "")
    return f"{paths[0]}: {what} (of {len(paths)} such files; also {shown})"


ANNEX = "its content is not fetched (git-annex)", "use `datalad get` or `git annex get`"
LFS = "its content is not fetched (Git LFS)", "use `git lfs pull`"


def _why_absent(path: Path) -> tuple[str, str] | None:
    """What is wrong with a file without content, and the remedy; None for any other file."""
    if is_broken_link(path):
        if "annex/objects" in path.readlink().as_posix():
            return ANNEX
        return "is a link to nowhere", "repair the links"
    try:
        size = path.stat().st_size
        if path.is_dir():
            return "is a folder, not a file", "make the source's pattern more precise"
        if not path.is_file():
            return "is a pipe or a device, and no regular file", "copy its content into a file"
        if size == 0:
            return "is empty (0 bytes)", "copy or download the files again"
        if size > POINTER_SIZE:
            return None
        start = path.read_bytes()
    except FileNotFoundError:
        return "does not exist", "copy the files there"
    except OSError:
        return None  # whoever reads it tells
    if start.startswith(b"version https://git-lfs.github.com/spec/"):
        return LFS
    if b"/annex/objects/" in start and b"\0" not in start:
        return ANNEX
    return None
