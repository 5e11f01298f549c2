"""Runs a whole training: from a plan, a store and a mask to weights, histories and a manifest."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

from pipeline_src.acceleration.choice import described
from pipeline_src.acceleration.compiled import bits_here
from pipeline_src.acceleration.gpu_cascade import version_of_triton
from pipeline_src.data.store import origin_of, read_store
from pipeline_src.files import remove_leftovers, sha256_file, sha256_json
from pipeline_src.models.base import count_parameters
from pipeline_src.planning.model_names import split_model_name
from pipeline_src.planning.places import MANIFEST, history
from pipeline_src.planning.plans import TrainingPlan
from pipeline_src.planning.step_code import digests
from pipeline_src.planning.steps import training_code
from pipeline_src.provenance.environment import package_versions
from pipeline_src.provenance.manifest import write_manifest
from pipeline_src.provenance.run_recorder import RunRecorder
from pipeline_src.running.checkpointing import Checkpointer
from pipeline_src.running.finished import is_complete, restore_finished
from pipeline_src.running.gpu_use import GpuUse, gpu_facts
from pipeline_src.running.gpus import trainings_per_gpu
from pipeline_src.running.interruption import Interruption
from pipeline_src.running.progress import Progress
from pipeline_src.running.resume_state import StateFiles
from pipeline_src.running.training_lock import locked
from pipeline_src.sampling.masks import read_mask, require_labels, require_size
from pipeline_src.training.builder import Inputs
from pipeline_src.training.stages import set_up, train_stages, write_results

SAVE_EVERY_SECONDS = 30.0


def run_training(
    plan: TrainingPlan,
    inputs: Inputs,
    output: Path,
    labels: dict[str, str],
    save_every: float = SAVE_EVERY_SECONDS,
    parent: int | None = None,
    choices: Mapping[str, Any] | None = None,
) -> None:
    """Train one model and write it to the folder ``output``; resumes an earlier run of the same
    training that was stopped or killed.

    Writes `weights.safetensors`, `history_{stage}.csv` per stage, `manifest.json`, and for
    student-friendly training `student_weights.safetensors` (the branches' student blocks). While it
    runs, its state lies beside them: saved after epochs, and within longer ones every
    ``save_every`` seconds. It stops when ``parent``, the process that started it, has ended.
    ``labels`` (data set, acceleration) are copied to the manifest, and so are ``choices``, the keys
    of the configuration by which the results will be judged.

    Raises:
        InputError: a file is missing, or does not fit the plan or the other files.
        Interrupted: a signal asked it to stop; its state is saved.
    """
    device, reason = set_up(plan)
    store = read_store(inputs.store, parts=("train", "validation"))
    mask = read_mask(inputs.mask)
    require_size(mask, inputs.mask, store.images.shape[1:], inputs.store)
    require_labels(labels, store, mask, [inputs.store, inputs.mask])
    defined_by = training_fingerprint(plan, inputs, device, compiled=not reason)
    digest = sha256_json(defined_by)
    with Interruption(parent) as interruption, locked(output, interruption) as waited:
        if waited and is_complete(output, digest):
            print(f"{output}: complete; trained by the process that was waited for")
            return
        if restore_finished(output, digest):
            print(f"{output}: complete; the same training has ended before")
            return
        gpu, use = gpu_facts(device), GpuUse(device)
        files = StateFiles(output, digest, gpu)
        saved = files.load({"seed": plan.seed, **labels})
        recorder = RunRecorder()
        # States of older versions call the runs sittings.
        facts = saved.facts if saved else {}
        earlier = facts.get("runs", facts.get("sittings", []))

        def runs() -> list[dict[str, Any]]:
            return [*earlier, {**recorder.so_far(), **use.so_far()}]

        keeping = Checkpointer(
            files,
            saved,
            interruption,
            save_every,
            len(plan.stages),
            lambda: {"model": plan.model, "seed": plan.seed, **labels, "runs": runs()},
        )
        if reason:
            print(f"convolutions: torch's; {reason}", file=sys.stderr)
        builder, histories = train_stages(
            plan,
            inputs,
            store,
            mask,
            device,
            compiled=not reason,
            progress=Progress(plan.model),
            keeping=keeping,
            trainings=trainings_per_gpu(),
        )
        written = write_results(output, plan.model, builder, histories)
        final = histories[plan.stages[-1]]
        manifest = output / MANIFEST
        model, training = split_model_name(plan.model)
        write_manifest(
            manifest,
            command="train",
            inputs=inputs.files(),
            outputs=written,
            settings=defined_by["plan"],
            code=defined_by["code"],
            runs=runs(),
            facts={
                **labels,
                "model": model,
                "training": training,
                "seed": plan.seed,
                "choices": dict(choices or {}),
                "training_sha256": digest,
                "data_digest": store.digest,
                "mask": mask.description,
                "mask_digest": mask.digest,
                "origin": origin_of(store.description, store.patients, store.digest),
                "parameters": count_parameters(builder.network),
                **({"feature_weight": builder.feature_weight} if builder.feature_weight else {}),
                "histories": [history(name) for name in histories],
                "best_epoch": asdict(min(final, key=lambda row: row.validation_loss)),
                "device": str(device),
                **gpu,
                "convolutions": described(plan, reason, device),
                # The last bits of torch's sums depend on the kind of vector unit.
                "vector_unit": torch.backends.cpu.get_cpu_capability(),
            },
        )
        interruption.leave("after its last epoch")
        files.remove()
        remove_leftovers([*written, manifest])


def training_fingerprint(
    plan: TrainingPlan, inputs: Inputs, device: torch.device, *, compiled: bool
) -> dict[str, Any]:
    """All that affects the numbers: a state is resumed only if this is the same."""
    versions = package_versions()
    names = ["python", "torch", "numpy"]
    convolutions = "compiled" if compiled else "library"
    if compiled and device.type == "cpu" and (bits := bits_here(plan.training.precision)):
        convolutions += f" {bits}"
    if compiled and device.type == "cuda":
        versions["triton"] = version_of_triton()
        names.append("triton")
    return {
        "plan": plan.model_dump(mode="json"),
        "inputs": {role: sha256_file(path) for role, path in inputs.files().items()},
        "code": digests(training_code(plan)),
        "packages": {name: versions[name] for name in names},
        "device": device.type,
        "convolutions": convolutions,
    }
