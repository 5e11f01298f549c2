"""Compiles this folder's C code for this processor when it is first needed, and loads it.

The library is kept in the user's cache folder under a name derived from its sources and options, so
that every later process can load it at once, even without a compiler. Since it is code, only a file
that no other user can have written is loaded.
"""

from __future__ import annotations

import ctypes
import hashlib
import os
import shlex
import shutil
import stat
import subprocess
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import NamedTuple

import torch
from platformdirs import user_cache_path

from pipeline_src.errors import InputError
from pipeline_src.files import atomic_path

SOURCES = Path(__file__).parent


class Kind(NamedTuple):
    """A way to compile the kernels.

    Attributes:
        needs: capabilities that the processor must have, by torch's names.
        options: options of the compiler.
        multiple: what the number of features that it computes is a multiple of.
        bits: what distinguishes its results to the last bit from others of the same precision.
    """

    precision: str
    needs: tuple[str, ...]
    options: tuple[str, ...]
    multiple: int = 16
    bits: str = ""

    def padded(self, features: int) -> int:
        """The number of features that it computes for a number of features."""
        return -(-features // self.multiple) * self.multiple


BF16_NEEDS = ("avx512_f", "avx512_bf16", "fma3")
BF16_OPTIONS = ("-mavx512f", "-mavx512bf16", "-mfma", "-DBF16")

#: For each precision, the fastest kind first.
KINDS = {
    "avx512": Kind("fp32", ("avx512_f", "fma3"), ("-mavx512f", "-mfma")),
    "avx2": Kind("fp32", ("avx2", "fma3"), ("-mavx2", "-mfma")),
    "amx-bf16": Kind(
        "bf16",
        ("amx_tile", "amx_bf16", *BF16_NEEDS),
        ("-mamx-tile", "-mamx-bf16", *BF16_OPTIONS),
        multiple=32,
        bits="tiles",
    ),
    "avx512-bf16": Kind("bf16", BF16_NEEDS, BF16_OPTIONS),
}
# A product and the sum that it is added to are rounded once, and nothing else is rearranged,
# whatever the compiler and the options given in CC.
OPTIONS = ["-std=gnu11", "-O3", "-fno-fast-math", "-ffp-contract=fast", "-fPIC", "-shared"]


OTHERS, OTHERS_WRITE = stat.S_IRWXG | stat.S_IRWXO, stat.S_IWGRP | stat.S_IWOTH


class CompilationError(Exception):
    """The kernels cannot be built or used here; the message says why."""


def kinds_here(precision: str) -> list[str]:
    """The kinds that this processor can run and the system lets it, the fastest first."""
    able = torch.cpu.get_capabilities()
    found = [
        name
        for name, kind in KINDS.items()
        if kind.precision == precision and all(map(able.get, kind.needs))
    ]
    # Linux gives a process the tiles' registers when it asks for them.
    return [name for name in found if "amx_tile" not in KINDS[name].needs or torch.cpu._init_amx()]


def bits_here(precision: str) -> str:
    """What distinguishes the results of this processor's fastest kind to the last bit; often
    nothing.
    """
    return next((KINDS[name].bits for name in kinds_here(precision)), "")


@cache
def load(features: int, kind: str) -> ctypes.CDLL:
    """The kernels for a number of features, of one of the `KINDS`.

    Raises:
        CompilationError: they are not built yet and cannot be compiled or saved, or their folder is
            not this user's own.
    """
    try:
        library = library_path(features, kind)
        handle = _open_own(library)
        if handle is None:
            compiler = find_compiler()
            with atomic_path(library) as temporary:
                options = _options(features, kind)
                _compile([*compiler, *options, "-o", str(temporary), str(SOURCES / "cascade.c")])
                temporary.chmod(0o600)
            handle = _open_own(library)
        if handle is None:
            raise CompilationError(f"{library}: was replaced while it was written")
        # Exactly the file that was checked is loaded. It stays open, because the loader would take
        # a second library of the same name for the first.
        place = Path(f"/proc/self/fd/{handle}")
        return ctypes.CDLL(str(place if place.exists() else library))
    # platformdirs raises RuntimeError for a user without a home.
    except (InputError, OSError, RuntimeError) as error:
        raise CompilationError(str(error)) from error


def library_path(features: int, kind: str) -> Path:
    """Where the compiled kernels are kept, under a name that tells their sources and options.

    Raises:
        CompilationError, OSError, InputError, RuntimeError: as by `private_cache`.
    """
    digest = hashlib.sha256("\0".join(_options(features, kind)).encode())
    for path in sorted([*SOURCES.glob("*.h"), *SOURCES.glob("*.c")]):
        digest.update(path.read_bytes())
    return private_cache() / f"cascade-{features}-{kind}-{digest.hexdigest()[:16]}.so"


def _options(features: int, kind: str) -> list[str]:
    return [*OPTIONS, *KINDS[kind].options, f"-DFEATURES={features}"]


def private_cache() -> Path:
    """This user's cache folder, in which no other user can have written.

    Raises:
        CompilationError: it belongs to another user, or is a link.
        OSError, InputError: it cannot be made.
        RuntimeError: the user has no home.
    """
    folder = user_cache_path("sft-kd-recon", appauthor=False)
    _make_private(folder)
    return folder


def _make_private(folder: Path) -> None:
    """Make the folder, for this user alone; delete the content of one that others could write to.

    Raises:
        CompilationError: it belongs to another user, or is a link.
        OSError: it cannot be made.
    """
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"{folder}: cannot be written ({error.strerror})") from error
    status = folder.lstat()
    if not stat.S_ISDIR(status.st_mode) or status.st_uid != os.geteuid():
        raise CompilationError(
            f"{folder}: is not this user's own folder; let XDG_CACHE_HOME name another place"
        )
    if status.st_mode & OTHERS_WRITE:
        folder.chmod(0o700)
        for written in folder.iterdir():
            shutil.rmtree(written) if written.is_dir() else written.unlink()
    elif status.st_mode & OTHERS:
        with suppress(OSError):  # on a read-only disk it may stay readable for all
            folder.chmod(0o700)


def _open_own(library: Path) -> int | None:
    """The open file, or None if there is none, or if another user could have written it."""
    try:
        handle = os.open(library, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return None
    status = os.fstat(handle)
    regular = stat.S_ISREG(status.st_mode) and status.st_nlink == 1
    if not regular or status.st_uid != os.geteuid() or status.st_mode & OTHERS_WRITE:
        os.close(handle)
        return None
    if status.st_mode & OTHERS:
        with suppress(OSError):
            os.fchmod(handle, 0o600)
    return handle


def find_compiler() -> list[str]:
    """The C compiler of the environment variable CC, or else cc, gcc or clang.

    Raises:
        CompilationError: there is none.
    """
    for name in (os.environ.get("CC", ""), "cc", "gcc", "clang"):
        try:
            words = shlex.split(name)
        except ValueError as error:
            raise CompilationError(f"CC is {name!r}: {error}") from error
        if words and shutil.which(words[0]):
            return words
    raise CompilationError("no C compiler found (CC, cc, gcc, clang)")


def _compile(command: list[str]) -> None:
    try:
        done = subprocess.run(command, capture_output=True, text=True, stdin=subprocess.DEVNULL)
    except OSError as error:
        raise CompilationError(f"{command[0]} cannot be run ({error.strerror})") from error
    if done.returncode:
        lines = done.stderr.splitlines() or [f"status {done.returncode}"]
        said = next((line for line in lines if "error" in line), lines[0])
        raise CompilationError(f"{command[0]} failed: {said}")
