"""Every kind of training step that the project has, and how one is set up as a training does it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from benchmarks.gpu.scale import Scale
from pipeline_src.config import Study, check_study
from pipeline_src.config.distillation import PAPER_METHODS, available_methods
from pipeline_src.data.preparation import prepare
from pipeline_src.data.store import read_store, write_store
from pipeline_src.models.weights import SFT_STUDENT, save_weights
from pipeline_src.planning.plans import TrainingPlan, training_plan
from pipeline_src.sampling.data_fidelity import data_fidelity
from pipeline_src.sampling.masks import described_mask, drawn_mask, read_mask, write_mask
from pipeline_src.training.builder import Builder, Inputs, fresh_network
from pipeline_src.training.data import Slices
from pipeline_src.training.optimiser import BETAS, Adam
from pipeline_src.training.seeding import batch_order
from pipeline_src.training.stages import set_up
from pipeline_src.training.step import EpochLosses, plain_step, training_step

#: The kinds that a study of the paper is made of come first, since time may run out.
FIRST = ("teacher", "student", "sft", "at_features", "reconstruction")
#: Weights and the optimiser's moments by name.
State = dict[str, Tensor]


@dataclass(frozen=True)
class Kind:
    """A kind of step: the stage of a model, under settings laid over the study."""

    name: str
    model: str
    stage: str
    settings: dict[str, Any] = field(default_factory=dict)
    points: bool = False


def name_of(plan: TrainingPlan, stage: str) -> str:
    """The kind of a plan's stage. Stages that compute the same have one name."""
    wanted = plan.distillation
    if plan.sft is not None:
        return "sft" if plan.sft.losses.imitation_domain == "image" else "sft_middle_features"
    if wanted is None:
        return "control" if plan.control else plan.model
    if stage == "reconstruction":
        return "imitation" if wanted.options.imitation_weight else "reconstruction"
    form = "_original" if wanted.loss.form == "original" else ""
    return f"{wanted.method}{form}_{stage}"


def kinds(scale: Scale) -> list[Kind]:
    """All of them, found in the project's registries of models, methods, forms and options."""
    layers: list[dict[str, Any]] = [
        {},
        {"distillation": {"imitation_weight": 1.0}},
        {"distillation": {"protocol": "joint"}},
        {"sft": {"imitation_domain": "features"}},
        {"methods": {m: {"form": "original"} for m in PAPER_METHODS}},
    ]
    found: dict[str, Kind] = {}
    for settings in layers:
        study = study_of(scale, scale.matrix, settings)
        for model in study.model_names():
            plan = training_plan(study, model, 0)
            for stage in plan.stages:
                name = name_of(plan, stage)
                found.setdefault(name, Kind(name, model, stage, settings))
    # A mask of single points is imposed by FFT.
    found["teacher_points"] = Kind("teacher_points", "teacher", "reconstruction", points=True)
    return sorted(found.values(), key=lambda k: FIRST.index(k.name) if k.name in FIRST else 99)


def study_of(scale: Scale, matrix: int, settings: dict[str, Any], **training: Any) -> Study:
    """A study of drawn phantoms."""
    networks = {"cascades": scale.cascades, "features": scale.features}
    anatomy = {"kind": "phantom", "anatomy": "cardiac", "seed": 1}
    values: dict[str, Any] = {
        "study": "gpu",
        "accelerations": [4],
        "datasets": {
            "phantom": {
                "source": {**anatomy, "patients": 4, "slices": scale.slices, "matrix": matrix},
                "preparation": {"matrix": [matrix, matrix]},
                "split": {"train": 1, "validation": 1, "test": 1, "seed": 0},
            }
        },
        "sampling": {"center_lines": max(2, matrix // 15)},
        "networks": {"teacher": networks, "student": networks},
        "methods": {name: {} for name in available_methods()},
        "training": {
            **{"batch_size": scale.batch, "epochs": 2, "lr_step": 1, "threads": scale.threads},
            **training,
        },
    }
    return check_study(values | settings)


@dataclass(frozen=True)
class Files:
    """A store, masks and initial weights of all trainings at one matrix."""

    folder: Path

    @property
    def store(self) -> Path:
        """Of drawn slices."""
        return self.folder / "volumes.h5"

    def mask(self, points: bool = False) -> Path:
        """Of lines, or of single points."""
        return self.folder / ("points.npz" if points else "mask.npz")

    def inputs(self, plan: TrainingPlan, *, points: bool = False) -> Inputs:
        """What a plan reads."""
        teacher = self.folder / "teacher.safetensors" if plan.distillation else None
        warm_start = self.folder / "blocks.safetensors" if plan.warm_start else None
        return Inputs(self.store, self.mask(points), teacher, warm_start)


def write_files(folder: Path, scale: Scale, matrix: int) -> Files:
    """Draw phantoms and masks, and weights of an untrained teacher and student."""
    files = Files(folder)
    if (folder / "blocks.safetensors").exists():
        return files
    folder.mkdir(parents=True, exist_ok=True)
    study = study_of(scale, matrix, {})
    dataset = study.datasets["phantom"]
    write_store(files.store, prepare(dataset, folder), {"dataset": "phantom"})
    size = (matrix, matrix)
    write_mask(files.mask(), drawn_mask(size, 4, 0, study.sampling.center_lines))
    points = np.random.default_rng(0).random(size) < 0.25
    points[0, 0] = True
    write_mask(files.mask(points=True), described_mask(points, {"acceleration": 4}))
    save_weights(
        folder / "teacher.safetensors", fresh_network(study.networks.teacher, 1, "teacher")
    )
    save_weights(
        folder / "blocks.safetensors",
        fresh_network(study.networks.student, 1, "student"),
        model=f"{SFT_STUDENT}sft_teacher",
    )
    return files


class Trainee:
    """A training set up as the pipeline does it, ready for its first step.

    Attributes:
        step: the pipeline's step on this device.
        plain: the same step, never captured.
        objective, losses, slices: what it is made of.
        library: why torch's convolutions are used; empty with the project's own.
    """

    def __init__(
        self,
        kind: Kind,
        files: Files,
        scale: Scale,
        matrix: int,
        device: str,
        precision: str = "fp32",
        *,
        double: bool = False,
        convolutions: str = "auto",
    ) -> None:
        wanted = "library" if double else convolutions
        training = {"precision": precision, "device": device, "convolutions": wanted}
        study = study_of(scale, matrix, kind.settings, **training)
        plan = training_plan(study, kind.model, 0)
        self.device, self.library = set_up(plan)
        dtype = torch.float64 if double else torch.float32
        fidelity = data_fidelity(read_mask(files.mask(kind.points))).to(self.device)
        store = read_store(files.store)
        self.slices = Slices(store, "train", fidelity, self.device, dtype)
        self.validation = Slices(store, "validation", fidelity, self.device, dtype)
        fidelity.to(dtype)
        builder = Builder(
            plan,
            files.inputs(plan, points=kind.points),
            fidelity,
            self.device,
            compiled=not self.library,
        )
        (builder.sft or builder.network).to(dtype)
        before = torch.get_default_dtype()
        torch.set_default_dtype(dtype)
        try:
            self.objective = builder.objective(kind.stage, [self.slices, self.validation])
        finally:
            torch.set_default_dtype(before)
        self.adam = Adam(
            {n: p for n, p in self.objective.trained.named_parameters() if p.requires_grad}
        )
        self.adam.set_rate(plan.training.learning_rate)
        self.losses = EpochLosses(-(-len(self.slices) // scale.batch), self.device)
        made = (self.objective, self.adam, self.slices, self.losses)
        self.step, self.plain = training_step(*made), plain_step(*made)
        self._batch = scale.batch

    @property
    def convolutions(self) -> str:
        """Whose are used: `compiled` (the project's own) or `library`."""
        return "library" if self.library else "compiled"

    def batches(self) -> Iterator[Tensor]:
        """Indices without end, epoch by epoch, the last of each as small as it is."""
        epoch = 0
        while True:
            epoch += 1
            self.losses.clear()
            order = batch_order(0, 0, epoch, len(self.slices)).to(self.device)
            yield from order.split(self._batch)

    def train(self, steps: int, *, plain: bool = False) -> list[float]:
        """Train that many steps; the loss of each."""
        step = self.plain if plain else self.step
        losses: list[Tensor] = []
        for _, indices in zip(range(steps), self.batches(), strict=False):
            done = int(len(losses) % len(self.losses.values))
            step(indices)
            losses.append(self.losses.values[done].clone())
        return torch.stack(losses).tolist()

    def weights(self) -> Tensor:
        """All weights that are trained, `(parameters,)` in double precision on the CPU."""
        flat = [p.detach().reshape(-1) for p in self.objective.trained.parameters()]
        return torch.cat(flat).double().cpu()

    def state(self) -> State:
        """Weights and moments, copied."""
        named = dict(self.objective.trained.named_parameters())
        state = {f"weights/{n}": t for n, t in named.items()} | self.adam.state()
        return {name: tensor.detach().clone() for name, tensor in state.items()}

    @torch.no_grad()
    def take_up(self, state: State) -> None:
        """Write a state into the tensors that are there, which a captured step reads."""
        named = dict(self.objective.trained.named_parameters())
        own = {f"weights/{n}": t for n, t in named.items()} | self.adam.state()
        for name, tensor in own.items():
            tensor.copy_(state[name])

    def gradient(self, before: State) -> Tensor:
        """The gradient of the one step since the state ``before``, `(parameters,)` in double
        precision on the CPU, as the optimiser's means tell it."""
        parts = []
        for name, after in self.adam.state().items():
            if name.endswith("/mean"):
                old = before[name].double().cpu()
                moved = after.double().cpu() - BETAS[0] * old
                parts.append(moved.reshape(-1) / (1 - BETAS[0]))
        return torch.cat(parts)
