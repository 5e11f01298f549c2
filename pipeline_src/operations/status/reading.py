"""Reads what every training of a study is doing from its files.

Reading (`training_status`) and showing (`show`) are separate. Reading disturbs no training: files
are only opened to read and may be replaced meanwhile, and a lock that a training holds is not
touched. Torch is not imported: that alone would take longer than everything here.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

from pipeline_src.config import Study
from pipeline_src.errors import InputError
from pipeline_src.operations.logs import error_line
from pipeline_src.planning.places import MANIFEST, PREVIOUS_STATE, PROGRESS, STATE, Places
from pipeline_src.planning.study_models import Models
from pipeline_src.provenance.manifest import Manifest
from pipeline_src.running.finished import is_whole
from pipeline_src.running.progress_file import (
    Position,
    TrainingProgress,
    read_progress,
    shown_number,
)
from pipeline_src.running.training_lock import is_locked

State = Literal["running", "failed", "stopped", "done", "waiting"]
STATES: tuple[State, ...] = get_args(State)
#: States that deserve attention; others are only counted in a long list.
NOTABLE = ("running", "failed", "stopped")
GOES_ON = "the same command goes on there"
#: Note for a state saved by an older version, or whose progress file is damaged.
UNREADABLE = f"how far its state is cannot be read from {PROGRESS}"


@dataclass(frozen=True)
class TrainingStatus:
    """The state of one training of a study.

    Attributes:
        epochs_done, epochs: of all stages.
        position: None if nothing is saved, or the training is done.
        validation_loss, validation_psnr_db: of the stage's last epoch; once done, of the epoch
            whose weights were kept.
        seconds: spent so far, in all runs.
        seconds_left: estimate for a running one.
        note: other information in words, such as the line it failed with.
    """

    dataset: str
    acceleration: str
    seed: int
    model: str
    state: State
    epochs_done: float
    epochs: int
    position: Position | None = None
    validation_loss: float | None = None
    validation_psnr_db: float | None = None
    seconds: float | None = None
    seconds_left: float | None = None
    note: str = ""

    @property
    def setting(self) -> str:
        """Data set and acceleration, as in the results folder."""
        return f"{self.dataset}/{self.acceleration}"


@dataclass(frozen=True)
class _Planned:
    """One training according to the study, and the paths of its files."""

    dataset: str
    acceleration: str
    seed: int
    model: str
    stages: int
    epochs: int
    folder: Path
    log: Path


def plan(study: Study, results: Path) -> list[_Planned]:
    """Every training of a study, and the paths of its files."""
    models, places = Models(study), Places(study)
    plans = {name: models.plan(name, study.seeds[0]) for name in models.names()}
    planned = []
    for setting in study.settings():
        for model in models.names(setting):
            made = plans[model]
            for seed in study.seeds:
                training = (*setting, seed, model)
                planned.append(
                    _Planned(
                        *training,
                        len(made.stages),
                        made.training.epochs,
                        results / places.model(*training),
                        results / places.training_log(*training),
                    )
                )
    return planned


def training_status(planned: _Planned) -> TrainingStatus:
    """The status of one training."""
    # The lock comes first and the manifest last: a training that ends meanwhile writes its
    # manifest, then removes its state, then lets go of the lock.
    folder = planned.folder
    running = is_locked(folder)
    progress, since = _progress(folder)
    if running and progress is None:
        running = is_locked(folder)
    facts: dict[str, Any] = {}
    if progress is not None:
        facts = {
            "epochs_done": progress.position.epochs_done,
            "position": progress.position,
            "validation_loss": progress.validation_loss,
            "validation_psnr_db": progress.validation_psnr_db,
            "seconds": progress.seconds,
        }
    if running:
        if progress is None:
            facts["note"] = UNREADABLE if _has_state(folder) else "no state saved yet"
        else:
            facts["seconds_left"] = progress.seconds_left
        return _status(planned, "running", **facts)
    manifest = _manifest(folder / MANIFEST)
    # A state of another training than the manifest's: of one that was begun again and stopped.
    if manifest is not None and (
        progress is None or progress.training_sha256 == manifest.training_sha256
    ):
        return _done(planned, manifest)
    error = error_line(planned.log, since)
    if error and manifest is None:
        return _status(planned, "failed", **facts, note=error)
    if progress is not None:
        return _status(planned, "stopped", **facts, note=f"{progress.position}; {GOES_ON}")
    if _has_state(folder):
        return _status(planned, "stopped", note=f"{UNREADABLE}; {GOES_ON}")
    return _status(planned, "waiting")


def _progress(folder: Path) -> tuple[TrainingProgress | None, float]:
    """How far the saved state of a training is, and when that was written by the file system's
    clock; None and 0 where there is no state or it does not say."""
    try:
        written = (folder / PROGRESS).stat().st_mtime
        return (read_progress(folder), written) if _has_state(folder) else (None, 0.0)
    except (OSError, InputError):
        return None, 0.0


def _has_state(folder: Path) -> bool:
    return any((folder / name).exists() for name in (STATE, PREVIOUS_STATE))


def _status(planned: _Planned, state: State, **facts: Any) -> TrainingStatus:
    return TrainingStatus(
        dataset=planned.dataset,
        acceleration=planned.acceleration,
        seed=planned.seed,
        model=planned.model,
        state=state,
        epochs=planned.stages * planned.epochs,
        **{"epochs_done": 0.0, **facts},
    )


def _done(planned: _Planned, manifest: Manifest) -> TrainingStatus:
    """The status according to a manifest; what is missing there is None."""
    best = manifest.best_epoch
    return _status(
        planned,
        "done",
        epochs_done=float(planned.stages * planned.epochs),
        validation_loss=shown_number(best.validation_loss),
        validation_psnr_db=shown_number(best.validation_psnr_db),
        seconds=manifest.seconds if manifest.runs else None,
        note=_problem(planned.folder, manifest),
    )


def _problem(folder: Path, manifest: Manifest) -> str:
    """What is wrong with the result of a training; empty if nothing is seen."""
    if manifest.is_empty:
        return f"its {MANIFEST} cannot be read"
    if not is_whole(folder):
        return f"its {MANIFEST} does not list its files; the workflow makes it again"
    return ""


def _manifest(path: Path) -> Manifest | None:
    """The manifest; an empty one if it cannot be read, None if there is none."""
    try:
        return Manifest.read(path)
    except InputError:
        return Manifest() if path.exists() else None
