"""Memory that does not suffice ends a command with one line, and is told of beforehand."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from pipeline_src.errors import InputError
from pipeline_src.running import memory
from pipeline_src.running.memory import available_bytes, explaining_shortage

SAID = "[enforce fail at alloc_cpu.cpp:127] DefaultCPUAllocator: can't allocate memory"


def test_what_torch_says_becomes_one_line() -> None:
    with (
        pytest.raises(InputError, match=r"training x: not enough memory; .* 2\.0 GiB, .*; less$"),
        explaining_shortage("training x", lambda: 2 << 30, "less"),
    ):
        raise RuntimeError(SAID)


def test_another_error_is_left_as_it_is() -> None:
    with (
        pytest.raises(RuntimeError, match="shapes"),
        explaining_shortage("training x", lambda: 0, "less"),
    ):
        raise RuntimeError("shapes do not fit")


def test_a_shortage_is_told_of_beforehand(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(memory, "available_bytes", lambda: 1 << 30)
    with explaining_shortage("training x", lambda: 3 << 30, "less"):
        pass
    assert capsys.readouterr().err == (
        "warning: training x needs about 3.0 GiB of memory, and 1.0 GiB are available; less\n"
    )
    with explaining_shortage("training x", lambda: 1 << 20, "less"):
        pass
    assert capsys.readouterr().err == ""


def test_a_need_that_cannot_be_told_is_not_told_of(capsys: pytest.CaptureFixture[str]) -> None:
    with explaining_shortage("training x", lambda: int("none"), "less"):
        pass
    assert capsys.readouterr().err == ""


def test_limits_of_a_control_group_count(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "memory.max").write_text("5000\n")
    (tmp_path / "memory.current").write_text("2000\n")
    monkeypatch.setattr(memory, "CGROUP", tmp_path)
    assert available_bytes() == 3000
    (tmp_path / "memory.max").write_text("max\n")
    assert available_bytes() > 3000


def test_a_limited_process_ends_with_one_line() -> None:
    code = """
import resource, torch
from pipeline_src.running.memory import explaining_shortage
from pipeline_src.errors import InputError
torch.zeros(10)
limit = resource.getrlimit(resource.RLIMIT_AS)[1]
import psutil
resource.setrlimit(resource.RLIMIT_AS, (psutil.Process().memory_info().vms + (64 << 20), limit))
try:
    with explaining_shortage("a large tensor", lambda: 1 << 30, "less"):
        torch.zeros(1 << 28)
except InputError as error:
    print(error)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.startswith("a large tensor: not enough memory; it needs about 1.0 GiB")
    assert done.stderr.startswith("warning: a large tensor needs about 1.0 GiB")
