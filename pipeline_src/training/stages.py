"""Trains all stages of a plan: from a store and a mask to trained networks and histories.

Everything that shapes the numbers is imported from here, and nothing that only keeps a process
alive.
"""

from __future__ import annotations

import csv
from dataclasses import asdict
from pathlib import Path
from typing import Protocol

import torch

from pipeline_src.acceleration.choice import why_not_compiled
from pipeline_src.data.store import Store
from pipeline_src.files import atomic_path
from pipeline_src.models.weights import SFT_STUDENT, save_weights
from pipeline_src.planning.places import STUDENT_WEIGHTS, WEIGHTS, history
from pipeline_src.planning.plans import TrainingPlan
from pipeline_src.sampling.data_fidelity import data_fidelity
from pipeline_src.sampling.masks import Mask
from pipeline_src.training.builder import Builder, Inputs
from pipeline_src.training.data import Slices
from pipeline_src.training.device import set_up_device
from pipeline_src.training.engine import Epoch, Keeper, Report, Stage


class Progress(Report, Protocol):
    """Is told how far a training is."""

    def going_on(self, stage: str, where: str) -> None:
        """Called when a stage is resumed."""


class Keeping(Keeper, Protocol):
    """Saves what is needed to resume a training, and loads it."""

    def finished(self, number: int, name: str) -> list[Epoch] | None:
        """The history of a stage that an earlier process finished, else None."""

    def take_up(self, stage: Stage) -> bool:
        """Resume a stage where an earlier process stopped; False if there is nothing to resume."""


def set_up(plan: TrainingPlan) -> tuple[torch.device, str]:
    """Set the process up for a plan.

    Returns:
        The device, and the reason why torch's convolutions are used (empty if the compiled kernels
            are).

    Raises:
        InputError: the device, its arithmetic or the requested convolutions are not available.
    """
    device = set_up_device(plan.training)
    return device, why_not_compiled(plan, device)


def train_stages(
    plan: TrainingPlan,
    inputs: Inputs,
    store: Store,
    mask: Mask,
    device: torch.device,
    *,
    compiled: bool,
    progress: Progress,
    keeping: Keeping,
    trainings: int = 1,
) -> tuple[Builder, dict[str, list[Epoch]]]:
    """Train every stage of a plan; returns its networks, and each stage's history.

    ``trainings`` are how many share a GPU's memory, this one included.

    Raises:
        InputError: a file does not fit the plan, or a loss is not finite.
    """
    fidelity = data_fidelity(mask).to(device)
    train, validation = (
        Slices(store, part, fidelity, device, trainings=trainings)
        for part in ("train", "validation")
    )
    builder = Builder(plan, inputs, fidelity, device, compiled=compiled)
    histories: dict[str, list[Epoch]] = {}
    for number, (name, keep) in enumerate(plan.selections.items()):
        done = keeping.finished(number, name)
        if done is not None:
            histories[name] = done
            continue
        stage = Stage(
            name,
            number,
            builder.objective(name, [train, validation]),
            train,
            validation,
            plan.training,
            plan.seed,
            keep=keep,
        )
        if keeping.take_up(stage):
            progress.going_on(name, stage.where)
        stage.run(progress, keeping)
        histories[name] = stage.history
    return builder, histories


def write_results(
    output: Path, model: str, builder: Builder, histories: dict[str, list[Epoch]]
) -> list[Path]:
    """Write weights and a history per stage to the folder ``output``; returns the files."""
    files = []
    for name, rows in histories.items():
        files.append(output / history(name))
        _write_history(files[-1], rows)
    files.append(output / WEIGHTS)
    save_weights(files[-1], builder.network, model=model)
    if builder.sft is not None:
        files.append(output / STUDENT_WEIGHTS)
        save_weights(files[-1], builder.sft.student, model=f"{SFT_STUDENT}{model}")
    return files


def _write_history(path: Path, rows: list[Epoch]) -> None:
    with atomic_path(path) as temporary, temporary.open("w", newline="") as stream:
        writer = csv.DictWriter(stream, fieldnames=list(asdict(rows[0])))
        writer.writeheader()
        writer.writerows(asdict(row) for row in rows)
