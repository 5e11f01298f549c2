"""Records how far a training is in a small file beside its saved state, which `status` reads.

It is written after each state, so it says from where the training would be resumed. Torch is not
imported: that alone would take longer than reading the progress of a whole study.
"""

from __future__ import annotations

import statistics
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field, ValidationError, model_validator

from pipeline_src.errors import InputError
from pipeline_src.files import read_json, write_json
from pipeline_src.planning.places import PROGRESS
from pipeline_src.provenance.manifest import Amount, Part

Number = Annotated[float, Field(allow_inf_nan=False)]
#: More than a training counts, and few enough to be divided.
MOST = 10**12
Count = Annotated[int, Field(ge=1, le=MOST)]


class Position(Part):
    """How far an unfinished training is, according to its last saved state.

    Attributes:
        number, stages: the number of the stage, from 1, and how many stages there are.
        epoch: the current epoch, from 1; for a stage that is over, its last one.
        batch: how many batches of it are done.
    """

    stage: str
    number: Count
    stages: Count
    epoch: Count
    epochs: Count
    batch: Annotated[int, Field(ge=0, le=MOST)]
    batches: Count

    @model_validator(mode="after")
    def _within(self) -> Position:
        for part, whole in (("number", "stages"), ("epoch", "epochs"), ("batch", "batches")):
            if getattr(self, part) > getattr(self, whole):
                raise ValueError(f"{part} is beyond {whole}")
        return self

    @property
    def epochs_done(self) -> float:
        """Number of epochs done in all stages, including the done part of the current one."""
        before = (self.number - 1) * self.epochs + self.epoch - 1
        return before + self.batch / self.batches

    def __str__(self) -> str:
        return (
            f"{self.stage}, after {self.batch} of {self.batches} batches of epoch {self.epoch} "
            f"of {self.epochs}"
        )


class TrainingProgress(Part):
    """What is known about an unfinished training at its last saved state.

    Attributes:
        training_sha256: the fingerprint of the training.
        validation_loss, validation_psnr_db: of the stage's last epoch, None before that.
        seconds: spent so far, in all runs.
        epoch_seconds: median time of an epoch in the newest stage that has one; before that,
            estimated from the done part of the first epoch; None if nothing is done.
    """

    training_sha256: str
    position: Position
    validation_loss: Number | None
    validation_psnr_db: Number | None
    seconds: Amount
    epoch_seconds: Amount | None

    @property
    def seconds_left(self) -> float | None:
        """An estimate of the remaining time from the median epoch."""
        at = self.position
        left = at.stages * at.epochs - at.epochs_done
        return None if self.epoch_seconds is None else self.epoch_seconds * left


def progress_of(training_sha256: str, stages: int, facts: Mapping[str, Any]) -> TrainingProgress:
    """The progress of a training of so many stages, by the facts of a state; see `Checkpointer`.

    A run whose time is not recorded counts as none.
    """
    saved, stage = facts["position"], facts["stage"]
    over = saved["epoch"] > saved["epochs"]  # between the last epoch and the next stage
    position = Position(
        stage=stage,
        number=facts["stage_number"] + 1,
        stages=stages,
        epoch=min(saved["epoch"], saved["epochs"]),
        epochs=saved["epochs"],
        batch=saved["batches"] if over else saved["batch"],
        batches=saved["batches"],
    )
    newest: Mapping[str, Any] = (facts["histories"][stage] or [{}])[-1]
    seconds = sum(shown_number(run.get("seconds")) or 0.0 for run in facts.get("runs", ()))
    return TrainingProgress(
        training_sha256=training_sha256,
        position=position,
        validation_loss=shown_number(newest.get("validation_loss")),
        validation_psnr_db=shown_number(newest.get("validation_psnr_db")),
        seconds=seconds,
        epoch_seconds=_epoch_seconds(facts["histories"], seconds, position.epochs_done),
    )


def _epoch_seconds(
    histories: Mapping[str, Sequence[Mapping[str, float]]], seconds: float, epochs_done: float
) -> float | None:
    for rows in reversed(list(histories.values())):
        if rows:
            return statistics.median(row["seconds"] for row in rows)
    return seconds / epochs_done if epochs_done else None


def shown_number(value: Any) -> float | None:
    """The value if it is a finite number, else None; numbers in JSON may be of any size."""
    plain = isinstance(value, int | float) and abs(value) <= sys.float_info.max
    return float(value) if plain else None


def write_progress(folder: Path, progress: TrainingProgress) -> None:
    """Write the progress to a training's folder, replacing an older one.

    Raises:
        InputError: it cannot be written.
    """
    write_json(folder / PROGRESS, progress.model_dump())


def read_progress(folder: Path) -> TrainingProgress:
    """Read the progress from a training's folder.

    Raises:
        InputError: there is none, or the file was not written by a training.
    """
    path = folder / PROGRESS
    try:
        return TrainingProgress.model_validate(read_json(path))
    except ValidationError:
        raise InputError(f"{path}: is not what a training writes") from None
