"""The commands that show results: `tables`, `figure` and `report`."""

from __future__ import annotations

import argparse
from pathlib import Path

from pipeline_src.commands import Made, Subcommands, add_command, add_study, numbered, study_of
from pipeline_src.config import load_study
from pipeline_src.errors import InputError
from pipeline_src.modules import PACKAGE
from pipeline_src.planning.places import MEASURED, manifest_of
from pipeline_src.planning.steps import figure_step, report_step, tables_step
from pipeline_src.planning.study_models import Models
from pipeline_src.reporting.figures.kinds import KINDS


def add_parsers(subcommands: Subcommands) -> None:
    """Add the commands and their options."""
    sub = add_command(subcommands, tables, study=False)
    sub.add_argument("metrics", type=Path, nargs="+", metavar="METRICS", help="volumes.csv files")
    add_study(sub, required=False, each=True)
    sub.add_argument(
        "--paper",
        type=Path,
        default=PACKAGE.parent / "config" / "paper_results.csv",
        help="the paper's main table (default: the project's)",
    )
    for name in MEASURED:
        sub.add_argument(
            f"--{name.replace('_', '-')}",
            type=Path,
            nargs="+",
            default=[],
            metavar="FILE",
            help=f"measurements for the table {name}",
        )
    sub.add_argument(
        "--output", type=Path, default=Path("tables"), help="folder (default: %(default)s)"
    )

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

    sub = add_command(subcommands, report)
    sub.add_argument(
        "--tables", type=Path, nargs="+", required=True, help="HTML tables, the main one first"
    )
    sub.add_argument("--figures", type=Path, nargs="+", required=True, help="PNG files")
    sub.add_argument(
        "--results",
        type=Path,
        help="folder of the study, such as results/demo, whose manifests show reviewers how it was "
        "made (default: the page says that this is not recorded)",
    )
    sub.add_argument("--output", type=Path, required=True, help="the page")


def tables(options: argparse.Namespace) -> Made:
    """Make the tables from metrics alone."""
    from pipeline_src.reporting.tables.study_tables import write_study_tables

    study = study_of(options) if options.config else None
    measurements = {name: files for name in MEASURED if (files := getattr(options, name))}
    written = write_study_tables(
        options.metrics, study, options.paper, options.output, measurements
    )
    print(f"{len(written)} files in {options.output}")
    inputs = numbered("metrics", options.metrics) | {"paper": options.paper}
    for name, files in measurements.items():
        inputs |= numbered(name, files)
    facts = {"study": study.study if study else None}
    return Made(inputs, written, tables_step(study, options.paper), facts)


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


def report(options: argparse.Namespace) -> Made:
    """Write the report: one HTML page that opens offline."""
    from pipeline_src.reporting.report import write_report
    from pipeline_src.reporting.reviewers.deviations import PAPER_CONFIG

    study = study_of(options)
    texts = {path: path.read_text(encoding="utf-8") for path in options.config}
    [text, *more] = texts.values()
    if more:
        text = "\n".join(f"# {path}\n{text}" for path, text in texts.items())
    records = write_report(
        study, options.tables, options.figures, text, options.output, options.results
    )
    inputs = numbered("tables", options.tables) | numbered("figures", options.figures)
    inputs |= numbered("records", records) | {"paper": PAPER_CONFIG}
    step = report_step(study, PAPER_CONFIG)
    return Made(inputs, [options.output], step, {"study": study.study})
