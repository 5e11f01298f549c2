"""The command `mask`: draws or reads the sampling mask of a data set."""

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
    study_of_repeat,
)
from pipeline_src.config.setting import acceleration_factor
from pipeline_src.planning.steps import mask_step


def add_parser(subcommands: Subcommands) -> None:
    """Add the command and its options."""
    sub = add_command(subcommands, mask)
    add_repeat(sub, "mask")
    sub.add_argument("--dataset", required=True, help="name in the configuration")
    sub.add_argument("--acceleration", type=_factor, required=True, help="such as 4x")
    sub.add_argument("--output", type=Path, required=True, help="mask to write (.npz)")


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
