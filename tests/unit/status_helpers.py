"""Trainings in the states that the status command tells apart."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from pipeline_src.config import Study
from pipeline_src.operations.status.reading import TrainingStatus, plan, training_status
from pipeline_src.running.progress_file import progress_of
from pipeline_src.running.resume_state import Saved, StateFiles

#: Teacher, SFT teacher, student, two controls, and two methods with two recipes.
MODELS = 9


def folder_of(results: Path, model: str) -> Path:
    return results / "tiny" / "4x" / "seed0" / model


def write_log(results: Path, model: str, text: str, *, later: float = 10.0) -> Path:
    """A training's log, last written some seconds from now."""
    path = results / "logs" / "train" / f"tiny_4x_seed0_{model}.log"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    at = path.stat().st_mtime + later
    os.utime(path, (at, at))
    return path


def facts(**changes: Any) -> dict[str, Any]:
    """In the second of a distillation's two stages: 2 of 3 batches of epoch 5 of 8."""
    rows = [
        {"epoch": n, "validation_loss": 1 / n, "validation_psnr_db": 20.0 + n, "seconds": 3.0}
        for n in range(1, 5)
    ]
    return {
        "model": "std_kd_at",
        "seed": 0,
        "dataset": "tiny",
        "acceleration": "4x",
        "stage": "reconstruction",
        "stage_number": 1,
        "position": {"epoch": 5, "batch": 2, "epochs": 8, "batches": 3, "best_loss": 0.25},
        "histories": {
            "features": [{**row, "seconds": 7.0} for row in rows],
            "reconstruction": rows,
        },
        "runs": [{"seconds": 30.5}, {"seconds": 9.5}],
        **changes,
    }


def save_state(folder: Path, digest: str = "this", **changes: Any) -> None:
    told = facts(**changes)
    saved = Saved({"weights/w": torch.zeros(50)}, told)
    StateFiles(folder, digest).save(saved, progress_of(digest, 2, told))


def trainings(study: Study, results: Path) -> list[TrainingStatus]:
    return [training_status(planned) for planned in plan(study, results)]


def one(study: Study, results: Path, model: str = "std_kd_at") -> TrainingStatus:
    [found] = [t for t in trainings(study, results) if t.model == model]
    return found


@contextmanager
def held(folder: Path) -> Iterator[None]:
    """Another process holds the folder's lock."""
    code = (
        "import sys; from pathlib import Path\n"
        "from pipeline_src.running.interruption import Interruption\n"
        "from pipeline_src.running.training_lock import locked\n"
        "with Interruption() as i, locked(Path(sys.argv[1]), i):\n"
        "    print('held', flush=True); sys.stdin.read()\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code, str(folder)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    with process:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        yield
        assert process.stdin is not None
        process.stdin.close()
