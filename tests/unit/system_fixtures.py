"""A small disk, and a folder in which permission bits bind; a test file takes them by
`pytest_plugins`."""

from __future__ import annotations

import json
import os
import shutil
import stat
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

# What the commands read of the environment is read before another user acts, who may not.
import pipeline_src.data.preparation
import pipeline_src.data.store  # noqa: F401

ROOT = Path(__file__).resolve().parents[2]
#: In a process of its own: fills the small disk up to so many bytes, then runs the commands.
RUN = """
import contextlib, io, json, os, sys
from pathlib import Path
disk, room = Path(sys.argv[1]), int(sys.argv[2])
sys.path[:0] = [sys.argv[3]]
from pipeline_src.cli import main
with (disk / "filler").open("wb", buffering=0) as filler:
    with contextlib.suppress(OSError):
        while filler.write(bytes(4096)) == 4096:
            pass
    filler.truncate(max(0, filler.tell() // 4096 * 4096 - room))
before = sorted(p.name for p in disk.rglob("*") if p.is_file())
found = []
for words in json.load(sys.stdin):
    with contextlib.redirect_stderr(io.StringIO()) as said, contextlib.redirect_stdout(None):
        status = main(words)
    left = sorted(p.name for p in disk.rglob("*") if p.is_file())
    found.append([status, said.getvalue(), [name for name in left if name not in before]])
print(json.dumps(found))
"""


class Result(NamedTuple):
    status: int
    said: str
    left: list[str]


def run_on_small_disk(disk: Path, room: int, commands: list[list[str]]) -> list[Result]:
    """What commands do that find so many bytes free on the disk that is mounted at ``disk``; files
    that lie there are on it."""
    staged = disk.with_name("staged")
    shutil.copytree(disk, staged)
    script = 'mount -t tmpfs -o size=4m none "$1" && cp -r "$2/." "$1" && shift 2 && exec "$@"'
    python = [sys.executable, "-c", RUN, str(disk), str(room), str(ROOT)]
    namespace = ["unshare", "--map-root-user", "--mount", "sh", "-c", script, "sh"]
    done = subprocess.run(
        [*namespace, str(disk), str(staged), *python],
        input=json.dumps(commands),
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return [Result(*one) for one in json.loads(done.stdout)]


@pytest.fixture
def disk(tmp_path: Path) -> Path:
    """Where a small disk can be mounted."""
    folder = tmp_path / "disk"
    folder.mkdir()
    script = 'mount -t tmpfs none "$1"'
    command = ["unshare", "--map-root-user", "--mount", "sh", "-c", script, "sh", str(folder)]
    if not shutil.which("unshare"):
        pytest.skip("no small disk can be mounted: there is no unshare")
    if (done := subprocess.run(command, capture_output=True, text=True)).returncode:
        pytest.skip(f"no small disk can be mounted: {done.stderr.strip()}")
    return folder


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A temporary folder for a test that is bound by permission bits.

    The bits do not bind root, so root acts as another user meanwhile, who may not enter tmp_path.
    """
    folder = Path(tempfile.mkdtemp())
    root = os.geteuid() == 0
    folder.chmod(0o777)
    if root:
        try:
            os.seteuid(65534)
        except OSError:
            folder.rmdir()
            pytest.skip("root cannot act as another user here, and no permission bit binds it")
    try:
        yield folder
    finally:
        if root:
            os.seteuid(0)
        for path in (folder, *folder.rglob("*")):
            if path.is_dir():
                path.chmod(stat.S_IRWXU)
        shutil.rmtree(folder)
