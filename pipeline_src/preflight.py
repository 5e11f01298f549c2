"""Checks of a study that need its files or the losses; run before any job is started."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline_src.errors import InputError
from pipeline_src.planning.models import Models
from pipeline_src.sampling.masks import study_mask
from pipeline_src.training.interruption import PARENT_VARIABLE

if TYPE_CHECKING:
    from pipeline_src.config.study import Study


def check_files(study: Study) -> Models:
    """Refuse masks that do not fit their data set's matrix, losses that are not there, and
    ablations that make no study; returns the models of a study that is good.

    Raises:
        InputError: one line about the first that does not.
    """
    for dataset, acceleration in study.settings():
        study_mask(study, dataset, acceleration)
    for name, method in study.methods.items():
        method.source(name)
    return Models(study)


def announce_parent() -> None:
    """Tell the trainings that this process starts who started them.

    A training saves its state and stops when that process has ended; else it would end with a
    result of which no Snakemake knows.
    """
    os.environ[PARENT_VARIABLE] = str(os.getpid())


def gpu_wanted(study: Study, elsewhere: bool = False) -> bool:
    """Whether trainings ask for a GPU: told to, or left to choose where one is seen or, with
    ``elsewhere``, where they run on the machines of a cluster.

    Looks for the driver's device files, since importing torch to ask would cost seconds.
    """
    device = study.training.device
    seen = elsewhere or any(Path("/dev").glob("nvidia[0-9]*"))
    return device == "cuda" or (device == "auto" and seen)


def source_files_of(study: Study, dataset: str) -> list[str]:
    """The data files of a data set, so that a changed file is prepared anew.

    Empty where the data is not there (yet): a plan can be shown without it, and the preparation
    then says what is missing.
    """
    from pipeline_src.data.sources import list_volumes

    try:
        volumes = list_volumes(study.datasets[dataset].source, Path(study.data_root))
    except InputError:
        return []
    return [str(volume.path) for volume in volumes if volume.path and volume.path.exists()]
