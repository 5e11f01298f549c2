"""The commands that pack a finished study: `crate`, `archive` and `restore`."""

from __future__ import annotations

import argparse
from pathlib import Path

from pipeline_src.commands import Made, Subcommands, add_command
from pipeline_src.planning.places import REPORT
from pipeline_src.planning.steps import crate_step
from pipeline_src.text import printable


def add_parsers(subcommands: Subcommands) -> None:
    """Add the commands and their options."""
    sub = add_command(
        subcommands, "crate", crate, "Pack a finished study as an RO-Crate.", study=False
    )
    sub.add_argument("results", type=Path, help="results folder, such as results/demo")
    sub.add_argument("--output", type=Path, help="zip to write (default: in the results folder)")
    sub.add_argument(
        "--license",
        default="https://spdx.org/licenses/MIT",
        help="address of the licence of the results (default: %(default)s)",
    )

    sub = add_command(
        subcommands, "archive", archive, "Save a study's records with documents.", study=False
    )
    sub.add_argument("results", type=Path, help="results folder, such as results/demo")
    sub.add_argument("--output", type=Path, help="folder (default: docs/studies/{study})")

    sub = add_command(
        subcommands, "restore", restore, "Make tables and figures from records.", study=False
    )
    sub.add_argument("folder", type=Path, help="folder of the records, such as docs/studies/demo")
    sub.add_argument("--output", type=Path, help="results folder (default: results/{name})")
    sub.add_argument(
        "--import",
        dest="run_modules",
        action="store_true",
        help="also of a study that names modules outside this project (their code runs)",
    )


def crate(options: argparse.Namespace) -> Made:
    """Pack a study as an RO-Crate."""
    from pipeline_src.provenance.crate import write_crate

    output = options.output or options.results / f"{options.results.name}.crate.zip"
    write_crate(options.results, output, options.license)
    print(output)
    return Made({}, [output], crate_step(), {})


def archive(options: argparse.Namespace) -> None:
    """Write a study's records and tables to a folder among the documents."""
    from pipeline_src.provenance.archive import write_archive

    folder = options.output or Path("docs/studies") / options.results.resolve().name
    for path in write_archive(options.results, folder):
        print(f"{path}: {path.stat().st_size / 1024:.0f} KiB")


def restore(options: argparse.Namespace) -> int:
    """Make tables, figures and report from a study's records; exit status 1 if a table differs from
    the one in the archive.
    """
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
    return int(bool(changed))
