"""What defines each training of a study, and what it needs of other trainings."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from pipeline_src.config.method import (
    Distillation,
    Method,
    Network,
    StudentFriendly,
    Training,
)
from pipeline_src.config.section import Section
from pipeline_src.config.study import Study


def split_variant(name: str) -> tuple[str, str]:
    """A model's name and its variant: `sft_teacher@terms.teacher_only`, or no variant (`""`)."""
    model, _, variant = name.partition("@")
    return model, variant


def split_model_name(name: str) -> tuple[str, str]:
    """The `model` and `training` columns of the paper's table for a model's name.

    `std_kd_at` is model `at` trained by `std_kd`; `sft_teacher` is `teacher` trained by `sft`. The
    controls count as models of their own. A variant does not change them.
    """
    model, _ = split_variant(name)
    if model == "zero_filled":
        return "zero_filled", "none"
    if model == "sft_teacher":
        return "teacher", "sft"
    if model in ("teacher", "student", "student_matched"):
        return model, "standard"
    if model == "student_sft_start":
        return model, "sft"
    for recipe in ("std_kd", "sft_kd"):
        if model.startswith(recipe + "_"):
            return model.removeprefix(recipe + "_"), recipe
    raise ValueError(f"not a model's name: {model!r}")


class SFTPlan(Section):
    """What student-friendly training adds to a plan."""

    student: Network = Field(description="student whose blocks the branches use")
    losses: StudentFriendly = Field(description="weights of the SFT losses")


class ControlPlan(Section):
    """A student trained on reconstruction alone, for as long as a distilled one."""

    stages: int = Field(description="stages, each of them on reconstruction")
    warm_start: bool = Field(description="whether the student starts from the SFT blocks")


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
    control: ControlPlan | None = Field(default=None, description="control of distillation")

    @property
    def stages(self) -> list[str]:
        """Names of the training's stages, in order."""
        if self.distillation is not None:
            return distillation_stages(self.distillation.options)
        if self.control is not None and self.control.stages == 2:
            return ["reconstruction_first", "reconstruction"]
        return ["reconstruction" if self.sft is None else "student_friendly"]

    @property
    def warm_start(self) -> bool:
        """Whether the network starts from the student blocks of student-friendly training."""
        planned = self.distillation or self.control
        return planned is not None and planned.warm_start

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
    if model == "sft_teacher":
        sft = SFTPlan(student=networks.student, losses=study.sft)
        return TrainingPlan(network=networks.teacher, sft=sft, **common)
    if model in study.controls:
        stages = len(distillation_stages(study.distillation))
        control = ControlPlan(stages=stages, warm_start=training == "sft")
        return TrainingPlan(network=networks.student, control=control, **common)
    if training == "standard":
        return TrainingPlan(network=getattr(networks, name), **common)
    start = study.distillation.start
    distillation = DistillationPlan(
        teacher=networks.teacher,
        warm_start=start == "sft" or (start == "recipe" and training == "sft_kd"),
        method=name,
        loss=study.methods[name],
        # The start is settled above; how it was asked for defines nothing.
        options=study.distillation.model_copy(update={"start": "recipe"}),
    )
    return TrainingPlan(network=networks.student, distillation=distillation, **common)
