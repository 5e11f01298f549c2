"""Describes in words what differs between the seeds of a study."""

from __future__ import annotations

from pipeline_src.config.split import Folds
from pipeline_src.config.study import Study
from pipeline_src.reporting.display_names import counted


def folds_text(split: Folds) -> str:
    """How patients are assigned to folds, and which are tested: `cross-validation over 5 folds,
    ...`.
    """
    whom = f" of {' and '.join(split.patients)}" if split.patients else ""
    tested = "each tested in turn" if split.fold is None else f"fold {split.fold} tested"
    return (
        f"cross-validation over {split.folds} folds{whom}, {tested}; validation "
        f"{split.validation} of the others"
    )


def repeated_text(study: Study) -> str:
    """What each seed draws for itself, besides weights and batches; empty if nothing."""
    told = {"mask": "masks", "split": "splits of the patients"}
    return " and ".join(text for what, text in told.items() if what in study.repeat_over)


def shared_text(study: Study) -> str:
    """What all seeds share: `one mask per setting and one split per data set`."""
    told = {"mask": "one mask per setting", "split": "one split per data set"}
    return " and ".join(text for what, text in told.items() if what not in study.repeat_over)


def reach_text(study: Study) -> str:
    """What intervals over seeds cover, depending on what each seed drew."""
    shared, count = shared_text(study), len(study.seeds)
    if count == 1:
        return "One seed, one mask per setting, one split per data set."
    unknown = " and ".join(
        f"{what}s" for what in ("mask", "split") if what not in study.repeat_over
    )
    own = f"; each has {repeated_text(study)} of its own" if repeated_text(study) else ""
    if not shared:
        return (
            f"Each of the {count} seeds has {repeated_text(study)} of its own: intervals are about "
            "repeating all of it, and do not separate what each contributes."
        )
    return (
        f"{shared[0].upper()}{shared[1:]} for all {count} seeds{own}: intervals say nothing about "
        f"other {unknown}."
    )


def of_seed(title: str, seed: int | None) -> str:
    """A title, with the seed if there is one per seed."""
    return title if seed is None else f"{title}, seed {seed}"


def folds_tested(study: Study) -> list[str]:
    """A sentence for each data set in which some folds are not tested, or some are tested more
    often.
    """
    lines = []
    for name, dataset in study.datasets.items():
        split, repeats = dataset.split, len(study.seeds)
        if not isinstance(split, Folds) or split.fold is not None or repeats % split.folds == 0:
            continue
        if repeats < split.folds:
            tested = f"{counted([repeats], 'seed')} test{'s' if repeats == 1 else ''}"
            lines.append(
                f"data set {name}: {tested} {repeats} of {split.folds} folds; {split.folds} seeds "
                "test every patient"
            )
        else:
            lines.append(
                f"data set {name}: {repeats} seeds test some of {split.folds} folds more often "
                f"than others; {repeats // split.folds * split.folds} seeds test all alike"
            )
    return lines
