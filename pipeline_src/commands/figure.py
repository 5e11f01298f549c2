"""The command `figure`: draws one figure."""

from __future__ import annotations

import argparse
from pathlib import Path

from pipeline_src.commands import Made, Subcommands, add_command, numbered
from pipeline_src.config import load_study
from pipeline_src.errors import InputError
from pipeline_src.planning.places import manifest_of
from pipeline_src.planning.steps import figure_step
from pipeline_src.planning.study_models import Models
from pipeline_src.reporting.figures.kinds import KINDS


def add_parser(subcommands: Subcommands) -> None:
    """Add the command and its options."""
    sub = add_command(subcommands, figure, study=False)
    sub.add_argument("kind", choices=KINDS, help="what to draw")
    sub.add_argument(
        "inputs",
        type=Path,
        nargs="+",
        help="files it shows; learning curves: manifests of trainings",
    )
    sub.add_argument("--title", default="", help="heading")
    sub.add_argument("--dataset", help="show this data set of a file that has several")
    sub.add_argument("--acceleration", help="at this acceleration, such as 4x")
    sub.add_argument("--output", type=Path, required=True, help="the PNG; the PDF lies beside it")


def figure(options: argparse.Namespace) -> Made:
    """Draw one figure as PNG and PDF."""
    from pipeline_src.provenance.manifest import refuse_manifest_of_other
    from pipeline_src.reporting.figures import draw_figure

    if options.output.suffix != ".png":
        raise InputError(f"--output {options.output}: give a name that ends with .png")
    refuse_manifest_of_other(Path(manifest_of(str(options.output))), "figure")
    if options.acceleration and not options.dataset:
        raise InputError("--acceleration: names a setting only together with --dataset")
    setting = (options.dataset, options.acceleration) if options.dataset else None
    draw_figure(options.kind, options.inputs, options.title, options.output, setting)
    outputs = [options.output, options.output.with_suffix(".pdf")]
    facts = {"figure": options.kind, "title": options.title}
    inputs, models = numbered("shown", options.inputs), None
    if KINDS[options.kind].shows_plan:
        # The file contains more than is shown; what is shown is among the settings.
        inputs, models = {}, Models(load_study(options.inputs[0]))
    step = figure_step(options.kind, options.title, len(options.inputs), setting, models)
    return Made(inputs, outputs, step, facts)
