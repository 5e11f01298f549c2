"""A whole training: from a plan, a store and a mask to weights, histories and a manifest."""

from __future__ import annotations

import csv
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

from pipeline_src.config.plans import TrainingPlan, split_model_name
from pipeline_src.data.store import Store, read_store
from pipeline_src.errors import InputError
from pipeline_src.files import atomic_path, remove_leftovers, sha256_file, sha256_json
from pipeline_src.models.dccnn import count_parameters
from pipeline_src.models.weights import SFT_STUDENT, save_weights
from pipeline_src.provenance import Sitting, code_digest, package_versions, write_manifest
from pipeline_src.sampling.data_fidelity import data_fidelity
from pipeline_src.sampling.masks import Mask, read_mask
from pipeline_src.training.builder import Builder, Inputs
from pipeline_src.training.convolutions import described, why_library
from pipeline_src.training.data import Slices
from pipeline_src.training.device import set_up_device
from pipeline_src.training.engine import Epoch, Stage
from pipeline_src.training.finished import is_complete, take_back
from pipeline_src.training.interruption import Interruption
from pipeline_src.training.lock import locked
from pipeline_src.training.progress import Progress
from pipeline_src.training.safekeeping import Safekeeping
from pipeline_src.training.state import StateFiles

#: Places of the code that shapes a training's numbers.
CODE = (
    "data/store.py",
    "sampling",
    "models",
    "kernels",
    "distillation/base.py",
    "distillation/attention.py",
    "training",
)
SAVE_EVERY_SECONDS = 30.0


def run_training(
    plan: TrainingPlan,
    inputs: Inputs,
    output: Path,
    labels: dict[str, str],
    save_every: float = SAVE_EVERY_SECONDS,
    parent: int | None = None,
) -> None:
    """Train one model and write it to the folder ``output``; goes on where an earlier run of the
    same training was stopped or killed.

    Writes `weights.safetensors`, `history_{stage}.csv` a stage, `manifest.json`, and for
    student-friendly training `student_weights.safetensors` (the branches' student blocks). While
    it runs, its state lies beside them: saved after every epoch, and within longer ones every
    ``save_every`` seconds. It stops when ``parent``, the process that started it, has ended.
    ``labels`` (data set, acceleration) are copied to the manifest.

    Raises:
        InputError: a file is missing, or does not fit the plan or the other files.
        Interrupted: a signal asked it to stop; its state is saved.
    """
    device = set_up_device(plan.training)
    store, mask = read_store(inputs.store), read_mask(inputs.mask)
    check_mask_fits(mask, store, inputs)
    reason = why_library(plan, device)
    defined_by = what_defines(plan, inputs, device, compiled=not reason)
    digest = sha256_json(defined_by)
    with Interruption(parent) as interruption, locked(output, interruption) as waited:
        if waited and is_complete(output, digest):
            print(f"{output}: complete; trained by the process that was waited for")
            return
        if take_back(output, digest):
            print(f"{output}: complete; trained while no Snakemake watched")
            return
        files = StateFiles(output, digest)
        saved, sitting = files.load(), Sitting()
        earlier = saved.facts["sittings"] if saved else []

        def sittings() -> list[dict[str, Any]]:
            return [*earlier, sitting.so_far()]

        keeping = Safekeeping(
            files,
            saved,
            interruption,
            save_every,
            lambda: {"model": plan.model, "seed": plan.seed, **labels, "sittings": sittings()},
        )
        if reason:
            print(f"convolutions: torch's; {reason}", file=sys.stderr)
        builder, histories = _train(plan, inputs, store, mask, device, keeping, not reason)
        written = _write_results(output, plan.model, builder, histories)
        final = histories[plan.stages[-1]]
        manifest = output / "manifest.json"
        model, training = split_model_name(plan.model)
        write_manifest(
            manifest,
            command="train",
            inputs=inputs.files(),
            outputs=written,
            code=defined_by["code"],
            sittings=sittings(),
            facts={
                **labels,
                "model": model,
                "training": training,
                "seed": plan.seed,
                "plan": plan.model_dump(mode="json"),
                "training_sha256": digest,
                "data_digest": store.digest,
                "mask": mask.description,
                "parameters": count_parameters(builder.network),
                "histories": [f"history_{name}.csv" for name in histories],
                "best_epoch": asdict(min(final, key=lambda row: row.validation_loss)),
                "device": str(device),
                "convolutions": described(plan, reason),
            },
        )
        interruption.leave("after its last epoch")
        files.remove()
        remove_leftovers([*written, manifest])


def _train(
    plan: TrainingPlan,
    inputs: Inputs,
    store: Store,
    mask: Mask,
    device: torch.device,
    keeping: Safekeeping,
    compiled: bool,
) -> tuple[Builder, dict[str, list[Epoch]]]:
    fidelity = data_fidelity(mask).to(device)
    train = Slices(store, "train", fidelity, device)
    validation = Slices(store, "validation", fidelity, device)
    builder = Builder(plan, inputs, fidelity, device, compiled=compiled)
    progress = Progress(plan.model)
    histories: dict[str, list[Epoch]] = {}
    for number, name in enumerate(plan.stages):
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
            keep=plan.selection(name),
        )
        if keeping.take_up(stage):
            progress.going_on(name, stage.where)
        stage.run(progress, keeping)
        histories[name] = stage.history
    return builder, histories


def _write_results(
    output: Path, model: str, builder: Builder, histories: dict[str, list[Epoch]]
) -> list[Path]:
    files = []
    for name, rows in histories.items():
        files.append(output / f"history_{name}.csv")
        _write_history(files[-1], rows)
    files.append(output / "weights.safetensors")
    save_weights(files[-1], builder.network, model=model)
    if builder.sft is not None:
        files.append(output / "student_weights.safetensors")
        save_weights(files[-1], builder.sft.student, model=f"{SFT_STUDENT}{model}")
    return files


def what_defines(
    plan: TrainingPlan, inputs: Inputs, device: torch.device, *, compiled: bool
) -> dict[str, Any]:
    """All that shapes the numbers: a state is taken up only under the same."""
    versions = package_versions()
    code = {place: code_digest(place) for place in CODE}
    if plan.distillation is not None:
        name, loss = plan.distillation.method, plan.distillation.loss
        code[f"loss {name}"] = sha256_file(loss.source(name))
    return {
        "plan": plan.model_dump(mode="json"),
        "inputs": {role: sha256_file(path) for role, path in inputs.files().items()},
        "code": code,
        "packages": {name: versions[name] for name in ("python", "torch", "numpy")},
        "device": device.type,
        "convolutions": "compiled" if compiled else "library",
    }


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
