"""The command `schema`: writes the JSON schema and the key reference."""

from __future__ import annotations

import argparse
from pathlib import Path

from pipeline_src.commands import Subcommands, add_command


def add_parser(subcommands: Subcommands) -> None:
    """Add the command and its options."""
    sub = add_command(subcommands, schema, study=False)
    sub.add_argument("folder", type=Path, help="root of the project")


def schema(options: argparse.Namespace) -> None:
    """Write JSON schema and key reference."""
    from pipeline_src.config.reference import write_reference

    write_reference(options.folder)
