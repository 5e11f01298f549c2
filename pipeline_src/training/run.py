"""A whole training: from a plan, a store and a mask to weights, histories and a manifest."""

from __future__ import annotations

import csv
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

from pipeline_src.config.plans import TrainingPlan
from pipeline_src.data.store import Store, read_store
from pipeline_src.errors import InputError
from pipeline_src.files import atomic_path, sha256_file, sha256_json, write_json
from pipeline_src.models.dccnn import count_parameters
from pipeline_src.models.weights import save_weights
from pipeline_src.provenance import code_digest, record
from pipeline_src.sampling.data_fidelity import data_fidelity
from pipeline_src.sampling.masks import Mask, read_mask
from pipeline_src.training.builder import Builder, Inputs
from pipeline_src.training.data import Slices
from pipeline_src.training.engine import Epoch, run_stage
from pipeline_src.training.memory import keep_freed_memory
from pipeline_src.training.progress import Progress

#: Places of the code that shapes a training's numbers.
CODE = ("data", "sampling", "models", "distillation", "training")


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

    builder = Builder(plan, inputs, fidelity, device)
    progress = Progress(plan.model)
    histories: dict[str, list[Epoch]] = {}
    for number, stage in enumerate(plan.stages):
        objective = builder.objective(stage, [train, validation])
        histories[stage] = run_stage(
            stage,
            number,
            objective,
            train,
            validation,
            plan.training,
            plan.seed,
            progress,
            keep=plan.selection(stage),
        )

    written = {f"history_{stage}.csv": rows for stage, rows in histories.items()}
    for name, rows in written.items():
        _write_history(output / name, rows)
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
        "histories": list(written),
        "best_epoch": asdict(best),
        "weights_sha256": {name: sha256_file(output / name) for name in files},
        "device": str(device),
        "wall_seconds": round(time.perf_counter() - started, 3),
        "code_sha256": code_digest(*CODE),
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


def _write_history(path: Path, rows: list[Epoch]) -> None:
    with atomic_path(path) as temporary, temporary.open("w", newline="") as stream:
        writer = csv.DictWriter(stream, fieldnames=list(asdict(rows[0])))
        writer.writeheader()
        writer.writerows(asdict(row) for row in rows)
