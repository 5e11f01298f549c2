"""The command `cost`: measures what the networks cost."""

from __future__ import annotations

import argparse
from pathlib import Path

from pipeline_src.commands import Made, Subcommands, add_command, add_data, add_modules
from pipeline_src.planning.steps import cost_step


def add_parser(subcommands: Subcommands) -> None:
    """Add the command and its options."""
    sub = add_command(subcommands, cost, study=False)
    sub.add_argument("--teacher", type=Path, required=True, help="its weights")
    sub.add_argument("--student", type=Path, required=True, help="its weights")
    add_data(sub)
    add_modules(sub)
    sub.add_argument("--threads", type=int, help="CPU threads besides one (default: all cores)")
    sub.add_argument("--repeats", type=int, default=30, help="measurements of each")
    sub.add_argument("--output", type=Path, required=True, help="table to write (.csv)")


def cost(options: argparse.Namespace) -> Made:
    """Measure what teacher and student cost."""
    from pipeline_src.evaluation.cost import write_cost
    from pipeline_src.models.registry import import_modules
    from pipeline_src.planning.network_code import refuse_other_code

    import_modules(options.modules)
    weights = {"teacher": options.teacher, "student": options.student}
    for path in weights.values():
        refuse_other_code(path)
    write_cost(
        weights,
        options.data,
        options.mask,
        options.output,
        threads=options.threads,
        repeats=options.repeats,
    )
    inputs = {**weights, "store": options.data, "mask": options.mask}
    return Made(inputs, [options.output], cost_step(), {})
