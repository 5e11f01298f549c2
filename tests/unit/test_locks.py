"""Locks meet nothing but this user's own regular files, and do without where there are none."""

from __future__ import annotations

import errno
import fcntl
import os
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pipeline_src import locks
from pipeline_src.errors import InputError
from pipeline_src.locks import lock_problem, nearest_folder
from pipeline_src.operations.cluster.launcher import Launcher
from pipeline_src.running import gpus
from pipeline_src.running.gpus import one_gpu
from pipeline_src.running.interruption import Interruption
from pipeline_src.running.training_lock import NAME, is_locked, locked

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can make another's files")
NOBODY = 65534


def a_link(path: Path) -> str:
    target = path.parent.parent / "precious"
    target.write_text("precious")
    path.symlink_to(target)
    return "is not a regular file"


def a_dangling_link(path: Path) -> str:
    path.symlink_to(path.parent.parent / "absent")
    return "is not a regular file"


def a_pipe(path: Path) -> str:
    os.mkfifo(path)
    return "is not a regular file"


def a_folder(path: Path) -> str:
    path.mkdir()
    return "is not a regular file"


def a_second_name(path: Path) -> str:
    target = path.parent.parent / "precious"
    target.write_text("precious")
    path.hardlink_to(target)
    return "is a file with another name too"


def of_another(path: Path) -> str:
    path.write_text("theirs")
    os.chown(path, NOBODY, NOBODY)
    return "belongs to another user"


KINDS = [
    a_link,
    a_dangling_link,
    a_pipe,
    a_folder,
    a_second_name,
    pytest.param(of_another, marks=needs_root),
]


def hold_training(folder: Path) -> None:
    with Interruption() as interruption, locked(folder, interruption):
        pass


def hold_launcher(folder: Path) -> None:
    Launcher(folder.parent, ["all"]).run()


@pytest.mark.parametrize("put", KINDS)
@pytest.mark.parametrize(
    ("hold", "name"), [(hold_training, NAME), (hold_launcher, "launcher.lock")], ids=["train", "l"]
)
def test_what_lies_under_a_locks_name_is_refused_and_left_alone(
    put: Callable[[Path], str],
    hold: Callable[[Path], None],
    name: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    folder = tmp_path / ".snakemake"
    folder.mkdir()
    path = folder / name
    monkeypatch.setattr("shutil.which", lambda name: name)  # a squeue, which is not called
    reason = put(path)
    before = sorted((p.name, p.is_file() and p.read_text()) for p in tmp_path.rglob("*"))
    with pytest.raises(InputError) as caught:
        hold(folder)
    assert str(caught.value).startswith(f"{path}: {reason}")
    assert sorted((p.name, p.is_file() and p.read_text()) for p in tmp_path.rglob("*")) == before
    assert not is_locked(folder)


def test_a_lock_says_who_holds_it_and_goes(tmp_path: Path) -> None:
    folder = tmp_path / "model"
    with Interruption() as interruption, locked(folder, interruption) as waited:
        assert not waited
        assert is_locked(folder)
        assert locks.holder(folder / NAME).startswith(f"process {os.getpid()} on ")
    assert not folder.exists()


def test_what_a_killed_holder_left_is_taken(tmp_path: Path) -> None:
    (tmp_path / NAME).write_text("process 1 on a machine with a very long name\n")
    with Interruption() as interruption, locked(tmp_path, interruption):
        assert (tmp_path / NAME).read_text() == f"process {os.getpid()} on {os.uname().nodename}\n"


@pytest.fixture(params=locks.NO_LOCKS, ids=lambda number: errno.errorcode[number])
def no_locks(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """A file system without locks; what it says."""

    def refuse(*_: Any) -> None:
        raise OSError(request.param, os.strerror(request.param))

    monkeypatch.setattr(fcntl, "flock", refuse)
    return os.strerror(request.param)


def test_a_training_goes_on_where_there_are_no_locks(
    no_locks: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "model"
    with Interruption() as interruption, locked(folder, interruption) as waited:
        assert not waited
        assert not is_locked(folder)
    said = capsys.readouterr().err
    assert said.startswith(f"{folder}: trains without a lock ({no_locks})")
    assert said.count("\n") == 1
    assert not folder.exists()
    assert lock_problem(folder) == f"its file system has no file locks ({no_locks})"


def test_gpus_are_not_shared_out_where_there_are_no_locks(
    no_locks: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(locks, "SHARED", tmp_path)
    monkeypatch.setattr(gpus, "torch_knows_gpus", lambda: True)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,1")
    with one_gpu() as name:
        assert name is None
        assert os.environ["CUDA_VISIBLE_DEVICES"] == "0,1"
    said = capsys.readouterr().err
    assert f"cannot be locked ({no_locks})" in said
    assert said.count("\n") == 1


def test_another_trouble_with_a_lock_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: Any) -> None:
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(fcntl, "flock", refuse)
    with pytest.raises(InputError, match=r"training\.lock: cannot be locked \(Input/output error"):
        hold_training(tmp_path / "model")
    assert lock_problem(tmp_path) == ""


def test_where_files_can_be_locked_there_is_no_problem(tmp_path: Path) -> None:
    assert lock_problem(tmp_path / "absent" / "below") == ""
    assert list(tmp_path.iterdir()) == []


# The folder of the GPUs' locks.


@pytest.fixture
def shared(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Stands for /tmp."""
    folder = tmp_path / "shared"
    folder.mkdir()
    monkeypatch.setattr(locks, "SHARED", folder)
    monkeypatch.delenv("XDG_RUNTIME_DIR", raising=False)
    return folder


def test_a_private_folder_is_the_same_whatever_the_environment_says(
    shared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = os.umask(0)
    try:
        first = locks.private_folder("locks")
    finally:
        os.umask(before)
    assert first == shared / "locks"
    assert stat.S_IMODE(first.stat().st_mode) == 0o700
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    assert locks.private_folder("locks") == first


def theirs(path: Path) -> None:
    path.mkdir()
    os.chown(path, NOBODY, NOBODY)


def open_to_all(path: Path) -> None:
    path.mkdir()
    path.chmod(0o777)


def a_link_to_a_folder(path: Path) -> None:
    (path.parent.parent / "mine").mkdir()
    path.symlink_to(path.parent.parent / "mine")


@pytest.mark.parametrize(
    "taken", [pytest.param(theirs, marks=needs_root), open_to_all, a_link_to_a_folder, a_pipe]
)
def test_a_name_that_is_taken_is_not_used(
    taken: Callable[[Path], None], shared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    taken(shared / "locks")
    with pytest.raises(InputError) as caught:
        locks.private_folder("locks")
    assert str(caught.value).startswith(f"{shared / 'locks'}: is not this user's own folder")
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(shared))
    assert list(tmp_path.rglob("*.lock")) == []
    own = tmp_path / "run"
    own.mkdir(mode=0o700)
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(own))
    assert locks.private_folder("locks") == own / "locks"


def test_a_runtime_folder_that_others_can_write_to_is_not_used(
    shared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    open_to_all(shared / "locks")
    open_to_all(tmp_path / "run")
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path / "run"))
    with pytest.raises(InputError, match="is not this user's own folder"):
        locks.private_folder("locks")


def test_a_pipe_in_place_of_a_gpus_lock_is_named(
    shared: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0")
    monkeypatch.setenv("SLURM_JOB_ID", "../7")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,1")
    folder = shared / "sft_kd_recon_gpus_.._7"
    folder.mkdir(mode=0o700)
    os.mkfifo(folder / "0.lock")
    monkeypatch.setattr(gpus, "torch_knows_gpus", lambda: True)
    with pytest.raises(InputError, match=r"0\.lock: is not a regular file"), one_gpu():
        pass


def test_the_nearest_folder_is_the_lowest_that_is_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert nearest_folder(tmp_path) == tmp_path
    assert nearest_folder(tmp_path / "absent" / "below") == tmp_path
    monkeypatch.chdir(tmp_path)
    assert nearest_folder(Path("absent/below")) == tmp_path
