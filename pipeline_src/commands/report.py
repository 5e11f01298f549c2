"""The command `report`: writes the report."""

from __future__ import annotations

import argparse
from pathlib import Path

from pipeline_src.commands import Made, Subcommands, add_command, numbered, study_of
from pipeline_src.planning.steps import report_step


def add_parser(subcommands: Subcommands) -> None:
    """Add the command and its options."""
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
