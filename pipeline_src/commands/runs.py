"""The commands that look after runs: `launch`, `status` and `histories`."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from pipeline_src.commands import Subcommands, add_command
from pipeline_src.errors import InputError


def add_parsers(subcommands: Subcommands) -> None:
    """Add the commands and their options."""
    sub = add_command(subcommands, launch, study=False)
    sub.add_argument(
        "--orphans",
        choices=("cancel", "wait"),
        default="cancel",
        help="jobs that an earlier Snakemake left: cancel (trainings will be resumed) or "
        "wait for them (default: %(default)s)",
    )
    sub.add_argument(
        "--unlock", action="store_true", help="continue: a Snakemake started elsewhere has ended"
    )
    for name, default, text in (
        ("silence", 15, "without progress before the waiting jobs are named"),
        ("grace", 10, "for Snakemake to notice that a job has ended"),
        ("poll", 0.5, "between two checks of the queue"),
    ):
        text += f" (default: {default})"
        sub.add_argument(f"--{name}", type=float, default=default, metavar="MINUTES", help=text)
    sub.add_argument(
        "arguments", nargs="+", metavar="-- ARGUMENTS", help="Snakemake's, after two dashes"
    )

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

    sub = add_command(subcommands, histories, study=False)
    sub.add_argument("results", type=Path, help="results folder, such as results/demo")
    sub.add_argument(
        "--output",
        type=Path,
        default=Path("runs"),
        help="new folder (default: %(default)s); then: tensorboard --logdir FOLDER",
    )


def launch(options: argparse.Namespace) -> int:
    """Run Snakemake on a cluster and watch its jobs."""
    from pipeline_src.operations.cluster.launcher import Launcher
    from pipeline_src.operations.cluster.supervision import Patience

    for name in ("poll", "silence", "grace"):
        if getattr(options, name) <= 0:
            raise InputError(f"launch: --{name} must be more than 0")
    patience = Patience(60 * options.poll, 60 * options.silence, 60 * options.grace)
    launcher = Launcher(Path.cwd(), options.arguments, options.orphans, options.unlock, patience)
    return launcher.run()


def status(options: argparse.Namespace) -> None:
    """Show what every training is doing."""
    from pipeline_src.operations.status.showing import show

    show(options.config or options.results, options.once, sys.stdout)


def histories(options: argparse.Namespace) -> None:
    """Write the learning curves of finished trainings for TensorBoard."""
    from pipeline_src.operations.histories import export_histories

    count = export_histories(options.results, options.output)
    print(f"{count} trainings; see them with: tensorboard --logdir {options.output}")
