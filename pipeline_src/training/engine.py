"""Runs one training stage: the loop that every model of the study is trained with."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol

import torch
from torch import Tensor

from pipeline_src.config.training import Training
from pipeline_src.errors import InputError
from pipeline_src.training.data import Slices
from pipeline_src.training.objectives import Objective
from pipeline_src.training.optimiser import Adam, step_lr
from pipeline_src.training.seeding import batch_order
from pipeline_src.training.step import EpochLosses, Validation, training_step


@dataclass(frozen=True)
class Epoch:
    """One row of a stage's history; losses are means over slices."""

    epoch: int
    train_loss: float
    validation_loss: float
    validation_psnr_db: float
    learning_rate: float
    seconds: float


class Report(Protocol):
    """Called after each epoch with the stage's name, its number of epochs and the epoch's row."""

    def __call__(self, stage: str, epochs: int, row: Epoch, /) -> None:
        """Show or record the epoch."""


class Keeper(Protocol):
    """Called after each step and each epoch, where a stage can be interrupted."""

    def __call__(self, stage: Stage, *, epoch_over: bool) -> None:
        """Save the state if it is time to, or stop the training."""


class Stage:
    """A stage that can be interrupted after any step and resumed with the same result.

    It runs Adam with StepLR on seeded batches (Matcha et al., MIDL 2023, Sec. 3). At its end the
    network has the weights of the lowest validation loss, or with ``keep`` `last` those of the last
    epoch.

    Attributes:
        name, number: the stage's name, and its index within its training, from 0.
        epoch: the current epoch, from 1; one more than the number of epochs when all are done.
        batch: how many batches of the epoch are done.
        history: one row per finished epoch.
    """

    def __init__(
        self,
        name: str,
        number: int,
        objective: Objective,
        train: Slices,
        validation: Slices,
        settings: Training,
        seed: int,
        *,
        keep: Literal["best", "last"] = "best",
    ) -> None:
        self.name, self.number = name, number
        self._objective, self._train, self._validation = objective, train, validation
        self._settings, self._seed, self._keep = settings, seed, keep
        self.epoch, self.batch = 1, 0
        self.history: list[Epoch] = []
        self._best_loss = math.inf
        self._best: dict[str, Tensor] = {}
        parameters = {n: p for n, p in objective.trained.named_parameters() if p.requires_grad}
        self._adam = Adam(parameters)
        batches = math.ceil(len(train) / settings.batch_size)
        self._losses = EpochLosses(batches, train.device)
        self._step = training_step(objective, self._adam, train, self._losses)
        self._look = Validation(objective, validation, settings.batch_size)

    def run(self, report: Report, keeper: Keeper) -> None:
        """Train the remaining epochs, then load the selected weights.

        Raises:
            InputError: a loss is not finite; the message names stage, epoch, batch and patients.
        """
        while self.epoch <= self._settings.epochs:
            started = time.perf_counter()
            rate = step_lr(self._settings, self.epoch)
            train_loss = self._train_epoch(rate, keeper)
            validation_loss, psnr = self._validate()
            self._train.require_unchanged()
            seconds = time.perf_counter() - started
            row = Epoch(self.epoch, train_loss, validation_loss, psnr, rate, seconds)
            self.history.append(row)
            if self._keep == "last" or validation_loss < self._best_loss:
                self._best_loss = validation_loss
                state = self._objective.trained.state_dict()
                self._best = {name: t.detach().clone() for name, t in state.items()}
            self.epoch, self.batch = self.epoch + 1, 0
            report(self.name, self._settings.epochs, row)
            keeper(self, epoch_over=True)
        self._objective.trained.load_state_dict(self._best)

    def _train_epoch(self, rate: float, keeper: Keeper) -> float:
        self._objective.trained.train()
        self._adam.set_rate(rate)
        if self.batch == 0:
            self._losses.clear()
        batches = self._batches()
        for indices in batches[self.batch :]:
            self._step(indices)
            self.batch += 1
            if self.batch < len(batches):
                keeper(self, epoch_over=False)
        return self._mean("training", self._losses.values, batches, self._train)

    def _batches(self) -> tuple[Tensor, ...]:
        """Indices of the slices of each batch of this epoch."""
        order = batch_order(self._seed, self.number, self.epoch, len(self._train))
        on_device: Tensor = order.to(self._train.device)
        return tuple(torch.split(on_device, self._settings.batch_size))

    def _validate(self) -> tuple[float, float]:
        """Mean loss, and mean over slices of the PSNR in dB at the volume's data range."""
        look = self._look
        look()
        mean = self._mean("validation", look.losses, look.batches, self._validation)
        return mean, float(look.psnr.double().mean())

    def _mean(self, kind: str, losses: Tensor, batches: Sequence[Tensor], slices: Slices) -> float:
        """Mean over slices of the batches' losses."""
        values = losses.tolist()
        for number, (value, indices) in enumerate(zip(values, batches, strict=True), start=1):
            if not math.isfinite(value):
                patients = ", ".join(sorted({slices.patients[i] for i in indices.tolist()}))
                raise InputError(
                    f"stage {self.name}, epoch {self.epoch}, {kind} batch {number} (patients "
                    f"{patients}): {self._objective.named} is {value}, not finite; "
                    f"{self._objective.remedy}"
                )
        sizes = [len(indices) for indices in batches]
        total: float = sum(v * n for v, n in zip(values, sizes, strict=True))
        return total / sum(sizes)

    @property
    def where(self) -> str:
        """How far the stage is, in words."""
        return f"after {self.batch} batches of epoch {self.epoch}"

    @property
    def position(self) -> dict[str, Any]:
        """How far the stage is, for `restore`; the rest of its state are the `tensors`."""
        best = self._best_loss if math.isfinite(self._best_loss) else None
        return {
            "epoch": self.epoch,
            "batch": self.batch,
            "epochs": self._settings.epochs,
            "batches": len(self._losses.values),
            "best_loss": best,
        }

    def losses_are_finite(self) -> bool:
        """Whether the losses of this epoch's batches are finite so far; waits for the device."""
        return bool(self._losses.values.isfinite().all())

    def tensors(self) -> dict[str, Tensor]:
        """All tensors that change: weights, optimiser, best weights so far, losses so far."""
        parts = {
            "weights": dict(self._objective.trained.state_dict()),
            "adam": self._adam.state(),
            "best": self._best,
            "losses": {"values": self._losses.values},
        }
        return {f"{part}/{n}": t for part, named in parts.items() for n, t in named.items()}

    def restore(
        self, tensors: dict[str, Tensor], history: list[Epoch], position: dict[str, Any]
    ) -> None:
        """Continue from earlier values of `tensors`, ``history`` and `position`."""
        parts: dict[str, dict[str, Tensor]] = {}
        for name, tensor in tensors.items():
            part, _, rest = name.partition("/")
            parts.setdefault(part, {})[rest] = tensor
        self._objective.trained.load_state_dict(parts["weights"])
        self._adam.restore(parts.get("adam", {}))
        self._best = parts.get("best", {})
        self._losses.values.copy_(parts["losses"]["values"])
        self.history = history
        self.epoch, self.batch = position["epoch"], position["batch"]
        self._losses.done = self.batch
        best = position["best_loss"]
        self._best_loss = math.inf if best is None else best
