"""How far an unfinished training is, read from the header of its saved state.

Torch is not imported, which alone would take longer than reading the states of a whole study.
"""

from __future__ import annotations

import json
import os
import statistics
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline_src.files import open_regular

#: Names that `running.state` gives its files; kept here too because it imports torch.
STATE_FILES = ("training.state", "training.state.previous")
#: Bytes of a state file before its safetensors content: the SHA-256 of the rest.
DIGEST_BYTES = 32
#: What safetensors itself takes as a header.
LARGEST_HEADER = 100_000_000


@dataclass(frozen=True)
class Position:
    """How far an unfinished training is by its last saved state.

    Attributes:
        number, stages: which stage it is, from 1, and how many there are.
        epoch: the epoch under way, from 1; of a stage that is over its last.
        batch: how many batches of it are done.
    """

    stage: str
    number: int
    stages: int
    epoch: int
    epochs: int
    batch: int
    batches: int

    @property
    def epochs_done(self) -> float:
        """Epochs of all stages so far, the one under way in part."""
        before = (self.number - 1) * self.epochs + self.epoch - 1
        return before + self.batch / self.batches

    def __str__(self) -> str:
        return (
            f"{self.stage}, after {self.batch} of {self.batches} batches of epoch {self.epoch} "
            f"of {self.epochs}"
        )


@dataclass(frozen=True)
class SavedState:
    """What a state file's header tells; ``written`` is when, by the file system's clock."""

    digest: str
    position: Position
    validation_loss: float | None
    validation_psnr_db: float | None
    seconds: float
    seconds_left: float | None
    written: float


def newest_state(folder: Path, stages: int) -> tuple[SavedState | None, bool]:
    """The newest whole state of a training of so many stages, and whether a damaged one was met."""
    damaged = False
    for name in STATE_FILES:
        try:
            return _read_state(folder / name, stages), damaged
        except OSError:  # not there, or moved away just now: then the one before is there
            continue
        except (
            *(ValueError, LookupError, TypeError, AttributeError, ArithmeticError),
            RecursionError,
        ):
            damaged = True
    return None, damaged


def _read_state(path: Path, stages: int) -> SavedState:
    """The facts in a state file's header; see `training.state` for its layout.

    The tensors are not read. A file that was cut short is known by its size, but not one in which
    bytes were altered.

    Raises:
        OSError: it cannot be read.
        ValueError, LookupError, TypeError, AttributeError, ArithmeticError, RecursionError: it is
            not what a training saves.
    """
    with open_regular(path) as stream:
        about = os.fstat(stream.fileno())
        stream.seek(DIGEST_BYTES)
        begin = DIGEST_BYTES + 8 + int.from_bytes(stream.read(8), "little")
        if begin > min(about.st_size, LARGEST_HEADER):
            raise ValueError(f"{path}: cut short, or of a header beyond reason")
        header = json.loads(stream.read(begin - stream.tell()))
    ends = [tensor["data_offsets"][1] for name, tensor in header.items() if name != "__metadata__"]
    if begin + max(ends, default=0) != about.st_size:
        raise ValueError(f"{path}: cut short")
    facts = json.loads(header["__metadata__"]["facts"])
    position = _position(facts, stages)
    rows = facts["histories"].get(position.stage) or [{}]
    seconds = _total_seconds(facts["runs"] if "runs" in facts else facts["sittings"])
    epoch_seconds = _epoch_seconds(facts["histories"], seconds, position.epochs_done)
    left = position.stages * position.epochs - position.epochs_done
    return SavedState(
        digest=facts["digest"],
        position=position,
        validation_loss=shown_number(rows[-1].get("validation_loss")),
        validation_psnr_db=shown_number(rows[-1].get("validation_psnr_db")),
        seconds=seconds,
        seconds_left=None if epoch_seconds is None else epoch_seconds * left,
        written=about.st_mtime,
    )


def _position(facts: dict[str, Any], stages: int) -> Position:
    saved, number = facts["position"], int(facts["stage_number"]) + 1
    epoch, epochs = int(saved["epoch"]), int(saved["epochs"])
    batch, batches = int(saved["batch"]), int(saved["batches"])
    if epoch > epochs:  # between the last epoch and the next stage
        epoch, batch = epochs, batches
    if not (1 <= epoch <= epochs and 0 <= batch <= batches and batches and number >= 1):
        raise ValueError(f"impossible position: {saved}")
    return Position(str(facts["stage"]), number, max(stages, number), epoch, epochs, batch, batches)


def _epoch_seconds(
    histories: dict[str, list[dict[str, Any]]], seconds: float, epochs_done: float
) -> float | None:
    """Seconds of the usual epoch in the newest stage that has one; before that, by the part of the
    first epoch that is done."""
    for rows in reversed(histories.values()):
        if rows:
            return statistics.median(float(row["seconds"]) for row in rows)
    return seconds / epochs_done if epochs_done else None


def _total_seconds(runs: Iterable[Any]) -> float:
    found = (shown_number(run.get("seconds")) for run in runs if isinstance(run, dict))
    return sum(seconds or 0.0 for seconds in found)


def shown_number(value: Any) -> float | None:
    """A number that can be shown: JSON's may be of any size, and Python's infinite."""
    plain = isinstance(value, int | float) and abs(value) <= sys.float_info.max
    return float(value) if plain else None
