"""The benchmarks of speed run from start to end; what they measure is not looked at."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from benchmarks import __main__ as steps
from benchmarks import inference, large_sets, overhead, peers, planning


def run(main: object, monkeypatch: pytest.MonkeyPatch, *words: str) -> None:
    assert callable(main)
    monkeypatch.setattr(sys, "argv", ["benchmark", *words])
    main()


def test_steps_against_the_textbooks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    few = ["--rounds", "1", "--turns", "1", "--steps", "1", "--threads", "1"]
    what = ["--sizes", "40", "--kinds", "student", "--precisions", "fp32"]
    run(steps.main, monkeypatch, *few, *what, "--output", str(tmp_path / "steps.csv"))
    assert "| 40 x 40  | student | fp32 " in capsys.readouterr().out
    assert len((tmp_path / "steps.csv").read_text().splitlines()) == 2


def test_sets_in_memory_and_in_the_file(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(large_sets, "MATRIX", 40)
    run(large_sets.main, monkeypatch, "--slices", "9", "--steps", "1", "--turns", "1")
    assert "mapped to held, time per step: " in capsys.readouterr().out


@pytest.mark.parametrize("module", [steps, inference, large_sets, overhead, peers, planning])
def test_each_says_what_it_takes(
    module: object, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        run(module.main, monkeypatch, "--help")  # type: ignore[attr-defined]
    assert ended.value.code == 0
    assert "usage: python -m benchmarks" in capsys.readouterr().out
