"""The command `provenance`: prints where a result comes from."""

from __future__ import annotations

import argparse
from pathlib import Path

from pipeline_src.commands import Subcommands, add_command
from pipeline_src.errors import InputError


def add_parser(subcommands: Subcommands) -> None:
    """Add the command and its options."""
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
