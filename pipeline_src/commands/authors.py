"""The commands for the authors' results and checkpoints: `parity`, `import-weights` and
`export-weights`.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from pipeline_src.commands import Subcommands, add_command
from pipeline_src.errors import InputError


def add_parsers(subcommands: Subcommands) -> None:
    """Add the commands and their options."""
    sub = add_command(subcommands, parity, study=False)
    sub.add_argument("vectors", type=Path, metavar="VECTORS", help="file of vectors (.npz)")

    sub = add_command(subcommands, import_weights, study=False)
    sub.add_argument("checkpoint", type=Path, help="file written by torch.save")
    sub.add_argument("--padding", type=int, default=0, help="padding it was trained with")
    sub.add_argument("--output", type=Path, required=True, help="folder to write to")

    sub = add_command(subcommands, export_weights, study=False)
    sub.add_argument("--teacher", type=Path, help="weights of a teacher")
    sub.add_argument("--student", type=Path, help="weights of a student")
    sub.add_argument("--output", type=Path, required=True, help="checkpoint to write (.pt)")


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


def import_weights(options: argparse.Namespace) -> None:
    """Turn a checkpoint of the authors' code into safetensors, running nothing in it."""
    from pipeline_src.models.authors import import_checkpoint, imported_path

    networks = import_checkpoint(options.checkpoint, options.padding, options.output)
    for role, network in networks.items():
        print(
            f"{imported_path(options.output, role)}: {network.network.name}, "
            f"{len(network.state_dict())} tensors"
        )


def export_weights(options: argparse.Namespace) -> None:
    """Write weights under the authors' names."""
    from pipeline_src.models.authors import Role, export_checkpoint

    given: dict[Role, Path] = {"teacher": options.teacher, "student": options.student}
    weights = {role: path for role, path in given.items() if path}
    if not weights:
        raise InputError("export-weights: give --teacher, --student or both")
    print(f"{options.output}: {export_checkpoint(weights, options.output)} tensors")
