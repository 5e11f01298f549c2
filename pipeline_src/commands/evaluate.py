"""The command `evaluate`: measures models on the reported patients."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from pipeline_src.commands import (
    Made,
    Subcommands,
    add_command,
    add_data,
    add_modules,
    add_setting,
)
from pipeline_src.errors import InputError
from pipeline_src.planning.places import WEIGHTS
from pipeline_src.planning.steps import evaluate_step
from pipeline_src.text import printable


def add_parser(subcommands: Subcommands) -> None:
    """Add the command and its options."""
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
        elif untold := evaluation.refuse_known(subject):
            print(printable(f"warning: {subject.folder}: {untold}"), file=sys.stderr)
        evaluation.refuse_place(output)

    def measured(pair: tuple[Subject, Path]) -> list[Path]:
        return evaluation.evaluate(*pair)

    made = []
    pairs = list(zip(subjects, outputs, strict=True))
    found = in_processes(measured, pairs, options.processes)
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
