"""The command `restore`: makes tables and figures of a study's records."""

from __future__ import annotations

import argparse
from pathlib import Path

from pipeline_src.commands import Subcommands, add_command
from pipeline_src.planning.places import REPORT
from pipeline_src.text import printable


def add_parser(subcommands: Subcommands) -> None:
    """Add the command and its options."""
    sub = add_command(subcommands, restore, study=False)
    sub.add_argument("folder", type=Path, help="folder of the records, such as docs/studies/demo")
    sub.add_argument("--output", type=Path, help="results folder (default: results/{name})")
    sub.add_argument(
        "--import",
        dest="run_modules",
        action="store_true",
        help="also of a study that names modules outside this project (their code runs)",
    )


def restore(options: argparse.Namespace) -> int:
    """Make tables and figures from records."""
    from pipeline_src.cli import main
    from pipeline_src.provenance.restoring import changed_tables, remake, unpack

    results = options.output or Path("results") / options.folder.resolve().name
    study = unpack(options.folder, results, run_modules=options.run_modules)
    remake(study, results, main)
    changed = changed_tables(options.folder, results)
    if changed:
        print(
            printable(
                f"{options.folder}/tables: this code makes other tables from the records "
                f"({', '.join(changed)}); to keep those:"
            )
            + f"\npython -m pipeline_src archive {results} --output {options.folder}"
        )
    else:
        print(f"{results}/{REPORT}: made again; all tables equal those in {options.folder}/tables")
    return int(bool(changed))  # the exit status: 1 if a table differs from the archive's
