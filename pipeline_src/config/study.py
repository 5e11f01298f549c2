"""The study: everything that one run of the pipeline computes."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator
from typing import Any, Literal

from pydantic import Field, field_validator, model_validator

from pipeline_src.config.data import Dataset
from pipeline_src.config.method import (
    Distillation,
    Evaluation,
    Method,
    Network,
    Networks,
    Sampling,
    StudentFriendly,
    Training,
    available_methods,
)
from pipeline_src.config.presets import apply_preset
from pipeline_src.config.section import Section

Recipe = Literal["std_kd", "sft_kd"]
PAPER_METHODS = ["fitnets", "at", "cc", "fsp", "sp"]
# A name becomes a folder, a wildcard and a cell of a table.
NAME_PATTERN = r"^[a-z][a-z0-9_]*$"


def _refuse_bad_name(name: str, what: str) -> None:
    if not re.match(NAME_PATTERN, name):
        raise ValueError(
            f"{what} name {name!r} cannot name a folder; use lower-case letters, digits and "
            "underscores, a letter first"
        )


class Study(Section):
    """A study: data sets x accelerations x models x seeds."""

    study: str = Field(pattern=NAME_PATTERN, description="name; results go to results/{study}")
    title: str = Field(default="", description="heading of the report; empty: the name")
    preset: Literal["authors", "paper"] | None = Field(
        default=None,
        description="authors: every option as the published code has it; paper: as its text has "
        "it; null: the defaults below, the authors' forms without their padding",
    )
    data_root: str = Field(
        default=".", description="folder that the `path` of every source is relative to"
    )
    seeds: list[int] = Field(
        default=[0], min_length=1, description="every model is trained once for each"
    )
    accelerations: list[int] = Field(
        default=[4, 5], min_length=1, description="undersampling factors R"
    )
    datasets: dict[str, Dataset] = Field(min_length=1, description="data sets by name")
    sampling: Sampling = Field(default=Sampling(), description="masks")
    networks: Networks = Field(default=Networks(), description="teacher and student")
    sft: StudentFriendly = Field(
        default=StudentFriendly(), description="student-friendly training of the teacher"
    )
    recipes: list[Recipe] = Field(
        default=["std_kd", "sft_kd"],
        description="std_kd: from the standard teacher; sft_kd: from the student-friendly one",
    )
    methods: dict[str, Method] = Field(
        default={name: Method() for name in PAPER_METHODS},
        description="distillation methods by name",
    )
    distillation: Distillation = Field(default=Distillation(), description="distillation")
    training: Training = Field(default=Training(), description="training of every model")
    evaluation: Evaluation = Field(default=Evaluation(), description="evaluation and pictures")

    @model_validator(mode="before")
    @classmethod
    def _fill_in_preset(cls, data: Any) -> Any:
        return apply_preset(data, PAPER_METHODS) if isinstance(data, dict) else data

    @field_validator("seeds", "accelerations", "recipes")
    @classmethod
    def _no_repeats(cls, values: list[Any]) -> list[Any]:
        repeated = sorted({v for v in values if values.count(v) > 1})
        if repeated:
            raise ValueError(f"{repeated[0]} is listed twice")
        return values

    @field_validator("accelerations")
    @classmethod
    def _undersampled(cls, values: list[int]) -> list[int]:
        for value in values:
            if value < 2:
                raise ValueError(f"acceleration {value} is impossible; it must be 2 or more")
        return values

    @field_validator("seeds")
    @classmethod
    def _non_negative(cls, values: list[int]) -> list[int]:
        for value in values:
            if value < 0:
                raise ValueError(f"seed {value} is negative; seeds are 0 or more")
        return values

    @field_validator("datasets")
    @classmethod
    def _names(cls, datasets: dict[str, Dataset]) -> dict[str, Dataset]:
        for name in datasets:
            _refuse_bad_name(name, "data set")
        return datasets

    @field_validator("methods")
    @classmethod
    def _known_methods(cls, methods: dict[str, Method]) -> dict[str, Method]:
        known = available_methods()
        for name, method in methods.items():
            _refuse_bad_name(name, "method")
            if name not in known and method.module is None:
                near = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
                hint = f"did you mean {near[0]!r}?" if near else f"known: {', '.join(known)}"
                raise ValueError(f"unknown method {name!r}; {hint}")
        return methods

    @model_validator(mode="after")
    def _pair_is_defined(self) -> Study:
        teacher, student = self.networks.teacher, self.networks.student
        if teacher.cascades != student.cascades:
            raise ValueError(
                f"networks.student.cascades: {student.cascades} differs from the teacher's "
                f"{teacher.cascades}; SFT branches and the losses pair cascade k with cascade k"
            )
        for name, method in self.methods.items():
            for cascade in method.cascades or []:
                if cascade > student.cascades:
                    raise ValueError(
                        f"methods.{name}.cascades: {cascade} is beyond the networks' "
                        f"{student.cascades} cascades"
                    )
        for name in self.evaluation.panel_methods:
            if self.methods and name not in self.methods:
                raise ValueError(
                    f"evaluation.panel_methods: {name!r} is not among methods "
                    f"({', '.join(self.methods)})"
                )
        return self

    @model_validator(mode="after")
    def _masks_are_possible(self) -> Study:
        for name, dataset in self.datasets.items():
            lines = dataset.preparation.matrix[0]
            for acceleration in dataset.masks:
                if acceleration not in self.accelerations:
                    raise ValueError(
                        f"datasets.{name}.masks: {acceleration} is not among accelerations "
                        f"({', '.join(map(str, self.accelerations))})"
                    )
            for acceleration in self.accelerations:
                sampled = lines // acceleration
                if acceleration not in dataset.masks and sampled < self.sampling.center_lines:
                    raise ValueError(
                        f"sampling.center_lines: {self.sampling.center_lines} is more than the "
                        f"{sampled} lines of {name} at {acceleration}x ({lines} lines / "
                        f"{acceleration}); use {sampled} or fewer"
                    )
        return self

    def model_names(self) -> list[str]:
        """All trained models of one setting and seed, in the order of the paper's table."""
        return ["teacher", "sft_teacher", "student", *self.distilled_names()]

    def distilled_names(self) -> list[str]:
        """Distilled students as `{recipe}_{method}`."""
        return [f"{recipe}_{method}" for method in self.methods for recipe in self.recipes]

    def settings(self) -> Iterator[tuple[str, int]]:
        """Data set and acceleration, every pair."""
        for dataset in self.datasets:
            for acceleration in self.accelerations:
                yield dataset, acceleration


def split_model_name(model: str) -> tuple[str, str]:
    """The `model` and `training` columns of the paper's table for a trained model's name.

    `std_kd_at` is model `at` trained by `std_kd`; `sft_teacher` is `teacher` trained by `sft`.
    """
    if model == "zero_filled":
        return "zero_filled", "none"
    if model == "sft_teacher":
        return "teacher", "sft"
    if model in ("teacher", "student"):
        return model, "standard"
    for recipe in ("std_kd", "sft_kd"):
        if model.startswith(recipe + "_"):
            return model.removeprefix(recipe + "_"), recipe
    raise ValueError(f"not a model's name: {model!r}")


class SFTPlan(Section):
    """What student-friendly training adds to a plan."""

    student: Network = Field(description="student whose blocks the branches use")
    losses: StudentFriendly = Field(description="weights of the SFT losses")


class DistillationPlan(Section):
    """What distillation adds to a plan."""

    teacher: Network = Field(description="frozen teacher")
    warm_start: bool = Field(description="whether the student starts from the SFT blocks")
    method: str = Field(description="name of the method")
    loss: Method = Field(description="the method's options")
    options: Distillation = Field(description="how losses are combined")


class TrainingPlan(Section):
    """All that defines one training besides its data and mask; what a rerun depends on."""

    model: str = Field(description="name of the model")
    seed: int = Field(description="seed of this run")
    network: Network = Field(description="the network that is trained and reported")
    training: Training = Field(description="optimisation of each stage")
    sft: SFTPlan | None = Field(default=None, description="student-friendly training")
    distillation: DistillationPlan | None = Field(default=None, description="distillation")

    @property
    def stages(self) -> list[str]:
        """Names of the training's stages, in order."""
        if self.distillation is not None:
            return distillation_stages(self.distillation.options)
        return ["reconstruction" if self.sft is None else "student_friendly"]

    def selection(self, stage: str) -> Literal["best", "last"]:
        """Which weights a stage leaves: the best on validation, or the last."""
        if stage == "features" and self.distillation is not None:
            return self.distillation.options.feature_stage_selection
        return "best"


def distillation_stages(options: Distillation) -> list[str]:
    """Names of a distillation's stages, in order."""
    return ["joint"] if options.protocol == "joint" else ["features", "reconstruction"]


def training_plan(study: Study, model: str, seed: int) -> TrainingPlan:
    """The plan of one model of a study.

    Raises:
        ValueError: the study has no such model.
    """
    if model not in study.model_names():
        raise ValueError(f"model {model!r} is not in the study: {', '.join(study.model_names())}")
    networks = study.networks
    name, training = split_model_name(model)
    common: dict[str, Any] = {"model": model, "seed": seed, "training": study.training}
    if training == "sft":
        sft = SFTPlan(student=networks.student, losses=study.sft)
        return TrainingPlan(network=networks.teacher, sft=sft, **common)
    if training == "standard":
        return TrainingPlan(network=getattr(networks, name), **common)
    distillation = DistillationPlan(
        teacher=networks.teacher,
        warm_start=training == "sft_kd",
        method=name,
        loss=study.methods[name],
        options=study.distillation,
    )
    return TrainingPlan(network=networks.student, distillation=distillation, **common)
