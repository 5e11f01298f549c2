"""The command `runtimes`: measures trained networks in other runtimes than torch."""

from __future__ import annotations

import argparse
import os
from pathlib import Path

from pipeline_src.commands import Made, Subcommands, add_command, add_modules, numbered
from pipeline_src.config.runtimes import RUNTIME_PACKAGES
from pipeline_src.planning.steps import runtimes_step


def add_parser(subcommands: Subcommands) -> None:
    """Add the command and its options."""
    sub = add_command(subcommands, runtimes, study=False)
    sub.add_argument(
        "models", type=Path, nargs="+", metavar="MODEL", help="folder of a training, or a bundle"
    )
    sub.add_argument("--data", type=Path, required=True, help="volume store (.h5)")
    sub.add_argument(
        "--trained-mask", type=Path, help="mask of the trainings (default: by their manifests)"
    )
    sub.add_argument("--part", default="test", help="patients for quality (default: %(default)s)")
    sub.add_argument(
        "--runtimes",
        nargs="+",
        choices=RUNTIME_PACKAGES,
        required=True,
        help="runtimes besides torch",
    )
    add_modules(sub)
    sub.add_argument("--threads", type=int, help="CPU threads besides one (default: all cores)")
    sub.add_argument("--repeats", type=int, default=30, help="measurements of each")
    sub.add_argument("--output", type=Path, required=True, help="table to write (.csv)")


def runtimes(options: argparse.Namespace) -> Made:
    """Measure speed, size and quality of trained networks in other runtimes than torch."""
    from pipeline_src.inference.runtime_cost import write_runtime_cost
    from pipeline_src.models.registry import import_modules

    import_modules(options.modules)
    threads = options.threads if options.threads is not None else os.cpu_count() or 1
    weights = write_runtime_cost(
        options.models,
        options.data,
        options.trained_mask,
        options.part,
        options.runtimes,
        options.output,
        threads=threads,
        repeats=options.repeats,
    )
    print(f"{options.output}: {len(weights)} networks in {1 + len(options.runtimes)} runtimes")
    inputs = {"store": options.data, **numbered("weights", weights)}
    if options.trained_mask:
        inputs["mask"] = options.trained_mask
    return Made(inputs, [options.output], runtimes_step(options.part, options.runtimes), {})
