"""The command `status`: shows what every training is doing."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from pipeline_src.commands import Subcommands, add_command


def add_parser(subcommands: Subcommands) -> None:
    """Add the command and its options."""
    sub = add_command(subcommands, status, study=False)
    where = sub.add_mutually_exclusive_group(required=True)
    where.add_argument("results", type=Path, nargs="?", help="results folder, such as results/demo")
    where.add_argument(
        *("--config", "--configfile"),
        type=Path,
        nargs="+",
        action="extend",
        metavar="FILE",
        help="configuration; its results: results/{study}",
    )
    sub.add_argument("--once", action="store_true", help="a plain table, as when piped")


def status(options: argparse.Namespace) -> None:
    """Show what every training is doing."""
    from pipeline_src.operations.status.showing import show

    show(options.config or options.results, options.once, sys.stdout)
