"""Configuration of how far a study's models are tried beyond what they were trained for."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, Any, Self

from pydantic import Field, NonNegativeInt, field_validator, model_validator

from pipeline_src.config.section import Section, refuse_repeats
from pipeline_src.config.setting import Setting
from pipeline_src.config.shifts import Family, Shift
from pipeline_src.config.study_checks import refuse_unknown

if TYPE_CHECKING:
    from pipeline_src.config.study import Study

Noise = Annotated[float, Field(gt=0, le=1)]
Scale = Annotated[float, Field(gt=0, le=1e6)]
Acceleration = Annotated[int, Field(ge=2, le=1000)]


class Robustness(Section):
    """Trained models under other conditions than those of their training, without training: each
    shift is one condition, and all patients that the tables report are measured under it."""

    models: list[str] | None = Field(
        default=None,
        min_length=1,
        description="models that are tried; null: teacher, student, and the students of the first "
        "method by std_kd and sft_kd",
    )
    mask_seeds: int = Field(
        default=0, ge=0, le=1000, description="other draws of the lines, each a shift"
    )
    families: list[Family] = Field(
        default=[],
        description="masks of other kinds at the same acceleration, the lowest frequencies always "
        "sampled: equispaced: lines at equal distances; uniform: lines drawn alike; gaussian: "
        "lines drawn with a Gaussian density; poisson_disc: single samples of both directions",
    )
    accelerations: list[Acceleration] = Field(
        default=[], description="other accelerations; that of the training is left out"
    )
    noise: list[Noise] = Field(
        default=[],
        description="complex Gaussian noise in k-space: standard deviation of its real and of its "
        "imaginary part, as a fraction of the volume's maximum, in an orthonormal Fourier "
        "transform (so also that of the noise in a fully sampled image)",
    )
    scales: list[Scale] = Field(
        default=[],
        description="factors of the images' intensities, which trainings see at a maximum of 1; "
        "reconstructions are divided by them again",
    )
    datasets: list[str] = Field(
        default=[],
        description="data sets of the study whose images the models of the others reconstruct, by "
        "the mask of their own training; the loss is against the models that were trained on them",
    )
    seed: NonNegativeInt = Field(
        default=0, description="seed of all that is drawn for shifts: lines and noise"
    )

    @field_validator("models", "families", "accelerations", "noise", "scales", "datasets")
    @classmethod
    def _no_repeats(cls, values: list[Any] | None) -> list[Any] | None:
        refuse_repeats(values or [])
        return values

    @field_validator("noise", "scales")
    @classmethod
    def _have_names(cls, values: list[float]) -> list[float]:
        for value in values:
            if float(f"{value:g}") != value:
                raise ValueError(f"{value!r} has too many digits to name a folder; use six or less")
            if value == 1:
                raise ValueError("1 is not a shift; leave it out")
        return values

    @model_validator(mode="after")
    def _some_shift(self) -> Self:
        if not (self.mask_seeds or any(getattr(self, name) for name in LISTS)):
            raise ValueError(f"names no shift; give one of mask_seeds, {', '.join(LISTS)}")
        return self

    def shifts(self, setting: Setting) -> Iterator[Shift]:
        """The shifts of a setting, in the order of tables and figures."""
        for number in range(1, self.mask_seeds + 1):
            yield Shift.of_number("seed", number)
        for family in self.families:
            yield Shift("family", family)
        for factor in self.accelerations:
            if factor != setting.factor:
                yield Shift.of_number("acceleration", factor)
        for level in self.noise:
            yield Shift.of_number("noise", level)
        for scale in self.scales:
            yield Shift.of_number("scale", scale)
        for dataset in self.datasets:
            if dataset != setting.dataset:
                yield Shift("data", dataset)


LISTS = ("families", "accelerations", "noise", "scales", "datasets")


def tried_models(study: Study) -> list[str]:
    """The models whose robustness is measured, in the order of the configuration."""
    section = study.robustness
    return [] if section is None else section.models or usual_models(study)


def usual_models(study: Study) -> list[str]:
    """The models that are looked at where a configuration does not say: teacher, student, and the
    students of the first method by both recipes."""
    wanted = ["teacher", "student"]
    for method in list(study.methods)[:1]:
        wanted += [f"std_kd_{method}", f"sft_kd_{method}"]
    return [name for name in wanted if name in study.model_names()]


def shifts_of(study: Study, setting: Setting) -> list[Shift]:
    """The shifts of a setting; none where the study asks for none."""
    return list(study.robustness.shifts(setting)) if study.robustness else []


def refuse_impossible_shifts(study: Study) -> None:
    """Refuse shifts of models or data sets that the study does not have, of images that the masks
    do not fit, and masks that the slices are too small for.

    Raises:
        ValueError: the line names the key.
    """
    section = study.robustness
    if section is None:
        return
    for key, known in (("models", study.model_names()), ("datasets", list(study.datasets))):
        for name in getattr(section, key) or []:
            refuse_unknown(f"robustness.{key}", name, known)
    matrices = {name: dataset.preparation.matrix for name, dataset in study.datasets.items()}
    for other in section.datasets:
        for name, matrix in matrices.items():
            if matrix != matrices[other]:
                sizes = [f"{rows}x{columns}" for rows, columns in (matrix, matrices[other])]
                raise ValueError(
                    f"robustness.datasets: models of {name} are for slices of {sizes[0]}, and "
                    f"{other} has {sizes[1]}; give both one preparation.matrix (pad with "
                    f"undersized: pad), or leave {other} out"
                )
    if section.datasets and len(study.datasets) == 1:
        raise ValueError(
            f"robustness.datasets: {section.datasets[0]} is the study's only data set; add another "
            "to datasets, or leave it out"
        )
    drawn = set(section.accelerations)
    drawn |= set(study.accelerations) if section.mask_seeds or section.families else set()
    center = study.sampling.center_lines
    for name, (rows, _) in matrices.items():
        for factor in sorted(drawn):
            if rows // factor < max(center, 1):
                raise ValueError(
                    f"robustness: {factor}x leaves {rows // factor} of the {rows} lines of {name}, "
                    f"and sampling.center_lines takes {center}; use a lower acceleration, or fewer "
                    "center_lines"
                )
