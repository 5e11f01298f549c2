"""The same slices and networks for the benchmark's baseline and for the pipeline."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from pipeline_src.config.distillation import Method, StudentFriendly
from pipeline_src.config.networks import Network, Networks
from pipeline_src.distillation.base import build_loss
from pipeline_src.models.dccnn import DCCNN
from pipeline_src.models.sft import SFTNetwork
from pipeline_src.sampling.data_fidelity import LineDataFidelity
from pipeline_src.training.data import Batch, Slices
from pipeline_src.training.objectives import (
    DistillationObjective,
    Objective,
    ReconstructionObjective,
    StudentFriendlyObjective,
)
from pipeline_src.training.teacher import FrozenTeacher

METHODS = ("fitnets", "at", "cc", "fsp", "sp")
KINDS = (
    "teacher",
    "student",
    "sft",
    *(f"{method}_{stage}" for method in METHODS for stage in ("features", "reconstruction")),
)

VOLUMES, ROWS, COLUMNS, SLICES = 2, 22, 18, 3
NETWORKS = Networks(
    teacher=Network(depth=5, features=4, padding=5),
    student=Network(depth=3, features=3, padding=5),
)


PROJECT = Path(__file__).resolve().parents[3]
# `benchmarks` is no part of the installed package.
sys.path.append(str(PROJECT))
textbook = import_module("benchmarks.textbook")


def random_network(network: Network, seed: int) -> DCCNN:
    """Weights that let the image through all cascades, so that every gradient counts."""
    generator = torch.Generator().manual_seed(seed)
    made = DCCNN(network)
    with torch.no_grad():
        for name, parameter in made.named_parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator))
            parameter.mul_(0.1 if name.endswith("bias") else (2 / parameter[0].numel()) ** 0.5)
    return made


@dataclass(frozen=True)
class Case:
    """The same slices in both forms, and the pipeline's networks."""

    folder: Path
    images: NDArray[np.float32]
    mask: NDArray[np.bool_]
    fidelity: LineDataFidelity
    slices: Slices

    def both(self, count: int) -> tuple[Any, Batch]:
        """The first slices, for the baseline and for the pipeline."""
        samples = textbook.VolumeSlices(self.folder)
        batch = torch.utils.data.default_collate([samples[i] for i in range(count)])
        return batch, self.slices.batch(torch.arange(count))

    def objective(self, kind: str) -> Objective:
        """The pipeline's; the networks' weights are the same in every call."""
        teacher = random_network(NETWORKS.teacher, seed=1)
        student = random_network(NETWORKS.student, seed=2)
        method, _, stage = kind.partition("_")
        if kind == "sft":
            sft = SFTNetwork(teacher, student)
            return StudentFriendlyObjective(sft, self.fidelity, StudentFriendly())
        if stage != "features":
            network = teacher if kind == "teacher" else student
            return ReconstructionObjective(network, self.fidelity)
        loss = build_loss(method, Method(form="authors"), NETWORKS)
        frozen = FrozenTeacher(teacher, self.fidelity, loss, cache_bytes=0, batch_size=4)
        return DistillationObjective(student, self.fidelity, frozen, loss, feature_weight=1.0)

    def step(self, kind: str) -> Any:
        """The baseline's, with the weights of `objective`."""
        return textbook.build(
            kind,
            self.mask,
            NETWORKS,
            teacher_state=random_network(NETWORKS.teacher, seed=1).state_dict(),
            student_state=random_network(NETWORKS.student, seed=2).state_dict(),
        )


def gradients_by_convolution(network: nn.Module) -> dict[str, Tensor]:
    """Of weight and bias together, where there are any.

    That of a last bias alone is rounding: data fidelity replaces the mean of the image.
    """
    gradients: dict[str, list[Tensor]] = {}
    for name, parameter in network.named_parameters():
        if parameter.grad is not None:
            gradients.setdefault(name.rpartition(".")[0], []).append(parameter.grad.flatten())
    return {name: torch.cat(parts) for name, parts in gradients.items()}


def textbook_name(convolution: str) -> str:
    """`teacher.cascades.1.convolutions.2` as `teacher.blocks.1.layers.4`."""
    *role, _, cascade, _, number = convolution.split(".")
    return ".".join([*role, "blocks", cascade, "layers", str(2 * int(number))])


def assert_close(found: Tensor, expected: Tensor, relative: float) -> None:
    """To the largest value of ``expected``."""
    scale = float(expected.abs().max())
    assert scale > 0
    torch.testing.assert_close(found, expected, rtol=0, atol=relative * scale)
