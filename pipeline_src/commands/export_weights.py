"""The command `export-weights`: gives weights to the authors' code."""

from __future__ import annotations

import argparse
from pathlib import Path

from pipeline_src.commands import Subcommands, add_command
from pipeline_src.errors import InputError


def add_parser(subcommands: Subcommands) -> None:
    """Add the command and its options."""
    sub = add_command(subcommands, export_weights, study=False)
    sub.add_argument("--teacher", type=Path, help="weights of a teacher")
    sub.add_argument("--student", type=Path, help="weights of a student")
    sub.add_argument("--output", type=Path, required=True, help="checkpoint to write (.pt)")


def export_weights(options: argparse.Namespace) -> None:
    """Write weights under the authors' names."""
    from pipeline_src.models.authors import Role, export_checkpoint

    given: dict[Role, Path] = {"teacher": options.teacher, "student": options.student}
    weights = {role: path for role, path in given.items() if path}
    if not weights:
        raise InputError("export-weights: give --teacher, --student or both")
    print(f"{options.output}: {export_checkpoint(weights, options.output)} tensors")
