"""The command `launch`: runs Snakemake on a cluster and watches its jobs."""

from __future__ import annotations

import argparse
from pathlib import Path

from pipeline_src.commands import Subcommands, add_command
from pipeline_src.errors import InputError


def add_parser(subcommands: Subcommands) -> None:
    """Add the command and its options."""
    sub = add_command(subcommands, launch, study=False)
    sub.set_defaults(hint="; Snakemake's arguments follow two dashes: launch -- ARGUMENTS")
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
