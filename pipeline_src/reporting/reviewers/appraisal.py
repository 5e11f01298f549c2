"""States what was easy and what was difficult to reproduce in the paper, and the limitations of a
study.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from pipeline_src.config.study import Study
from pipeline_src.planning.places import Places
from pipeline_src.provenance.manifest import UNKNOWN
from pipeline_src.reporting.reviewers.records import Records
from pipeline_src.reporting.study_design import of_seed, reach_text
from pipeline_src.sampling.effective import effective_acceleration
from pipeline_src.sampling.masks import Mask

EASY = (
    "The paper states networks, training schedule, the three terms of student-friendly training "
    "and the distilled pairs; both of its data sets come from public challenges.",
    "The authors published their code and their sampling masks, which can be used as they are "
    "(config/authors_masks.csv).",
)
DIFFICULT = (
    "The paper's text and its authors' code differ in the imitation term, in how the losses are "
    "combined, in the form of every distillation loss, in padding and in where students start. "
    "Each difference is an option here.",
    "The weight of the feature loss beside reconstruction has no value in the text, and the code "
    "has no such weight. Here it is balanced by gradients unless a number is given.",
    "The text does not say which weights student-friendly training keeps, nor which leave the "
    "feature stage; the code keeps those of the lowest validation loss.",
    "The published feature scripts load no student blocks: their checkpoint does not fit. The path "
    "of the code that works trains a whole stage from the blocks first.",
    "Student-friendly training in the feature domain, as the paper draws it, is not reproduced: "
    "neither text nor code defines its residual network.",
    "The authors round the values of slices before averaging and take a slice's own range for SSIM "
    "in places; here each metric is defined once, at the volume's range.",
)


def limitations(study: Study, records: Records) -> Iterator[str]:
    """What the configuration and the records say about how far the results can be generalised."""
    yield (
        "Acquisition is simulated from magnitude images, of one coil and without noise; data "
        "fidelity keeps the real part of the image, so that phase is neither there nor "
        "reconstructed."
    )
    yield reach_text(study)
    places = Places(study)
    for name, dataset in study.datasets.items():
        title = study.dataset_title(name)
        for seed in places.seeds("mask"):
            here = [setting for setting in study.settings() if setting.dataset == name]
            masks = {s.acceleration: records.masks.get((s, seed)) for s in here}
            yield from _of_masks(of_seed(title, seed), masks)
        count = str(len(records.reported[name])) if name in records.reported else UNKNOWN
        yield f"{title}: reported patients: {count}; seeds per model: {len(study.seeds)}."
        if dataset.report_on == "validation":
            yield f"{title}: the reported patients are those on which the weights were chosen."
        if dataset.synthetic:
            yield f"{title}: drawn images, which say nothing about patients."


def _of_masks(title: str, masks: Mapping[str, Mask | None]) -> Iterator[str]:
    """The effective accelerations of a data set, and what is unusual about its masks."""
    told = [
        f"{name} is {effective_acceleration(mask):.2f}x" if mask else f"of {name} {UNKNOWN}"
        for name, mask in masks.items()
    ]
    yield f"{title}: effective acceleration, with Hermitian symmetry: {', '.join(told)}."
    for name, mask in masks.items():
        for found in mask.description.get("unusual", []) if mask else ():
            yield f"{title}: the mask at {name} {found}."
