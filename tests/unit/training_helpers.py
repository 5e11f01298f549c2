"""A tiny study with its store and mask, and trainings on them."""

from __future__ import annotations

import csv
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from pipeline_src.config import Study, check_study
from pipeline_src.data.preparation import PreparedData
from pipeline_src.data.store import read_store
from pipeline_src.errors import Interrupted
from pipeline_src.models.weights import load_network
from pipeline_src.planning.plans import training_plan
from pipeline_src.running.checkpointing import Checkpointer
from pipeline_src.running.training_run import run_training
from pipeline_src.sampling.data_fidelity import LineDataFidelity, data_fidelity
from pipeline_src.sampling.masks import read_mask
from pipeline_src.training.builder import Inputs, fresh_network
from pipeline_src.training.data import Batch, Slices
from pipeline_src.training.engine import Epoch, Stage
from pipeline_src.training.objectives import Objective

SIZE = 16
TRAIN, VALIDATION = 6, 3
LABELS = {"dataset": "tiny", "acceleration": "4x"}

CONFIGURATION: dict[str, Any] = {
    "study": "tiny",
    "accelerations": [4],
    "datasets": {
        "tiny": {
            "source": {
                "kind": "phantom",
                "anatomy": "brain",
                "patients": 3,
                "slices": 3,
                "matrix": SIZE,
            },
            "preparation": {"matrix": [SIZE, SIZE]},
            "split": {"train": 1, "validation": 1, "test": 1},
        }
    },
    "sampling": {"center_lines": 2},
    "networks": {
        "teacher": {"depth": 5, "cascades": 3, "features": 16},
        "student": {"depth": 3, "cascades": 3, "features": 16},
    },
    "methods": {"at": {}, "fsp": {}},
    "evaluation": {"panel_methods": ["at"]},
    "training": {"epochs": 2, "batch_size": 4, "threads": 1, "device": "cpu"},
}


def study_with(**sections: dict[str, Any]) -> Study:
    """The tiny study with values laid over it, section by section."""
    data = CONFIGURATION | {
        name: {**CONFIGURATION.get(name, {}), **values} for name, values in sections.items()
    }
    return check_study(data)


def prepared_data(size: int = SIZE) -> PreparedData:
    """Smooth blobs: two training volumes and one for validation."""
    rng = np.random.default_rng(5)
    y, x = np.mgrid[:size, :size] / size
    prepared = PreparedData()
    for volume, (part, patient) in enumerate([("train", "a"), ("train", "b"), ("validation", "c")]):
        whose = {"patient": patient, "frame": "", "part": part}
        prepared.volumes.append(whose | {"path": "", "sha256": "", "maximum": 1.0})
        for index in range(3):
            cy, cx, width = rng.uniform(0.3, 0.7, 3) * (1, 1, 0.5)
            image = np.exp(-((y - cy) ** 2 + (x - cx) ** 2) / width**2)
            prepared.images.append((image / (1 + volume)).astype(np.float32))
            prepared.slices.append(whose | {"slice": index, "volume": volume})
    return prepared


@dataclass(frozen=True)
class Files:
    store: Path
    mask: Path

    def inputs(self, teacher: Path | None = None, warm_start: Path | None = None) -> Inputs:
        return Inputs(self.store, self.mask, teacher, warm_start)

    def slices(self, part: str) -> tuple[Slices, LineDataFidelity]:
        fidelity = data_fidelity(read_mask(self.mask))
        assert isinstance(fidelity, LineDataFidelity)
        return Slices(read_store(self.store), part, fidelity, torch.device("cpu")), fidelity


def train(study: Study, model: str, inputs: Inputs, output: Path, seed: int = 0) -> Path:
    run_training(training_plan(study, model, seed), inputs, output, LABELS)
    return output


def sft_inputs(files: Files, runs: dict[str, Path]) -> Inputs:
    folder = runs["sft_teacher"]
    return files.inputs(folder / "weights.safetensors", folder / "student_weights.safetensors")


def std_inputs(files: Files, runs: dict[str, Path]) -> Inputs:
    return files.inputs(runs["teacher"] / "weights.safetensors")


def state(path: Path) -> dict[str, Tensor]:
    return load_network(path).state_dict()


def history(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as stream:
        return list(csv.DictReader(stream))


def run_stage(*stage: Any, **options: Any) -> list[Epoch]:
    """One stage from start to end, nothing saved on the way."""
    made = Stage(*stage, **options)
    made.run(lambda *_: None, lambda *_, **__: None)
    return made.history


class Scripted(Objective):
    """Validation losses that are told beforehand; training moves each weight by the rate."""

    def __init__(self, losses: list[float]) -> None:
        self.trained = self.network = fresh_network(
            study_with().networks.student, seed=0, role="student"
        )
        self.losses = iter(losses)

    def loss(self, batch: Batch) -> Tensor:
        return torch.stack([p.sum() for p in self.trained.parameters()]).sum()

    def validate(self, batch: Batch) -> tuple[Tensor, Tensor]:
        return torch.tensor(next(self.losses)), torch.zeros_like(batch.target)


def leave_at(
    monkeypatch: pytest.MonkeyPatch,
    places: list[tuple[str, int, int]],
    look: Callable[[Stage], object] = lambda _: None,
) -> None:
    """Have trainings saved and interrupted at stage, epoch and batch, each once; places that were
    reached are taken from the list. ``look`` sees the stage after every step and epoch."""

    class Leaving(Checkpointer):
        SHARE = 1e9  # every epoch is saved, however short

        def __call__(self, stage: Stage, *, epoch_over: bool) -> None:
            here = (stage.name, stage.epoch, stage.batch)
            look(stage)
            # What is asked for within an epoch is saved there, as after a signal.
            if here in places and not epoch_over:
                self._save(stage)
            super().__call__(stage, epoch_over=epoch_over)
            if here in places:
                places.remove(here)
                raise Interrupted(str(here))

    monkeypatch.setattr("pipeline_src.running.training_run.Checkpointer", Leaving)
