"""Files appear whole or not at all."""

from __future__ import annotations

import errno
import json
import os
import stat
from pathlib import Path

import pytest

from pipeline_src import files
from pipeline_src.errors import InputError
from pipeline_src.inference.volumes import Scratch


def test_failed_write_keeps_the_old_file_and_leaves_no_other(tmp_path: Path) -> None:
    path = tmp_path / "result.txt"
    files.write_text(path, "old")

    def write_half() -> None:
        with files.atomic_path(path) as temporary:
            temporary.write_text("ne")
            raise RuntimeError("interrupted")

    with pytest.raises(RuntimeError, match="interrupted"):
        write_half()
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_full_disk_is_one_line_and_leaves_nothing(tmp_path: Path) -> None:
    def fill_the_disk() -> None:
        with files.atomic_path(tmp_path / "out" / "result.txt"):
            raise OSError(28, "No space left on device")

    with pytest.raises(InputError, match=r"result\.txt: cannot be written \(No space left"):
        fill_the_disk()
    assert list((tmp_path / "out").iterdir()) == []


@pytest.mark.parametrize("number", [float("nan"), float("inf")])
def test_a_number_that_json_has_not_is_null(number: float, tmp_path: Path) -> None:
    files.write_json(tmp_path / "a.json", {"mean": [number, 1.5], "of": (number,)})
    assert json.loads((tmp_path / "a.json").read_text()) == {"mean": [None, 1.5], "of": [None]}


@pytest.mark.parametrize("answer", [None, errno.EOPNOTSUPP, errno.EINVAL])
def test_where_no_room_can_be_reserved_zeros_take_it(
    answer: int | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on macOS, which has no such call, and on disks that cannot."""

    def cannot(*_: int) -> None:
        raise OSError(answer, "cannot")

    if answer is None:
        monkeypatch.delattr(os, "posix_fallocate")
    else:
        monkeypatch.setattr(os, "posix_fallocate", cannot)
    size = (3 << 20) + 5
    with (tmp_path / "a").open("w+b", buffering=0) as stream:
        files.reserve(stream, size)
        assert stream.tell() == 0
        assert (tmp_path / "a").stat().st_blocks * 512 >= size
        assert stream.read() == bytes(size)
    volume = Scratch(tmp_path)((7, 5, 3))
    volume[2] = 1
    assert volume.sum() == 15


def test_no_room_is_not_taken_for_a_disk_that_cannot_reserve(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "posix_fallocate", full)
    with pytest.raises(InputError, match="No space left on device"):
        Scratch(tmp_path)((7, 5, 3))


def test_folder_in_place_of_the_output_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError) as caught:
        files.write_text(tmp_path, "text")
    assert str(caught.value).startswith(f"{tmp_path}: cannot be written (")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("umask", [0o022, 0o077])
def test_written_file_follows_the_umask_of_the_user(umask: int, tmp_path: Path) -> None:
    before = os.umask(umask)
    try:
        files.write_text(tmp_path / "a.txt", "text")
        assert stat.S_IMODE((tmp_path / "a.txt").stat().st_mode) == 0o666 & ~umask
        assert os.umask(umask) == umask
    finally:
        os.umask(before)


def test_the_umask_is_not_touched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another thread may be writing a file at that moment."""
    monkeypatch.setattr(os, "umask", None)
    files.write_text(tmp_path / "a.txt", "text")
    assert [p.name for p in tmp_path.iterdir()] == ["a.txt"]


def test_what_a_killed_writer_left_is_known_by_its_name(tmp_path: Path) -> None:
    with files.atomic_path(tmp_path / "a.txt") as temporary:
        assert files.leftovers(tmp_path / "a.txt") == [temporary]


def test_json_round_trip_and_its_errors(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    value = {"b": [1, None, "ü"], "a": {}}
    files.write_json(path, value)
    assert files.read_json(path) == value
    path.write_text('{"b": [1,')
    with pytest.raises(InputError, match=r"a\.json: is not valid JSON"):
        files.read_json(path)
    path.unlink()
    with pytest.raises(InputError, match=r"a\.json: cannot be read \(No such file"):
        files.read_json(path)


def test_digest_of_json_ignores_the_order_of_keys_alone() -> None:
    assert files.sha256_json({"a": 1, "b": 2}) == files.sha256_json({"b": 2, "a": 1})
    assert files.sha256_json([1, 2]) != files.sha256_json([2, 1])
