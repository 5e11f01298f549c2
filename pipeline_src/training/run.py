"""A whole training: from a plan, a store and a mask to weights, histories and a manifest."""

from __future__ import annotations

import csv
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch

from pipeline_src.config.method import Networks
from pipeline_src.config.study import TrainingPlan
from pipeline_src.data.store import Store, read_store
from pipeline_src.distillation.base import build_loss
from pipeline_src.errors import InputError
from pipeline_src.files import atomic_path, sha256_file, sha256_json, write_json
from pipeline_src.models.dccnn import DCCNN, count_parameters
from pipeline_src.models.sft import SFTNetwork
from pipeline_src.models.weights import load_network, load_tensors, save_weights
from pipeline_src.provenance import record
from pipeline_src.sampling.data_fidelity import DataFidelity, data_fidelity
from pipeline_src.sampling.masks import Mask, read_mask
from pipeline_src.training.data import Slices
from pipeline_src.training.engine import Epoch, run_stage
from pipeline_src.training.memory import keep_freed_memory
from pipeline_src.training.objectives import (
    Distillation,
    Objective,
    Reconstruction,
    StudentFriendlyTraining,
)
from pipeline_src.training.progress import Progress
from pipeline_src.training.seeding import seed_initial_weights
from pipeline_src.training.teacher import FrozenTeacher


@dataclass(frozen=True)
class Inputs:
    """The files that a training reads.

    ``teacher`` is the frozen teacher's weights of a distillation; ``warm_start`` the student
    blocks of student-friendly training, whose cascades 2..c the student starts from.
    """

    store: Path
    mask: Path
    teacher: Path | None = None
    warm_start: Path | None = None

    def digests(self) -> dict[str, str]:
        """SHA-256 of each file that is given."""
        return {name: sha256_file(path) for name, path in vars(self).items() if path}


def run_training(plan: TrainingPlan, inputs: Inputs, output: Path, labels: dict[str, str]) -> None:
    """Train one model and write it to the folder ``output``.

    Writes `weights.safetensors`, `history_{stage}.csv` a stage, `manifest.json`, and for
    student-friendly training `student_weights.safetensors` (the branches' student blocks).
    ``labels`` (data set, acceleration) are copied to the manifest.

    Raises:
        InputError: a file is missing, or does not fit the plan or the other files.
    """
    started = time.perf_counter()
    device = choose_device(plan.training.device)
    torch.set_num_threads(plan.training.threads)
    if device.type == "cuda":
        # On the CPU every operation used here repeats to the bit at a given thread count.
        torch.use_deterministic_algorithms(True)
        torch.backends.cudnn.benchmark = False
    else:
        keep_freed_memory()
    store, mask = read_store(inputs.store), read_mask(inputs.mask)
    check_mask_fits(mask, store, inputs)
    fidelity = data_fidelity(mask).to(device)
    train = Slices(store, "train", fidelity, device)
    validation = Slices(store, "validation", fidelity, device)

    builder = _Builder(plan, inputs, fidelity, device)
    progress = Progress(plan.model)
    histories: dict[str, list[Epoch]] = {}
    for number, stage in enumerate(plan.stages):
        objective = builder.objective(stage, [train, validation])
        histories[stage] = run_stage(
            stage, number, objective, train, validation, plan.training, plan.seed, progress
        )

    for stage, rows in histories.items():
        _write_history(output / f"history_{stage}.csv", rows)
    files = ["weights.safetensors"]
    save_weights(output / files[0], builder.network)
    if builder.sft is not None:
        files.append("student_weights.safetensors")
        save_weights(output / files[1], builder.sft.student)
    final = histories[plan.stages[-1]]
    best = min(final, key=lambda row: row.validation_loss)
    manifest: dict[str, Any] = {
        **labels,
        "plan": plan.model_dump(mode="json"),
        "plan_sha256": sha256_json(plan.model_dump(mode="json")),
        "inputs_sha256": inputs.digests(),
        "data_digest": store.digest,
        "mask": mask.description,
        "parameters": count_parameters(builder.network),
        "best_epoch": asdict(best),
        "weights_sha256": {name: sha256_file(output / name) for name in files},
        "device": str(device),
        "wall_seconds": round(time.perf_counter() - started, 3),
        "made_by": record(),
    }
    write_json(output / "manifest.json", manifest)


def choose_device(wanted: str) -> torch.device:
    """The device that ``auto``, ``cpu`` or ``cuda`` stands for on this machine.

    Raises:
        InputError: CUDA is asked for and there is none.
    """
    if wanted == "cuda" and not torch.cuda.is_available():
        raise InputError("training.device: 'cuda' asked for, but torch sees no CUDA device")
    if wanted == "auto":
        wanted = "cuda" if torch.cuda.is_available() else "cpu"
    return torch.device(wanted)


def check_mask_fits(mask: Mask, store: Store, inputs: Inputs) -> None:
    """Refuse a mask whose size is not the store's.

    Raises:
        InputError: they differ.
    """
    matrix = store.images.shape[1:]
    if mask.samples.shape != matrix:
        raise InputError(
            f"{inputs.mask}: mask of {mask.samples.shape[0]}x{mask.samples.shape[1]} for slices "
            f"of {matrix[0]}x{matrix[1]} in {inputs.store}"
        )


class _Builder:
    """Networks of a plan, and the objective of each of its stages."""

    def __init__(
        self, plan: TrainingPlan, inputs: Inputs, fidelity: DataFidelity, device: torch.device
    ) -> None:
        self.plan, self.inputs, self.fidelity, self.device = plan, inputs, fidelity, device
        self.sft: SFTNetwork | None = None
        if plan.sft is not None and plan.student is not None:
            self.sft = SFTNetwork(plan.network, plan.student)
            # Drawn one after the other, each as it would be on its own.
            self.sft.teacher = _fresh(plan.network, plan.seed, "teacher")
            self.sft.student = _fresh(plan.student, plan.seed, "student")
            self.network = self.sft.teacher
            self.sft.to(device)
        else:
            role = "teacher" if plan.model == "teacher" else "student"
            self.network = _fresh(plan.network, plan.seed, role)
            if inputs.warm_start is not None:
                donor = load_network(inputs.warm_start)
                load_tensors(
                    self.network,
                    donor.state_dict(),
                    origin=str(inputs.warm_start),
                    cascades=range(2, plan.network.cascades + 1),
                )
        self.network.to(device)

    def objective(self, stage: str, parts: list[Slices]) -> Objective:
        plan = self.plan
        if self.sft is not None and plan.sft is not None:
            return StudentFriendlyTraining(self.sft, self.fidelity, plan.sft)
        if plan.distillation is None or plan.loss is None or plan.method is None:
            return Reconstruction(self.network, self.fidelity)
        options = plan.distillation
        reconstruction = {
            "reconstruction_weight": 1.0,
            "imitation_weight": options.imitation_weight,
        }
        weights = {
            "features": {"feature_weight": 1.0},
            "reconstruction": reconstruction,
            "joint": {"feature_weight": options.feature_weight, **reconstruction},
        }[stage]
        if stage == "reconstruction" and not options.imitation_weight:
            return Reconstruction(self.network, self.fidelity)
        return self._distillation(parts, weights)

    def _distillation(self, parts: list[Slices], weights: dict[str, float]) -> Objective:
        plan = self.plan
        assert plan.distillation and plan.loss and plan.method and plan.teacher
        if self.inputs.teacher is None:
            raise InputError(f"{plan.model}: a distillation needs the teacher's weights")
        network = load_network(self.inputs.teacher)
        if network.network != plan.teacher:
            raise InputError(
                f"{self.inputs.teacher}: holds a {network.network.name}, but the plan's teacher "
                f"is {plan.teacher}"
            )
        networks = Networks(teacher=plan.teacher, student=plan.network)
        loss = build_loss(plan.method, plan.loss, networks)
        teacher = FrozenTeacher(
            network.to(self.device),
            self.fidelity,
            loss,
            cache_bytes=plan.distillation.teacher_cache_mib << 20,
            batch_size=plan.training.batch_size,
        )
        for part in parts:
            teacher.remember(part)
        return Distillation(self.network, self.fidelity, teacher, loss, **weights)


def _fresh(network: Any, seed: int, role: str) -> DCCNN:
    seed_initial_weights(seed, role)
    return DCCNN(network)


def _write_history(path: Path, rows: list[Epoch]) -> None:
    with atomic_path(path) as temporary, temporary.open("w", newline="") as stream:
        writer = csv.DictWriter(stream, fieldnames=list(asdict(rows[0])))
        writer.writeheader()
        writer.writerows(asdict(row) for row in rows)
