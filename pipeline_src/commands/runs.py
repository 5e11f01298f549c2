"""The commands that look after runs: `launch`, `status` and `histories`."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from pipeline_src.commands import Subcommands, add_command
from pipeline_src.errors import InputError

#: Columns of a history besides the epoch.
QUANTITIES = ("train_loss", "validation_loss", "validation_psnr_db", "learning_rate", "seconds")


def add_parsers(subcommands: Subcommands) -> None:
    """Add the commands and their options."""
    sub = add_command(subcommands, launch, study=False)
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

    sub = add_command(subcommands, status, study=False)
    where = sub.add_mutually_exclusive_group(required=True)
    where.add_argument("results", type=Path, nargs="?", help="results folder, such as results/demo")
    where.add_argument(
        *("--config", "--configfile"),
        type=Path,
        nargs="+",
        action="extend",
        metavar="FILE",
        help="configuration; its results: results/{study}",
    )
    sub.add_argument("--once", action="store_true", help="a plain table, as when piped")

    sub = add_command(subcommands, histories, study=False)
    sub.add_argument("results", type=Path, help="results folder, such as results/demo")
    sub.add_argument(
        "--output",
        type=Path,
        default=Path("runs"),
        help="new folder (default: %(default)s); then: tensorboard --logdir FOLDER",
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


def status(options: argparse.Namespace) -> None:
    """Show what every training is doing."""
    from pipeline_src.operations.status.showing import show

    show(options.config or options.results, options.once, sys.stdout)


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
