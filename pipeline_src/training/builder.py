"""From a plan and its files to networks, and to the objective of each stage."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn

from pipeline_src.config.method import Network, Networks
from pipeline_src.distillation.base import build_loss
from pipeline_src.errors import InputError
from pipeline_src.models.dccnn import DCCNN, set_arithmetic, use_kernels
from pipeline_src.models.sft import SFTNetwork
from pipeline_src.models.weights import load_network, load_tensors
from pipeline_src.planning.plans import DistillationPlan, TrainingPlan
from pipeline_src.sampling.data_fidelity import DataFidelity
from pipeline_src.training.balance import balanced_weight
from pipeline_src.training.data import Slices
from pipeline_src.training.objectives import (
    Distillation,
    Objective,
    Reconstruction,
    StudentFriendlyTraining,
)
from pipeline_src.training.seeding import seed_initial_weights
from pipeline_src.training.teacher import FrozenTeacher


@dataclass(frozen=True)
class Inputs:
    """The files that a training reads.

    ``teacher`` is the frozen teacher's weights of a distillation; ``warm_start`` what a student
    starts from: the student blocks of student-friendly training, or a whole student.
    """

    store: Path
    mask: Path
    teacher: Path | None = None
    warm_start: Path | None = None

    def files(self) -> dict[str, Path]:
        """Each file that is given, by role."""
        return {role: path for role, path in vars(self).items() if path}


class Builder:
    """Networks of a plan, and the objective of each of its stages.

    Args:
        compiled: convolve with the compiled kernels.

    Attributes:
        network: the network that is trained and reported.
        sft: the student-friendly training network around it, where the plan is of that kind.
        feature_weight: weight of the feature loss beside the reconstruction loss, once the
            objective of a stage that has both is made.

    Raises:
        InputError: a file that the plan needs is not given, or does not fit it.
    """

    def __init__(
        self,
        plan: TrainingPlan,
        inputs: Inputs,
        fidelity: DataFidelity,
        device: torch.device,
        *,
        compiled: bool = False,
    ) -> None:
        self.plan, self.inputs, self.fidelity, self.device = plan, inputs, fidelity, device
        self._compiled = compiled
        wanted = plan.distillation
        if inputs.teacher and wanted is None:
            raise InputError(f"{plan.model}: has no use for --teacher {inputs.teacher}")
        if inputs.warm_start and not plan.warm_start:
            raise InputError(f"{plan.model}: has no use for --warm-start {inputs.warm_start}")
        self.sft: SFTNetwork | None = None
        self.feature_weight: float | None = None
        self._frozen: FrozenTeacher | None = None
        if plan.sft is not None:
            # Each network starts as it would on its own.
            self.sft = SFTNetwork(
                fresh_network(plan.network, plan.seed, "teacher"),
                fresh_network(plan.sft.student, plan.seed, "student"),
                plan.sft.losses.branches,
            )
            self.network = self.sft.to(device).teacher
            self._set_convolutions(self.sft)
            return
        role = "teacher" if plan.model == "teacher" else "student"
        self.network = fresh_network(plan.network, plan.seed, role)
        if plan.warm_start:
            self._warm_start()
        self.network.to(device)
        self._set_convolutions(self.network)

    def _set_convolutions(self, module: nn.Module) -> None:
        precision = self.plan.training.precision
        if self._compiled:
            use_kernels(module, precision)
        elif precision == "bf16":
            set_arithmetic(module, torch.bfloat16)

    def _warm_start(self) -> None:
        """The SFT student blocks, whose first is no part of any branch and stays random; or all of
        a student that was trained from them."""
        path = self.inputs.warm_start
        blocks = self.plan.warm_start == "sft_blocks"
        if path is None:
            source = "the student blocks of SFT" if blocks else "a student trained from them"
            raise InputError(f"{self.plan.model}: starts from {source}; give --warm-start")
        load_tensors(
            self.network,
            load_network(path).state_dict(),
            origin=str(path),
            cascades=range(2 if blocks else 1, self.plan.network.cascades + 1),
        )

    def objective(self, stage: str, parts: list[Slices]) -> Objective:
        """The objective of a stage; a frozen teacher remembers its answers for ``parts``."""
        plan = self.plan
        if self.sft is not None and plan.sft is not None:
            return StudentFriendlyTraining(self.sft, self.fidelity, plan.sft.losses)
        if plan.distillation is None:
            return Reconstruction(self.network, self.fidelity)
        options = plan.distillation.options
        reconstruction = {
            "reconstruction_weight": 1.0,
            "imitation_weight": options.imitation_weight,
        }
        weights = {
            "features": {"feature_weight": 1.0},
            "reconstruction": reconstruction,
            "joint": {"feature_weight": 1.0, **reconstruction},
        }[stage]
        if stage == "reconstruction" and not options.imitation_weight:
            return Reconstruction(self.network, self.fidelity)
        if self._frozen is None:
            self._frozen = self._frozen_teacher(plan.distillation, parts)
        teacher = self._frozen
        objective = Distillation(self.network, self.fidelity, teacher, teacher.loss, **weights)
        if stage == "joint":
            wanted = plan.distillation.loss.weight
            if wanted == "auto":
                wanted = balanced_weight(
                    objective, parts[0], plan.training.batch_size, options.gradient_ratio
                )
            self.feature_weight = objective.feature_weight = wanted
        return objective

    def _frozen_teacher(self, plan: DistillationPlan, parts: list[Slices]) -> FrozenTeacher:
        path = self.inputs.teacher
        if path is None:
            raise InputError(f"{self.plan.model}: needs its teacher's weights; give --teacher")
        network = load_network(path)
        if network.network != plan.teacher:
            raise InputError(
                f"{path}: holds {network.network}, but the plan's teacher is {plan.teacher}"
            )
        self._set_convolutions(network)
        networks = Networks(teacher=plan.teacher, student=self.plan.network)
        loss = build_loss(plan.method, plan.loss, networks)
        teacher = FrozenTeacher(
            network.to(self.device),
            self.fidelity,
            loss,
            cache_bytes=plan.options.teacher_cache_mib << 20,
            batch_size=self.plan.training.batch_size,
        )
        for part in parts:
            teacher.remember(part)
        return teacher


def fresh_network(network: Network, seed: int, role: str) -> DCCNN:
    """A network with initial weights drawn from the seed and the role (`teacher`, `student`)."""
    seed_initial_weights(seed, role)
    return DCCNN(network)
