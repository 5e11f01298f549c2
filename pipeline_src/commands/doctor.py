"""The command `doctor`: checks whether this machine has what a study needs."""

from __future__ import annotations

import argparse
from pathlib import Path

from pipeline_src.commands import Subcommands, add_command, add_study
from pipeline_src.config import load_study
from pipeline_src.modules import PACKAGE


def add_parser(subcommands: Subcommands) -> None:
    """Add the command and its options."""
    sub = add_command(subcommands, doctor, study=False)
    add_study(sub, required=False)
    sub.add_argument("--profile", type=Path, help="Snakemake's profile for the cluster")


def doctor(options: argparse.Namespace) -> int:
    """Check that studies can run here."""
    from pipeline_src.operations.doctor.machine import examine

    paths = options.config or [PACKAGE.parent / "config" / "config.yaml"]
    errors = 0
    for finding in examine(load_study(paths, options.set), options.profile):
        errors += finding.verdict == "error"
        advice = f"\n         -> {finding.advice}" if finding.advice else ""
        print(f"{finding.verdict:7}  {finding.what}{advice}")
    print(f"{errors} error{'s' if errors > 1 else ''}" if errors else "ready")
    return int(errors > 0)  # the exit status: 1 if something will not run
