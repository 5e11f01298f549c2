"""Configuration of the bounds of reconstruction errors."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Annotated, Self

from pydantic import Field, model_validator

from pipeline_src.config.robustness import usual_models
from pipeline_src.config.section import Section, refuse_repeats
from pipeline_src.config.study_checks import refuse_unknown

if TYPE_CHECKING:
    from pipeline_src.config.study import Study

Share = Annotated[float, Field(gt=0, lt=1)]


class ErrorBounds(Section):
    """Bounds of the error of each pixel, calibrated on the validation patients of each model."""

    pixels: Share = Field(
        default=0.9, description="share of a patient's pixels that are to lie within the bound"
    )
    patients: Share = Field(
        default=0.8, description="share of the patients of whom that is to be true"
    )
    models: list[str] | None = Field(
        default=None,
        min_length=1,
        description="models that are given one; null: teacher, student, and the students of the "
        "first method by std_kd and sft_kd",
    )

    @model_validator(mode="after")
    def _no_repeats(self) -> Self:
        refuse_repeats(self.models or [])
        return self


#: So that rounding does not ask for a patient more: 4 promise 0.8.
ROUNDING = 1e-9


def patients_needed(patients: float) -> int:
    """The least number of calibration patients that can promise a share of further patients."""
    return math.ceil(patients / (1 - patients) - ROUNDING)


def too_few(patients: float, count: int) -> str:
    """Why ``count`` calibration patients cannot promise a share of further patients."""
    best = math.floor(100 * count / (count + 1)) / 100
    return (
        f"{patients:g} takes {patients_needed(patients)} validation patients, and there are "
        f"{count}; lower it to {best:g}"
    )


def bounded_models(study: Study) -> list[str]:
    """The models that are given bounds, in the order of the configuration."""
    section = study.evaluation.error_bounds
    return [] if section is None else section.models or usual_models(study)


def refuse_impossible_bounds(study: Study) -> None:
    """Refuse bounds of models that the study does not have, on patients who are reported, or that
    promise more than the validation patients allow.

    Raises:
        ValueError: the line names the key.
    """
    section = study.evaluation.error_bounds
    if section is None:
        return
    for name in section.models or []:
        refuse_unknown("evaluation.error_bounds.models", name, study.model_names())
    needed = patients_needed(section.patients)
    for name, dataset in study.datasets.items():
        if dataset.report_on == "validation":
            raise ValueError(
                f"evaluation.error_bounds: {name} reports validation patients, who calibrate the "
                "bounds; leave error_bounds out, or report on test patients"
            )
        count = dataset.split.validation
        if isinstance(count, int) and count < needed:
            raise ValueError(
                f"evaluation.error_bounds.patients: {too_few(section.patients, count)} ({name})"
            )
