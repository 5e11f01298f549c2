"""The commands that measure trained models: `evaluate`, `robustness` and `calibrate`."""

from __future__ import annotations

import argparse
from pathlib import Path

from pipeline_src.commands import (
    Made,
    Subcommands,
    add_command,
    add_data,
    add_modules,
    add_setting,
    numbered,
)
from pipeline_src.errors import InputError
from pipeline_src.planning.places import WEIGHTS, manifest_of
from pipeline_src.planning.steps import calibrate_step, evaluate_step, robustness_step
from pipeline_src.text import printable


def add_parsers(subcommands: Subcommands) -> None:
    """Add the commands and their options."""
    sub = add_command(subcommands, evaluate, study=False)
    sub.add_argument(
        "models", type=Path, nargs="*", metavar="MODEL", help="folder with weights.safetensors"
    )
    sub.add_argument(
        "--zero-filled", type=Path, metavar="FOLDER", help="measure zero filling, into this folder"
    )
    add_data(sub)
    add_setting(sub)
    add_modules(sub)
    sub.add_argument("--part", choices=("test", "validation"), required=True, help="patients")
    sub.add_argument(
        "--output",
        type=Path,
        metavar="FOLDER",
        help="write to FOLDER/{model} instead of the models' folders: for other data than they "
        "were trained on",
    )
    sub.add_argument(
        "--processes",
        type=int,
        default=1,
        metavar="N",
        help="measure this many models at once, each in a process (default: 1)",
    )

    sub = add_command(subcommands, robustness, study=False)
    sub.add_argument(
        "models", type=Path, nargs="+", metavar="MODEL", help="folder with weights.safetensors"
    )
    sub.add_argument(
        "--shift",
        required=True,
        metavar="NAME",
        help="such as seed_1, equispaced, acceleration_6, noise_0.01, scale_0.5, data_cardiac",
    )
    add_data(sub)
    add_setting(sub)
    add_modules(sub)
    sub.add_argument("--part", choices=("test", "validation"), required=True, help="patients")
    sub.add_argument("--seed", type=int, default=0, help="of what is drawn (default: 0)")
    sub.add_argument(
        "--center-lines",
        type=int,
        metavar="N",
        help="lowest frequencies that drawn masks always sample (default: as the mask's)",
    )
    sub.add_argument("--output", type=Path, required=True, help="the CSV file")

    sub = add_command(subcommands, calibrate, study=False)
    sub.add_argument("model", type=Path, metavar="MODEL", help="folder of a training, or a bundle")
    sub.add_argument("--data", type=Path, required=True, help="volume store (volumes.h5)")
    sub.add_argument(
        "--trained-mask", type=Path, help="mask of the training (default: by its manifest)"
    )
    sub.add_argument(
        "--pixels",
        type=float,
        default=0.9,
        help="share of a patient's pixels to lie within the bound (default: %(default)s)",
    )
    sub.add_argument(
        "--patients",
        type=float,
        default=0.8,
        help="share of the patients of whom that is to be true (default: %(default)s)",
    )
    add_modules(sub)
    sub.add_argument("--output", type=Path, required=True, help="the JSON file")


def evaluate(options: argparse.Namespace) -> list[Made]:
    """Measure models on reported patients."""
    from tqdm import tqdm

    from pipeline_src.evaluation.evaluate import Evaluator
    from pipeline_src.evaluation.subject import Subject
    from pipeline_src.models.registry import import_modules
    from pipeline_src.running.processes import in_processes

    import_modules(options.modules)
    if options.processes < 1:
        raise InputError(f"--processes {options.processes}: give 1 or more")
    if options.processes > 1:
        # Threads do not survive a fork; each process uses as many as its model's training.
        import torch

        torch.set_num_threads(1)
    subjects = [Subject.of_folder(folder) for folder in options.models]
    if not (subjects or options.zero_filled):
        raise InputError("evaluate: give models' folders, or --zero-filled")
    for subject in subjects:
        # Before the store is read, which may take long.
        if subject.weights and not subject.weights.is_file():
            raise InputError(f"{subject.weights}: does not exist")
    labels = {"dataset": options.dataset, "acceleration": options.acceleration}
    evaluation = Evaluator(options.data, options.mask, options.part, labels)
    if options.zero_filled:
        if (options.zero_filled / WEIGHTS).exists():
            raise InputError(
                f"--zero-filled {options.zero_filled}: is the folder of a trained model; give one "
                "for the metrics of zero filling"
            )
        subjects.append(Subject(options.zero_filled, "zero_filled", evaluation.repeat))
    outputs = [s.folder if not options.output else options.output / s.folder.name for s in subjects]
    if len(set(outputs)) < len(outputs):
        raise InputError("evaluate: two folders have the same name; give them one at a time")
    for subject, output in zip(subjects, outputs, strict=True):
        if options.output is None:
            evaluation.refuse_foreign(subject)
        evaluation.refuse_place(output)

    def measured(pair: tuple[Subject, Path]) -> list[Path]:
        return evaluation.evaluate(*pair)

    made = []
    pairs = list(zip(subjects, outputs, strict=True))
    found = in_processes(measured, pairs, options.processes, "--processes")
    bar = tqdm(found, desc="evaluating", unit="model", disable=None, total=len(pairs))
    for subject, written in zip(subjects, bar, strict=True):
        inputs = {"store": options.data, "mask": options.mask}
        if subject.weights:
            inputs["weights"] = subject.weights
        made.append(
            Made(
                inputs,
                written,
                evaluate_step(options.part),
                {**labels, **subject.labels, "part": options.part},
            )
        )
    shown = ", ".join(map(str, outputs[:3])) + (", ..." if len(outputs) > 3 else "")
    print(printable(f"{len(made)} measured on {options.part} patients: {shown}"))
    return made


def robustness(options: argparse.Namespace) -> Made:
    """Measure trained models, and zero filling, under a shift: other masks, noise, intensities or
    images than those of their training.
    """
    from pipeline_src.config.shifts import Shift
    from pipeline_src.evaluation.robustness import ShiftedEvaluator
    from pipeline_src.evaluation.subject import Subject
    from pipeline_src.models.registry import import_modules
    from pipeline_src.provenance.manifest import refuse_manifest_of_other
    from pipeline_src.sampling.masks import read_mask
    from pipeline_src.tabular import write_rows

    import_modules(options.modules)
    shift = Shift.of_name(options.shift)
    if options.output.suffix != ".csv":
        raise InputError(f"--output {options.output}: give a name that ends with .csv")
    refuse_manifest_of_other(Path(manifest_of(str(options.output))), "robustness")
    for option in ("seed", "center_lines"):
        if (value := getattr(options, option)) is not None and not 0 <= value < 1 << 31:
            raise InputError(f"--{option.replace('_', '-')} {value}: give 0 or more")
    subjects = [Subject.of_folder(folder) for folder in options.models]
    for subject in subjects:
        if subject.weights and not subject.weights.is_file():
            raise InputError(f"{subject.weights}: does not exist")
    center = options.center_lines
    if center is None and shift.draws_mask:
        center = read_mask(options.mask).description.get("center_lines")
        if center is None:
            raise InputError(f"{options.mask}: does not tell its center_lines; give --center-lines")
    labels = {"dataset": options.dataset, "acceleration": options.acceleration}
    step = robustness_step(options.part, shift, options.seed, center)
    evaluation = ShiftedEvaluator(
        options.data, options.mask, options.part, labels, shift, options.seed, center or 0
    )
    for subject in subjects:
        evaluation.refuse_other_training(subject)
    zero_filled = Subject(options.output.parent, "zero_filled", evaluation.repeat)
    write_rows(options.output, evaluation.volumes([*subjects, zero_filled]))
    weights = [subject.weights for subject in subjects if subject.weights]
    inputs = {"store": options.data, "mask": options.mask, **numbered("weights", weights)}
    return Made(inputs, [options.output], step, {**labels, "shift": shift.name})


def calibrate(options: argparse.Namespace) -> Made:
    """Calibrate a bound of the error of each reconstructed pixel on validation patients, and try it
    on test patients.
    """
    from pipeline_src.data.store import read_store
    from pipeline_src.files import write_json
    from pipeline_src.inference.calibration import calibrate
    from pipeline_src.inference.trained import load_trained, refuse_other_store
    from pipeline_src.models.registry import import_modules

    import_modules(options.modules)
    for name in ("pixels", "patients"):
        if not 0 < getattr(options, name) < 1:
            raise InputError(f"--{name} {getattr(options, name)}: must be between 0 and 1")
    if options.output.suffix != ".json":
        raise InputError(f"--output {options.output}: give a name that ends with .json")
    trained = load_trained(options.model, options.trained_mask)
    store = read_store(options.data, parts=["train", "validation", "test"])
    refuse_other_store(trained, store, options.data)
    bound = calibrate(trained, store, options.data, options.pixels, options.patients)
    store.require_unchanged()
    write_json(options.output, bound.model_dump(mode="json"))
    print(
        f"{options.output}: promises {bound.pixels:.0%} of the pixels of {bound.patients:.0%} of "
        f"patients; kept for {bound.kept} of {len(bound.tried_on)} test patients"
    )
    inputs = {"store": options.data, "weights": trained.weights}
    if options.trained_mask:
        inputs["mask"] = options.trained_mask
    facts = {"model": bound.model, "seed": bound.seed}
    facts |= {"dataset": bound.dataset, "acceleration": bound.acceleration}
    step = calibrate_step(options.pixels, options.patients)
    return Made(inputs, [options.output], step, facts)
