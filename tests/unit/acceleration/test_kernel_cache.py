"""Compiled kernels are loaded from no file that another user can have written."""

from __future__ import annotations

import ctypes
import os
import shutil
import stat
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from kernel_helpers import needs_kernels

from pipeline_src.acceleration import compiled
from pipeline_src.acceleration.compiled import CompilationError, kinds_here

FEATURES = 16
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can make another's files")
pytestmark = needs_kernels


def load() -> ctypes.CDLL:
    compiled.load.cache_clear()
    return compiled.load(FEATURES, kinds_here("fp32")[0])


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The cache's folder, not made yet, for a source that is soon compiled."""
    (tmp_path / "source").mkdir()
    (tmp_path / "source/cascade.c").write_text("int features(void) { return FEATURES; }\n")
    monkeypatch.setattr(compiled, "SOURCES", tmp_path / "source")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    yield tmp_path / "cache" / "sft-kd-recon"
    compiled.load.cache_clear()


@pytest.fixture(scope="module")
def hostile(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A library that makes a file named by TRACE when it is loaded."""
    place = tmp_path_factory.mktemp("hostile")
    source = place / "hostile.c"
    source.write_text(
        "#include <stdio.h>\n#include <stdlib.h>\n"
        "__attribute__((constructor)) static void run(void)"
        '{ char *n = getenv("TRACE"); if (n) fclose(fopen(n, "w")); }'
    )
    command = [*compiled.find_compiler(), "-shared", "-fPIC", "-o", place / "h.so", source]
    subprocess.run(command, check=True)
    return place / "h.so"


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_what_is_kept_is_this_users_alone(folder: Path) -> None:
    before = os.umask(0)
    try:
        load()
    finally:
        os.umask(before)
    [library] = folder.iterdir()
    assert (mode(folder), mode(library)) == (0o700, 0o600)


def test_a_folder_and_a_file_that_others_may_read_are_tightened(folder: Path) -> None:
    load()
    [library] = folder.iterdir()
    folder.chmod(0o755)
    library.chmod(0o755)
    written = library.stat().st_mtime_ns
    load()
    assert (mode(folder), mode(library)) == (0o700, 0o600)
    assert library.stat().st_mtime_ns == written


def writable_file(library: Path) -> None:
    library.chmod(0o666)


def writable_folder(library: Path) -> None:
    library.parent.chmod(0o777)


def of_another(library: Path) -> None:
    os.chown(library, 65534, 65534)


def linked(library: Path) -> None:
    moved = library.parent.parent / "moved.so"
    library.rename(moved)
    library.symlink_to(moved)


def with_two_names(library: Path) -> None:
    (library.parent.parent / "second.so").hardlink_to(library)


def a_pipe(library: Path) -> None:
    library.unlink()
    os.mkfifo(library)


@pytest.mark.parametrize(
    "doubtful",
    [
        writable_file,
        writable_folder,
        pytest.param(of_another, marks=needs_root),
        linked,
        with_two_names,
        a_pipe,
    ],
)
def test_what_others_can_have_written_is_compiled_anew(
    doubtful: Callable[[Path], None],
    folder: Path,
    hostile: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    load()
    [library] = folder.iterdir()
    shutil.copyfile(hostile, library)
    library.chmod(0o600)
    doubtful(library)
    monkeypatch.setenv("TRACE", str(tmp_path / "trace"))
    assert load().features() == FEATURES
    assert not (tmp_path / "trace").exists()
    assert library.read_bytes() != hostile.read_bytes()
    assert not library.is_symlink()
    assert (mode(folder), mode(library)) == (0o700, 0o600)


def test_the_hostile_library_would_run(
    folder: Path, hostile: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TRACE", str(tmp_path / "trace"))
    ctypes.CDLL(str(hostile))
    assert (tmp_path / "trace").exists()


def elsewhere(folder: Path) -> None:
    (folder.parent / "target").mkdir()
    folder.symlink_to(folder.parent / "target")


def theirs(folder: Path) -> None:
    folder.mkdir()
    os.chown(folder, 65534, 65534)


@pytest.mark.parametrize("taken", [elsewhere, pytest.param(theirs, marks=needs_root)])
def test_a_folder_of_another_is_not_used(taken: Callable[[Path], None], folder: Path) -> None:
    folder.parent.mkdir()
    taken(folder)
    with pytest.raises(CompilationError, match=r"sft-kd-recon: is not this user's own folder; let"):
        load()
    assert list(folder.iterdir()) == []


def test_two_libraries_are_two(folder: Path) -> None:
    """Each is loaded by the number of its open file, which must not be given twice."""
    kind = kinds_here("fp32")[0]
    compiled.load.cache_clear()
    first, second = compiled.load(16, kind), compiled.load(32, kind)
    assert (first.features(), second.features()) == (16, 32)
