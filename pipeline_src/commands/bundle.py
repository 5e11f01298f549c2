"""The command `bundle`: packs a trained network to work by itself."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from pipeline_src.commands import Subcommands, add_command, add_modules
from pipeline_src.errors import InputError
from pipeline_src.text import printable


def add_parser(subcommands: Subcommands) -> None:
    """Add the command and its options."""
    sub = add_command(subcommands, bundle, study=False)
    sub.add_argument(
        "model", type=Path, nargs="?", metavar="FOLDER", help="of a training, with weights"
    )
    what = sub.add_mutually_exclusive_group(required=True)
    what.add_argument("--output", type=Path, metavar="DIR", help="bundle to write")
    sub.add_argument(
        "--int8",
        type=Path,
        metavar="STORE",
        help="add model.int8.onnx, calibrated on the training slices of this store (.h5)",
    )
    sub.add_argument(
        "--error-bound",
        type=Path,
        metavar="FILE",
        help="add error_bound.json, made by the calibrate command, without names of patients",
    )
    what.add_argument(
        "--check", type=Path, metavar="DIR", help="check that a bundle is complete and works"
    )
    sub.add_argument(
        "--trained-mask", type=Path, metavar="FILE", help="mask of the training, if it has moved"
    )
    add_modules(sub)
    sub.add_argument(
        "--licence", default="", help="of the weights, such as CC-BY-NC-SA-4.0, for the card"
    )


def bundle(options: argparse.Namespace) -> None:
    """Pack a trained model as a folder that works by itself."""
    from pipeline_src.inference.bundle import check_bundle, write_bundle
    from pipeline_src.inference.bundle_files import CONFIG
    from pipeline_src.inference.trained import load_trained
    from pipeline_src.models.registry import import_modules

    import_modules(options.modules)
    if options.check is not None:
        if options.model is not None:
            raise InputError("bundle: give a training's folder or --check DIR, not both")
        found = check_bundle(options.check)
        print(printable(f"{options.check}: {'; '.join(found)}"))
        return
    if options.model is None:
        raise InputError("bundle: the training's folder is missing")
    trained = load_trained(options.model, options.trained_mask)
    if (trained.folder / CONFIG).exists():
        raise InputError(
            f"{trained.folder}: is a bundle already, and its card tells more than it could of this "
            "copy; give the folder of the training"
        )
    more = (options.int8, options.error_bound)
    for remark in write_bundle(trained, options.output, options.licence, *more):
        print(printable(f"warning: {remark}"), file=sys.stderr)
    print(printable(f"{options.output}: {trained.config.model}, {trained.network.network.name}"))
