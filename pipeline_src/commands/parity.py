"""The command `parity`: recomputes the authors' results."""

from __future__ import annotations

import argparse
from pathlib import Path

from pipeline_src.commands import Subcommands, add_command
from pipeline_src.errors import InputError


def add_parser(subcommands: Subcommands) -> None:
    """Add the command and its options."""
    sub = add_command(subcommands, parity, study=False)
    sub.add_argument("vectors", type=Path, metavar="VECTORS", help="file of vectors (.npz)")


def parity(options: argparse.Namespace) -> None:
    """Recompute a file of the authors' results."""
    from pipeline_src.evaluation.parity import compare_all

    compared = compare_all(options.vectors)
    width = max(len(c.quantity) for c in compared)
    print(f"{'quantity':{width}}  {'expected':>14}  {'got':>14}  {'error':>9}")
    for c in compared:
        print(
            f"{c.quantity:{width}}  {c.expected:14.7e}  {c.got:14.7e}  {c.error:9.1e}"
            f"{' (absolute)' if c.kind == 'image' else ''}{'' if c.agrees else '  DIFFERS'}"
        )
    apart = [c.quantity for c in compared if not c.agrees]
    print(f"{len(compared) - len(apart)} of {len(compared)} quantities agree")
    if apart:
        raise InputError(f"{options.vectors}: {len(apart)} quantities differ: {', '.join(apart)}")
