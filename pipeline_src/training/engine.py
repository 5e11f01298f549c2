"""One training stage: the loop that every model of the study goes through."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from pipeline_src.config.method import Training
from pipeline_src.errors import InputError
from pipeline_src.training.data import Slices
from pipeline_src.training.objectives import Objective
from pipeline_src.training.seeding import batch_order


@dataclass(frozen=True)
class Epoch:
    """One row of a stage's history; losses are means over slices."""

    epoch: int
    train_loss: float
    validation_loss: float
    validation_psnr_db: float
    learning_rate: float
    seconds: float


Report = Callable[[str, int, Epoch], None]


def run_stage(
    name: str,
    number: int,
    objective: Objective,
    train: Slices,
    validation: Slices,
    settings: Training,
    seed: int,
    report: Report,
    *,
    keep: Literal["best", "last"] = "best",
) -> list[Epoch]:
    """Train for one stage and leave the weights of the lowest validation loss, or the last.

    ``number`` counts the stages of a training from 0. Adam with StepLR on seeded batches (Matcha
    et al., MIDL 2023, Sec. 3). ``report`` is called after each epoch with the stage's name, the
    number of epochs and the epoch's row.

    Raises:
        InputError: a loss is not finite; the line names stage and epoch.
    """
    parameters = [p for p in objective.trained.parameters() if p.requires_grad]
    optimiser = torch.optim.Adam(parameters, lr=settings.learning_rate, fused=True)
    scheduler = torch.optim.lr_scheduler.StepLR(
        optimiser, step_size=settings.lr_step, gamma=settings.lr_factor
    )
    history: list[Epoch] = []
    best_loss = math.inf
    best: dict[str, Tensor] = {}
    for epoch in range(1, settings.epochs + 1):
        started = time.perf_counter()
        rate = optimiser.param_groups[0]["lr"]
        order = batch_order(seed, number, epoch, len(train))
        train_loss = _train_epoch(objective, optimiser, train, order, settings.batch_size)
        scheduler.step()
        validation_loss, psnr = _validate(objective, validation, settings.batch_size)
        row = Epoch(epoch, train_loss, validation_loss, psnr, rate, time.perf_counter() - started)
        if not (math.isfinite(train_loss) and math.isfinite(validation_loss)):
            raise InputError(
                f"stage {name}, epoch {epoch}: the loss is not finite (training {train_loss}, "
                f"validation {validation_loss}); lower training.learning_rate or check the data"
            )
        history.append(row)
        report(name, settings.epochs, row)
        if keep == "last" or validation_loss < best_loss:
            best_loss = validation_loss
            best = {k: v.detach().clone() for k, v in objective.trained.state_dict().items()}
    objective.trained.load_state_dict(best)
    return history


def _train_epoch(
    objective: Objective,
    optimiser: torch.optim.Optimizer,
    slices: Slices,
    order: Tensor,
    batch_size: int,
) -> float:
    objective.trained.train()
    # Summed on the device: reading it each step would wait for the device each step.
    total = torch.zeros((), dtype=torch.float64, device=slices.target.device)
    for batch in slices.batches(batch_size, order):
        optimiser.zero_grad()
        loss = objective.loss(batch)
        loss.backward()
        optimiser.step()
        total += loss.detach() * len(batch.indices)
    return float(total) / len(slices)


@torch.no_grad()
def _validate(objective: Objective, slices: Slices, batch_size: int) -> tuple[float, float]:
    """Mean loss, and mean over slices of the PSNR in dB at the volume's data range."""
    objective.trained.eval()
    total = torch.zeros(2, dtype=torch.float64, device=slices.target.device)
    for batch in slices.batches(batch_size):
        loss, image = objective.validate(batch)
        mse = (image - batch.target).square().mean(dim=(1, 2, 3))
        psnr = 10 * torch.log10(batch.data_range.square() / mse)
        total += torch.stack([loss * len(batch.indices), psnr.sum()])
    loss_sum, psnr_sum = total.tolist()
    return loss_sum / len(slices), psnr_sum / len(slices)
