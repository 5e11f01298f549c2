"""The command `robustness`: measures trained models beyond what they were trained for."""

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
    numbered,
)
from pipeline_src.errors import InputError
from pipeline_src.planning.places import manifest_of
from pipeline_src.planning.steps import robustness_step
from pipeline_src.text import printable


def add_parser(subcommands: Subcommands) -> None:
    """Add the command and its options."""
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
        if untold := evaluation.refuse_known(subject):
            print(printable(f"warning: {subject.folder}: {untold}"), file=sys.stderr)
    zero_filled = Subject(options.output.parent, "zero_filled", evaluation.repeat)
    write_rows(options.output, evaluation.volumes([*subjects, zero_filled]))
    weights = [subject.weights for subject in subjects if subject.weights]
    inputs = {"store": options.data, "mask": options.mask, **numbered("weights", weights)}
    return Made(inputs, [options.output], step, {**labels, "shift": shift.name})
