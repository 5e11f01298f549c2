"""The commands that make what models are trained on: `prepare` and `mask`."""

from __future__ import annotations

import argparse
from dataclasses import replace
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
from pipeline_src.config.setting import acceleration_factor
from pipeline_src.planning.steps import mask_step, prepare_step
from pipeline_src.text import printable


def add_parsers(subcommands: Subcommands) -> None:
    """Add the commands and their options."""
    sub = add_command(subcommands, prepare)
    add_repeat(sub, "split")
    sub.add_argument("--dataset", required=True, help="name in the configuration")
    sub.add_argument("--output", type=Path, required=True, help="store to write (.h5)")

    sub = add_command(subcommands, mask)
    add_repeat(sub, "mask")
    sub.add_argument("--dataset", required=True, help="name in the configuration")
    sub.add_argument("--acceleration", type=_factor, required=True, help="such as 4x")
    sub.add_argument("--output", type=Path, required=True, help="mask to write (.npz)")


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


def mask(options: argparse.Namespace) -> Made:
    """Draw or read the sampling mask of a data set."""
    from pipeline_src.sampling.given_masks import mask_file, study_mask
    from pipeline_src.sampling.masks import write_mask

    study = study_of_repeat(options, "mask")
    name = dataset_of(options, study)
    mask = study_mask(study, name, options.acceleration)
    if options.seed is not None:
        mask = replace(mask, description=mask.description | {"repeat": options.seed})
    write_mask(options.output, mask)
    given = study.datasets[name].masks.get(options.acceleration)
    return Made(
        {"lines": mask_file(given)} if given else {},
        [options.output],
        mask_step(study, name, options.acceleration),
        {"dataset": name, "acceleration": f"{options.acceleration}x", "mask": mask.description},
    )


def _factor(text: str) -> int:
    try:
        return acceleration_factor(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is impossible; it must be 2x or more") from None
