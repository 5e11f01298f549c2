"""The command `train`: trains one model."""

from __future__ import annotations

import argparse
from contextlib import nullcontext
from pathlib import Path

from pipeline_src.commands import (
    Subcommands,
    add_command,
    add_data,
    add_setting,
    dataset_of,
    study_of,
)
from pipeline_src.errors import InputError
from pipeline_src.planning.choices import choices
from pipeline_src.planning.places import MANIFEST, WEIGHTS
from pipeline_src.planning.study_models import Models


def add_parser(subcommands: Subcommands) -> None:
    """Add the command and its options."""
    sub = add_command(subcommands, train)
    add_data(sub)
    sub.add_argument("--output", type=Path, required=True, help="folder to write to")
    add_setting(sub)
    sub.add_argument("--model", required=True, help="teacher, student, sft_teacher, std_kd_at ...")
    sub.add_argument("--seed", type=int, required=True, help="seed of the run")
    sub.add_argument("--teacher", type=Path, help="weights of the frozen teacher")
    sub.add_argument("--warm-start", type=Path, help="student blocks of SFT to start from")
    sub.add_argument(
        "--save-every",
        type=float,
        default=30.0,
        metavar="SECONDS",
        help="save the state this often within an epoch, besides after each (default: 30)",
    )


def train(options: argparse.Namespace) -> None:
    """Train one model."""
    from pipeline_src.models.registry import network_class
    from pipeline_src.operations.estimate.work import slices_of_store, training_bytes
    from pipeline_src.running.gpus import one_gpu
    from pipeline_src.running.interruption import parent_process
    from pipeline_src.running.memory import explaining_shortage
    from pipeline_src.running.training_run import run_training
    from pipeline_src.training.builder import Inputs

    study = study_of(options)
    dataset_of(options, study)
    models = Models(study)
    plan = models.plan(options.model, options.seed)
    for network in plan.networks.values():
        network_class(network)  # imports its module: the study names it, not only a file of weights
    for path, model, name in (
        (options.teacher, models.teacher(options.model), WEIGHTS),
        (
            options.warm_start,
            models.warm_start(options.model),
            models.warm_start_file(options.model),
        ),
    ):
        if path and model:
            refuse_other_weights(path, model, str(name), options)
    refuse_place_of_other(options)
    inputs = Inputs(options.data, options.mask, options.teacher, options.warm_start)
    labels = {"name": options.model, **_setting(options)}
    shortage = explaining_shortage(
        f"training {options.model}",
        lambda: training_bytes(plan, slices_of_store(options.data)),
        "run fewer trainings at once, or lower training.batch_size or preparation.matrix",
    )
    with shortage, one_gpu() if plan.training.device != "cpu" else nullcontext():
        run_training(
            *(plan, inputs, options.output, labels, options.save_every, parent_process()),
            choices=choices(study, options.dataset),
        )


def refuse_place_of_other(options: argparse.Namespace) -> None:
    """Check that the output folder does not hold another training's result.

    Raises:
        InputError: it does.
    """
    from pipeline_src.provenance.manifest import Manifest, other_label

    place = options.output / MANIFEST
    if options.output.exists() and not options.output.is_dir():
        raise InputError(f"--output {options.output}: is a file; give a folder")
    try:
        made = Manifest.read(place) if place.exists() else Manifest()
    except InputError:
        return  # a damaged result is made again
    ours = {"name": options.model, "seed": options.seed, **_setting(options)}
    if other := other_label(made.get, ours):
        key, theirs, wanted = other
        raise InputError(
            f"--output {options.output}: holds a training of {key} {theirs}, not {wanted}; give "
            "another folder"
        )


def _setting(options: argparse.Namespace) -> dict[str, str]:
    return {"dataset": options.dataset, "acceleration": options.acceleration}


def refuse_other_weights(path: Path, model: str, name: str, options: argparse.Namespace) -> None:
    """Check that weights belong to the model, seed and setting that a training starts from, and are
    its file ``name``, trained with the code of now, as far as a manifest beside them says so.

    Raises:
        InputError: they do not.
    """
    from pipeline_src.planning.network_code import refuse_other_code
    from pipeline_src.provenance.manifest import Manifest, other_label

    place = path.parent / MANIFEST
    made = Manifest.read(place) if place.exists() else Manifest()
    wanted = {"name": model, "seed": options.seed, **_setting(options)}
    if path.name != name and {path.name, name} <= set(made.outputs):
        raise InputError(
            f"{path}: {options.model} needs {name} of that training; are --teacher and "
            "--warm-start swapped?"
        )
    if other := other_label(made.get, wanted):
        key, theirs, value = other
        raise InputError(
            f"{path}: is of {key} {theirs}, but {options.model} needs {key} {value}; give "
            "those, or weights without a manifest, as import-weights writes them"
        )
    refuse_other_code(path, made)
