"""The command `histories`: writes learning curves for TensorBoard."""

from __future__ import annotations

import argparse
from pathlib import Path

from pipeline_src.commands import Subcommands, add_command


def add_parsers(subcommands: Subcommands) -> None:
    """Add the command and its options."""
    sub = add_command(
        subcommands,
        "histories",
        histories,
        "Write the learning curves of finished trainings for TensorBoard.",
        study=False,
    )
    sub.add_argument("results", type=Path, help="results folder, such as results/demo")
    sub.add_argument(
        "--output",
        type=Path,
        default=Path("runs"),
        help="new folder (default: %(default)s); then: tensorboard --logdir FOLDER",
    )


def histories(options: argparse.Namespace) -> None:
    """Write the learning curves of finished trainings for TensorBoard."""
    from pipeline_src.operations.histories import export_histories

    count = export_histories(options.results, options.output)
    print(f"{count} trainings; see them with: tensorboard --logdir {options.output}")
