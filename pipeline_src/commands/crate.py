"""The command `crate`: packs a study as an RO-Crate."""

from __future__ import annotations

import argparse
from pathlib import Path

from pipeline_src.commands import Made, Subcommands, add_command
from pipeline_src.planning.steps import crate_step


def add_parser(subcommands: Subcommands) -> None:
    """Add the command and its options."""
    sub = add_command(subcommands, crate, study=False)
    sub.add_argument("results", type=Path, help="results folder, such as results/demo")
    sub.add_argument("--output", type=Path, help="zip to write (default: in the results folder)")
    sub.add_argument(
        "--license",
        default="https://spdx.org/licenses/MIT",
        help="address of the licence of the results (default: %(default)s)",
    )


def crate(options: argparse.Namespace) -> Made:
    """Pack a finished study as an RO-Crate."""
    from pipeline_src.provenance.crate import write_crate

    output = options.output or options.results / f"{options.results.name}.crate.zip"
    write_crate(options.results, output, options.license)
    print(output)
    return Made({}, [output], crate_step(), {})
