"""The command `prepare`: reads a data set's volumes into one store of slices."""

from __future__ import annotations

import argparse
from pathlib import Path

from pipeline_src.commands import (
    Made,
    Subcommands,
    add_command,
    add_repeat,
    dataset_of,
    numbered,
    study_of_repeat,
)
from pipeline_src.planning.steps import prepare_step
from pipeline_src.text import printable


def add_parser(subcommands: Subcommands) -> None:
    """Add the command and its options."""
    sub = add_command(subcommands, prepare)
    add_repeat(sub, "split")
    sub.add_argument("--dataset", required=True, help="name in the configuration")
    sub.add_argument("--output", type=Path, required=True, help="store to write (.h5)")


def prepare(options: argparse.Namespace) -> Made:
    """Read a data set's volumes into one store of slices."""
    from tqdm import tqdm

    from pipeline_src.data.preparation import prepare
    from pipeline_src.data.sources import check_source
    from pipeline_src.data.spool import SpooledSlices
    from pipeline_src.data.store import write_store

    study = study_of_repeat(options, "store")
    name = dataset_of(options, study)
    dataset = study.datasets[name]
    prepared = prepare(
        dataset,
        Path(study.data_root),
        progress=lambda v: tqdm(v, desc=f"preparing {name}", unit="volume", disable=None),
        images=SpooledSlices(options.output),
    )
    # NIfTI stores (x, y); images are shown as (row, column).
    turns = int(getattr(check_source(dataset.source), "DISPLAY_QUARTER_TURNS", 0))
    description = {
        "dataset": name,
        "synthetic": dataset.synthetic,
        "display_quarter_turns": turns,
        "source": dataset.source.model_dump(mode="json"),
        "preparation": dataset.preparation.model_dump(mode="json"),
        "split": dataset.split.model_dump(mode="json"),
        "repeated": prepared.repeated,
        **({} if options.seed is None else {"repeat": options.seed}),
    }
    write_store(options.output, prepared, description)
    print(
        f"{name}: {len(prepared.images)} slices of {len(prepared.volumes)} volumes, "
        f"{len(prepared.dropped)} left out (see `dropped` in "
        f"{printable(str(options.output))})"
    )
    for sentence in prepared.repeated:
        print(printable(f"warning: {sentence}"))
    step = prepare_step(study, name)
    return Made(numbered("volumes", step.given or []), [options.output], step, description)
