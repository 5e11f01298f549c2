"""Derives what differs between the repeats of a study, besides the seed of its trainings."""

from __future__ import annotations

from typing import Literal

import numpy as np

from pipeline_src.config.datasets import Dataset
from pipeline_src.config.split import Folds
from pipeline_src.config.study import Study
from pipeline_src.errors import InputError

#: What a repeat draws anew; each has a stream of its own. The order must stay.
STREAMS = ("mask", "split")


def drawn_seed(seed: int, repeat: int, what: Literal["mask", "split"]) -> int:
    """The seed of a repeat's mask or split, derived from the configuration's seed and the
    repeat's.
    """
    entropy = [seed, repeat, STREAMS.index(what)]
    return int(np.random.SeedSequence(entropy).generate_state(1)[0])


def of_repeat(study: Study, repeat: int | str | None) -> Study:
    """A study as configured for one of its ``seeds``: with the mask and split of this repeat, if
    they are repeated. Without ``repeat``, the study as it is.

    Raises:
        InputError: there is no such seed.
    """
    if repeat is None:
        return study
    seed = int(repeat)
    if seed not in study.seeds:
        known = ", ".join(map(str, study.seeds))
        raise InputError(f"seed {seed}: the study has no such repeat; there are {known}")
    changed: dict[str, object] = {}
    if "mask" in study.repeat_over:
        drawn = drawn_seed(study.sampling.seed, seed, "mask")
        changed["sampling"] = study.sampling.model_copy(update={"seed": drawn})
    if "split" in study.repeat_over:
        changed["datasets"] = {
            name: _dataset(dataset, seed, study.seeds.index(seed))
            for name, dataset in study.datasets.items()
        }
    return study.model_copy(update=changed) if changed else study


def _dataset(dataset: Dataset, seed: int, place: int) -> Dataset:
    """A data set in the repeat of a seed, which is at a place among all."""
    split = dataset.split
    changed: dict[str, int]
    if isinstance(split, Folds):
        deal, fold = divmod(place, split.folds)
        changed = {"fold": fold}
        if deal:
            changed["seed"] = drawn_seed(split.seed, deal, "split")
    else:
        changed = {"seed": drawn_seed(split.seed, seed, "split")}
    return dataset.model_copy(update={"split": split.model_copy(update=changed)})
