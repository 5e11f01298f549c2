"""The commands that pack finished studies, `crate`, `archive` and `restore`, and the one that
traces a result, `provenance`.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from pipeline_src.commands import Made, Subcommands, add_command
from pipeline_src.errors import InputError
from pipeline_src.planning.places import REPORT
from pipeline_src.planning.steps import crate_step
from pipeline_src.text import printable


def add_parsers(subcommands: Subcommands) -> None:
    """Add the commands and their options."""
    sub = add_command(subcommands, crate, study=False)
    sub.add_argument("results", type=Path, help="results folder, such as results/demo")
    sub.add_argument("--output", type=Path, help="zip to write (default: in the results folder)")
    sub.add_argument(
        "--license",
        default="https://spdx.org/licenses/MIT",
        help="address of the licence of the results (default: %(default)s)",
    )

    sub = add_command(subcommands, archive, study=False)
    sub.add_argument("results", type=Path, help="results folder, such as results/demo")
    sub.add_argument("--output", type=Path, help="folder (default: docs/studies/{study})")

    sub = add_command(subcommands, restore, study=False)
    sub.add_argument("folder", type=Path, help="folder of the records, such as docs/studies/demo")
    sub.add_argument("--output", type=Path, help="results folder (default: results/{name})")
    sub.add_argument(
        "--import",
        dest="run_modules",
        action="store_true",
        help="also of a study that names modules outside this project (their code runs)",
    )

    sub = add_command(subcommands, provenance, study=False)
    sub.add_argument("file", type=Path, metavar="FILE", help="table, figure, metrics, weights ...")
    sub.add_argument(
        "--where",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="follow only inputs made with this value, such as model=at or seed=0",
    )
    sub.add_argument(
        "--data",
        type=Path,
        action="append",
        default=[],
        metavar="FOLDER",
        help="where the given input files are now, if they or the results have moved",
    )


def crate(options: argparse.Namespace) -> Made:
    """Pack a finished study as an RO-Crate."""
    from pipeline_src.provenance.crate import write_crate

    output = options.output or options.results / f"{options.results.name}.crate.zip"
    write_crate(options.results, output, options.license)
    print(output)
    return Made({}, [output], crate_step(), {})


def archive(options: argparse.Namespace) -> None:
    """Save a study's records with documents."""
    from pipeline_src.provenance.archive import write_archive

    folder = options.output or Path("docs/studies") / options.results.resolve().name
    for path in write_archive(options.results, folder):
        print(f"{path}: {path.stat().st_size / 1024:.0f} KiB")


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


def provenance(options: argparse.Namespace) -> None:
    """Print where a result comes from, back to the files."""
    from pipeline_src.provenance.lineage import describe, trace

    where = {}
    for pair in options.where:
        key, equals, value = pair.partition("=")
        if not equals:
            raise InputError(f"--where {pair}: must be KEY=VALUE, such as model=at")
        where[key] = value
    changed, lost = [], False
    for step in trace(options.file, where, options.data):
        print(describe(step))
        place = str(step.path.resolve())
        if step.problem and place not in changed:
            changed.append(place)
            lost = lost or (step.manifest is None and not step.path.exists())
    if changed:
        way = "; --data FOLDER says where input files are now" if lost else ""
        raise InputError(
            f"{options.file}: cannot be traced as it stands; see {', '.join(changed)}{way}"
        )
