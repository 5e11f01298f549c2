"""The command `histories`: writes learning curves for TensorBoard."""

from __future__ import annotations

import argparse
from pathlib import Path

from pipeline_src.commands import Subcommands, add_command
from pipeline_src.errors import InputError

#: Columns of a history besides the epoch.
QUANTITIES = ("train_loss", "validation_loss", "validation_psnr_db", "learning_rate", "seconds")


def add_parser(subcommands: Subcommands) -> None:
    """Add the command and its options."""
    sub = add_command(subcommands, histories, study=False)
    sub.add_argument("results", type=Path, help="results folder, such as results/demo")
    sub.add_argument(
        "--output",
        type=Path,
        default=Path("runs"),
        help="new folder (default: %(default)s); then: tensorboard --logdir FOLDER",
    )


def histories(options: argparse.Namespace) -> None:
    """Write the learning curves of finished trainings for TensorBoard."""
    from pipeline_src.files import is_in_use, whole_folder
    from pipeline_src.planning.places import MANIFEST, MODEL_FOLDERS, stage_of
    from pipeline_src.provenance.manifest import Manifest
    from pipeline_src.reporting.figures.curves import read_history

    try:
        from tensorboardX import SummaryWriter
    except ImportError:
        raise InputError(
            "histories: the package tensorboardX is missing; type pip install --editable '.[watch]'"
        ) from None
    results, output = options.results, options.output
    manifests = sorted(results.glob(f"{MODEL_FOLDERS}/{MANIFEST}"))
    trained = {path.parent: made for path in manifests if (made := Manifest.read(path)).histories}
    if not trained:
        raise InputError(f"{results}: has no finished training; name a study's folder of results")
    if is_in_use(output):
        raise InputError(f"--output {output}: is there already; name a new folder")
    with whole_folder(output) as folder:
        for place, made in trained.items():
            # A folder per training, and in it a curve per stage and quantity over the epochs.
            writer = SummaryWriter(str(folder / place.relative_to(results)))
            began = 0.0
            for file in made.histories:
                for row in read_history(place / file, QUANTITIES).to_dict("records"):
                    began += row["seconds"]
                    for name in QUANTITIES:
                        title = f"{stage_of(str(file))}/{name}"
                        writer.add_scalar(title, row[name], int(row["epoch"]), walltime=began)
            writer.close()
    print(f"{len(trained)} trainings; see them with: tensorboard --logdir {output}")
