"""Trainings that faults befall, and what their results are held against."""

from __future__ import annotations

from collections.abc import Callable
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from typing import Any

from fault_worker import Job
from training_helpers import CONFIGURATION, history

from pipeline_src.files import sha256_file

Start = Callable[[Job], ForkServerProcess]
Uninterrupted = Callable[[str], tuple[Path, float]]
KILLED, INPUT_ERROR, INTERRUPTED = -9, 2, 75

TRAINING = {"epochs": 8, "batch_size": 2, "threads": 1, "device": "cpu", "lr_step": 3}
TWO_STAGE: dict[str, Any] = {**CONFIGURATION, "training": TRAINING}
JOINT: dict[str, Any] = {**TWO_STAGE, "distillation": {"protocol": "joint"}}
#: Every kind of training: configuration, model.
KINDS = {
    "teacher": (TWO_STAGE, "teacher"),
    "SFT teacher": (TWO_STAGE, "sft_teacher"),
    "Std-KD FSP, two stages": (TWO_STAGE, "std_kd_fsp"),
    "SFT-KD AT, two stages": (TWO_STAGE, "sft_kd_at"),
    "SFT-KD AT, joint": (JOINT, "sft_kd_at"),
}


def log(output: Path) -> str:
    """All that the trainings of a folder have said."""
    return (output.parent / f"{output.name}.log").read_text()


def finish(process: ForkServerProcess) -> int | None:
    """The exit status of a process, once it has ended."""
    process.join()
    return process.exitcode


def assert_same_result(output: Path, expected: Path) -> None:
    """Same files, same weights to the bit, same losses; nothing else is left."""
    assert sorted(p.name for p in output.iterdir()) == sorted(p.name for p in expected.iterdir())
    for path in expected.glob("*.safetensors"):
        assert sha256_file(output / path.name) == sha256_file(path), log(output)
    for path in expected.glob("history_*.csv"):
        for row, other in zip(history(output / path.name), history(path), strict=True):
            assert {**row, "seconds": ""} == {**other, "seconds": ""}
