"""Builds the networks of a training plan, and the objective of each of its stages."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn

from pipeline_src.config.networks import Network, Networks, OtherNetwork
from pipeline_src.distillation.base import DistillationLoss, build_loss
from pipeline_src.errors import InputError
from pipeline_src.models.base import CascadeNetwork, ReconstructionNetwork
from pipeline_src.models.dccnn import use_kernels
from pipeline_src.models.registry import make_network, network_class
from pipeline_src.models.sft import SFTNetwork
from pipeline_src.models.trial import feature_shapes, require_comparable
from pipeline_src.models.weights import load_network, load_tensors
from pipeline_src.planning.plans import DistillationPlan, SFTPlan, TrainingPlan
from pipeline_src.sampling.data_fidelity import DataFidelity
from pipeline_src.training.balance import balanced_weight
from pipeline_src.training.data import Slices
from pipeline_src.training.objectives import (
    DistillationObjective,
    Objective,
    ReconstructionObjective,
    StudentFriendlyObjective,
    imitated,
)
from pipeline_src.training.seeding import seed_initial_weights
from pipeline_src.training.teacher import FrozenTeacher


@dataclass(frozen=True)
class Inputs:
    """The files that a training reads.

    ``teacher`` holds the frozen teacher's weights, for a distillation; ``warm_start`` holds a
    student's initial weights: the student blocks of student-friendly training, or a whole student.
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
        compiled: use the compiled kernels for convolutions.

    Attributes:
        network: the network that is trained and reported.
        sft: the student-friendly training network around it, if the plan is of that kind.
        feature_weight: weight of the feature loss beside the reconstruction loss; set once the
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
        self.network: ReconstructionNetwork
        self.sft: SFTNetwork | None = None
        self.feature_weight: float | None = None
        self._frozen: FrozenTeacher | None = None
        if plan.sft is not None:
            self.sft = _sft_network(plan, plan.sft)
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
            use_kernels(module, precision, self.device.type)
        elif precision == "bf16":
            for network in module.modules():
                if isinstance(network, ReconstructionNetwork):
                    network.set_arithmetic(torch.bfloat16)

    def _warm_start(self) -> None:
        """Load the student blocks of SFT, except the first, which is in no branch and stays random;
        or load a whole student that was trained from them.
        """
        path = self.inputs.warm_start
        blocks = self.plan.warm_start == "sft_blocks"
        if path is None:
            source = "the student blocks of SFT" if blocks else "a student trained from them"
            raise InputError(f"{self.plan.model}: starts from {source}; give --warm-start")
        load_tensors(
            self.network,
            load_network(path).state_dict(),
            origin=str(path),
            cascades=range(2, (self.plan.network.cascades or 0) + 1) if blocks else None,
        )

    def objective(self, stage: str, parts: list[Slices]) -> Objective:
        """The objective of a stage; a frozen teacher stores its answers for ``parts``."""
        plan = self.plan
        if self.sft is not None and plan.sft is not None:
            return StudentFriendlyObjective(self.sft, self.fidelity, plan.sft.losses)
        if plan.distillation is None:
            return ReconstructionObjective(self.network, self.fidelity)
        options = plan.distillation.options
        if stage == "reconstruction" and not options.imitation_weight:
            return ReconstructionObjective(self.network, self.fidelity)
        if self._frozen is None:
            self._frozen = self._frozen_teacher(plan.distillation, parts)
        teacher = self._frozen
        objective = DistillationObjective(
            self.network,
            self.fidelity,
            teacher,
            teacher.loss,
            reconstruction_weight=0.0 if stage == "features" else 1.0,
            feature_weight=0.0 if stage == "reconstruction" else 1.0,
            imitation_weight=0.0 if stage == "features" else options.imitation_weight,
        )
        if stage == "joint":
            wanted = plan.distillation.loss.weight
            if wanted == "auto":
                wanted = balanced_weight(
                    objective, parts[0], plan.training.batch_size, options.gradient_ratio
                )
            self.feature_weight = wanted
            objective.weights = (1.0, wanted, options.imitation_weight)
        return objective

    def _frozen_teacher(self, plan: DistillationPlan, parts: list[Slices]) -> FrozenTeacher:
        path = self.inputs.teacher
        if path is None:
            raise InputError(f"{self.plan.model}: needs its teacher's weights; give --teacher")
        # Imports the teacher's module: the study names it, not only the file.
        network_class(plan.teacher)
        network = load_network(path)
        if network.network != plan.teacher:
            raise InputError(
                f"{path}: holds {network.network}, but the plan's teacher is {plan.teacher}"
            )
        self._set_convolutions(network)
        networks = Networks(teacher=plan.teacher, student=self.plan.network)
        loss = build_loss(plan.method, plan.loss, networks)
        loss.parts = self._parts_of(loss, networks)
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

    def _parts_of(self, loss: DistillationLoss, networks: Networks) -> nn.Module | None:
        if type(loss).make_parts is DistillationLoss.make_parts:
            return None
        channels = [
            {tap: shape[0] for tap, shape in feature_shapes(network, loss.taps()).items()}
            for network in (networks.teacher, networks.student)
        ]
        # Random draws here must not change later ones.
        with torch.random.fork_rng(devices=[]):
            seed_initial_weights(self.plan.seed, "loss")
            parts = loss.make_parts(*channels)
        return None if parts is None else parts.to(self.device)


def fresh_network(network: Network | OtherNetwork, seed: int, role: str) -> ReconstructionNetwork:
    """A network with initial weights drawn from the seed and the role (`teacher`, `student`).

    Raises:
        InputError: there is no such kind of network, or its options are not valid for it.
    """
    seed_initial_weights(seed, role)
    return make_network(network)


def _sft_network(plan: TrainingPlan, sft: SFTPlan) -> SFTNetwork:
    # Each network starts with the weights that it would have on its own.
    teacher = fresh_network(plan.network, plan.seed, "teacher")
    student = fresh_network(sft.student, plan.seed, "student")
    for role, network in (("teacher", teacher), ("student", student)):
        if not isinstance(network, CascadeNetwork):
            raise InputError(
                f"networks.{role}: {network.network.name} has no blocks to exchange, which "
                "student-friendly training needs; use recipes: [std_kd], or a network with cascades"
            )
    assert isinstance(teacher, CascadeNetwork)
    assert isinstance(student, CascadeNetwork)
    built = SFTNetwork(teacher, student, sft.losses.branches)
    if sft.losses.imitation_domain == "features":
        networks = Networks(teacher=plan.network, student=sft.student)
        what = "sft.imitation_domain: 'features'"
        require_comparable(networks, imitated(built), what, channels=True)
    return built
