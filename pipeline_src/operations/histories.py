"""Writes the histories of a study's trainings in the form that TensorBoard reads."""

from __future__ import annotations

from pathlib import Path

from pipeline_src.errors import InputError
from pipeline_src.files import is_in_use, whole_folder
from pipeline_src.planning.places import MANIFEST, MODEL_FOLDERS, stage_of
from pipeline_src.provenance.manifest import Manifest
from pipeline_src.reporting.figures.curves import read_history

#: Columns of a history besides the epoch.
QUANTITIES = ("train_loss", "validation_loss", "validation_psnr_db", "learning_rate", "seconds")


def export_histories(results: Path, output: Path) -> int:
    """Write the histories of all finished trainings to a new folder; returns how many trainings.

    Each has a folder of its own, `{dataset}/{acceleration}/seed{seed}/{model}`, and in it one curve
    per stage and quantity over the epochs: losses, the validation's PSNR in dB, the learning rate,
    and seconds per epoch. Times are those since the training began.

    Args:
        results: folder of a study, such as `results/demo`.
        output: the new folder, for `tensorboard --logdir`.

    Raises:
        InputError: there is no finished training, a history is damaged, the folder is in use or
            cannot be written, or the package is missing.
    """
    try:
        from tensorboardX import SummaryWriter
    except ImportError:
        raise InputError(
            "histories: the package tensorboardX is missing; type pip install --editable '.[watch]'"
        ) from None
    manifests = sorted(results.glob(f"{MODEL_FOLDERS}/{MANIFEST}"))
    trained = {path.parent: made for path in manifests if (made := Manifest.read(path)).histories}
    if not trained:
        raise InputError(f"{results}: has no finished training; name a study's folder of results")
    if is_in_use(output):
        raise InputError(f"--output {output}: is there already; name a new folder")
    with whole_folder(output) as folder:
        for place, made in trained.items():
            writer = SummaryWriter(str(folder / place.relative_to(results)))
            began = 0.0
            for file in made.histories:
                for row in read_history(place / file, QUANTITIES).to_dict("records"):
                    began += row["seconds"]
                    for name in QUANTITIES:
                        title = f"{stage_of(str(file))}/{name}"
                        writer.add_scalar(title, row[name], int(row["epoch"]), walltime=began)
            writer.close()
    return len(trained)
