"""The command `archive`: keeps a study's records beside the documents."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from pipeline_src.commands import Subcommands, add_command


def add_parser(subcommands: Subcommands) -> None:
    """Add the command and its options."""
    sub = add_command(subcommands, archive, study=False)
    sub.add_argument("results", type=Path, help="results folder, such as results/demo")
    sub.add_argument("--output", type=Path, help="folder (default: docs/studies/{study})")


def archive(options: argparse.Namespace) -> None:
    """Save a study's records with documents."""
    from pipeline_src.provenance.archive import not_drawn, write_archive

    folder = options.output or Path("docs/studies") / options.results.resolve().name
    for path in write_archive(options.results, folder):
        print(f"{path}: {path.stat().st_size / 1024:.0f} KiB")
    if lacking := not_drawn(options.results):
        print(f"warning: not drawn, and so not kept: {', '.join(lacking)}", file=sys.stderr)
