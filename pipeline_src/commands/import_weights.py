"""The command `import-weights`: takes weights of the authors' code."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import get_args

from pipeline_src.commands import Subcommands, add_command


def add_parser(subcommands: Subcommands) -> None:
    """Add the command and its options."""
    sub = add_command(subcommands, import_weights, study=False)
    sub.add_argument("checkpoint", type=Path, help="file written by torch.save")
    sub.add_argument("--padding", type=int, default=0, help="padding it was trained with")
    sub.add_argument("--output", type=Path, required=True, help="folder to write to")


def import_weights(options: argparse.Namespace) -> None:
    """Turn a checkpoint of the authors' code into safetensors, running nothing in it."""
    from pipeline_src.models.authors import Role, import_checkpoint, imported_path

    there = [role for role in get_args(Role) if imported_path(options.output, role).exists()]
    networks = import_checkpoint(options.checkpoint, options.padding, options.output)
    for role, network in networks.items():
        print(
            f"{imported_path(options.output, role)}: {network.network.name}, "
            f"{len(network.state_dict())} tensors"
            f"{', in place of those that were there' if role in there else ''}"
        )
