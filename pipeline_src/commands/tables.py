"""The command `tables`: makes all tables from metrics."""

from __future__ import annotations

import argparse
from pathlib import Path

from pipeline_src.commands import Made, Subcommands, add_command, add_study, numbered, study_of
from pipeline_src.modules import PACKAGE
from pipeline_src.planning.places import MEASURED
from pipeline_src.planning.steps import tables_step


def add_parser(subcommands: Subcommands) -> None:
    """Add the command and its options."""
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
