"""The command `calibrate`: bounds the error of each pixel of a trained model's reconstructions."""

from __future__ import annotations

import argparse
from pathlib import Path

from pipeline_src.commands import (
    Made,
    Subcommands,
    add_command,
    add_modules,
)
from pipeline_src.errors import InputError
from pipeline_src.planning.steps import calibrate_step


def add_parser(subcommands: Subcommands) -> None:
    """Add the command and its options."""
    sub = add_command(subcommands, calibrate, study=False)
    sub.add_argument("model", type=Path, metavar="MODEL", help="folder of a training, or a bundle")
    sub.add_argument("--data", type=Path, required=True, help="volume store (volumes.h5)")
    sub.add_argument(
        "--trained-mask", type=Path, help="mask of the training (default: by its manifest)"
    )
    sub.add_argument(
        "--pixels",
        type=float,
        default=0.9,
        help="share of a patient's pixels to lie within the bound (default: %(default)s)",
    )
    sub.add_argument(
        "--patients",
        type=float,
        default=0.8,
        help="share of the patients of whom that is to be true (default: %(default)s)",
    )
    add_modules(sub)
    sub.add_argument("--output", type=Path, required=True, help="the JSON file")


def calibrate(options: argparse.Namespace) -> Made:
    """Calibrate a bound of the error of each reconstructed pixel on validation patients, and try it
    on test patients.
    """
    from pipeline_src.data.store import read_store
    from pipeline_src.files import write_json
    from pipeline_src.inference.calibration import calibrate
    from pipeline_src.inference.trained import load_trained, refuse_other_store
    from pipeline_src.models.registry import import_modules

    import_modules(options.modules)
    for name in ("pixels", "patients"):
        if not 0 < getattr(options, name) < 1:
            raise InputError(f"--{name} {getattr(options, name)}: must be between 0 and 1")
    if options.output.suffix != ".json":
        raise InputError(f"--output {options.output}: give a name that ends with .json")
    trained = load_trained(options.model, options.trained_mask)
    store = read_store(options.data, parts=["train", "validation", "test"])
    refuse_other_store(trained, store, options.data)
    bound = calibrate(trained, store, options.data, options.pixels, options.patients)
    store.require_unchanged()
    write_json(options.output, bound.model_dump(mode="json"))
    print(
        f"{options.output}: promises {bound.pixels:.0%} of the pixels of {bound.patients:.0%} of "
        f"patients; kept for {bound.kept} of {len(bound.tried_on)} test patients"
    )
    inputs = {"store": options.data, "weights": trained.weights}
    if options.trained_mask:
        inputs["mask"] = options.trained_mask
    facts = {"model": bound.model, "seed": bound.seed}
    facts |= {"dataset": bound.dataset, "acceleration": bound.acceleration}
    step = calibrate_step(options.pixels, options.patients)
    return Made(inputs, [options.output], step, facts)
