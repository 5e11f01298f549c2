"""The command `tables`: makes all tables from metrics."""

from __future__ import annotations

import argparse
from pathlib import Path

from pipeline_src.commands import Made, Subcommands, add_command, add_study, numbered, study_of
from pipeline_src.modules import PACKAGE
from pipeline_src.planning.steps import tables_step


def add_parsers(subcommands: Subcommands) -> None:
    """Add the command and its options."""
    sub = add_command(
        subcommands, "tables", tables, "Make the tables from metrics alone.", study=False
    )
    sub.add_argument("metrics", type=Path, nargs="+", metavar="METRICS", help="volumes.csv files")
    add_study(sub, required=False, each=True)
    sub.add_argument(
        "--paper",
        type=Path,
        default=PACKAGE.parent / "config" / "paper_results.csv",
        help="the paper's main table (default: the project's)",
    )
    sub.add_argument("--cost", type=Path, help="measurement of the cost command")
    sub.add_argument("--runtimes", type=Path, help="measurement of the runtimes command")
    sub.add_argument(
        "--robustness",
        type=Path,
        nargs="+",
        default=[],
        metavar="FILE",
        help="measurements of the robustness command",
    )
    sub.add_argument(
        "--output", type=Path, default=Path("tables"), help="folder (default: %(default)s)"
    )


def tables(options: argparse.Namespace) -> Made:
    """Make all tables from metrics."""
    from pipeline_src.reporting.tables.study_tables import write_study_tables

    study = study_of(options) if options.config else None
    written = write_study_tables(
        options.metrics,
        study,
        options.paper,
        options.output,
        options.cost,
        options.robustness,
        options.runtimes,
    )
    print(f"{len(written)} files in {options.output}")
    inputs = numbered("metrics", options.metrics) | {"paper": options.paper}
    inputs |= numbered("robustness", options.robustness)
    for role in ("cost", "runtimes"):
        if given := getattr(options, role):
            inputs[role] = given
    facts = {"study": study.study if study else None}
    return Made(inputs, written, tables_step(study, options.paper), facts)
