"""Tells whether the patients that a model is measured on had a part in its training."""

from __future__ import annotations

from pathlib import Path

from pipeline_src.data.store import Store, identities, read_index
from pipeline_src.errors import InputError
from pipeline_src.evaluation.subject import Subject

#: Parts of the store of a training that it used: to train, and to choose the weights.
USED = {"train": "was trained on", "validation": "had its weights chosen on"}


def refuse_patients_of_training(subject: Subject, store: Store, path: Path, part: str) -> str:
    """Check that none of the patients of ``part`` in ``store``, read from ``path``, had a part in a
    model's training on another store; validation patients may have chosen weights there too.

    Returns:
        Why that cannot be told; empty if it was.

    Raises:
        InputError: one had.
    """
    trained_on = subject.made.data_digest
    if subject.weights is None or trained_on == store.digest:
        return ""
    given = subject.made.inputs.get("store")
    place = None if given is None else subject.folder / given.path
    if trained_on is None or place is None:
        return "nothing tells which patients it was trained on, which may be among those measured"
    if not place.exists() or (index := read_index(place)).digest != trained_on:
        return (
            f"the store that it was trained on is not at {place} any more; its training patients "
            "may be among those measured"
        )
    measured = identities(store.volumes.to_dict("records"), store.description).get(part, {})
    for used, verb in USED.items():
        if used == part == "validation":
            continue
        if both := sorted(index.identities.get(used, {}).keys() & measured.keys()):
            patients = sorted({measured[one] for one in both})
            raise InputError(
                f"{subject.folder}: {verb} {len(patients)} of the {part} patients of {path} "
                f"({', '.join(patients[:3])}{', ...' if len(patients) > 3 else ''}); measure it on "
                "patients that had no part in its training"
            )
    return ""
