"""Defines each training of a study, and what it needs from other trainings."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from pipeline_src.config.distillation import Distillation, Method, StudentFriendly
from pipeline_src.config.networks import AnyNetwork, Network, OtherNetwork
from pipeline_src.config.recipes import RECIPES
from pipeline_src.config.section import Section
from pipeline_src.config.study import TRAINED_START, Study
from pipeline_src.config.training import Training
from pipeline_src.planning.model_names import split_model_name


class SFTPlan(Section):
    """What student-friendly training adds to a plan."""

    student: AnyNetwork = Field(description="student whose blocks the branches use")
    losses: StudentFriendly = Field(description="weights of the SFT losses")


class ControlPlan(Section):
    """A student trained on reconstruction alone, for as long as a distilled one."""

    stages: int = Field(description="stages, each of them on reconstruction")


class DistillationPlan(Section):
    """What distillation adds to a plan."""

    teacher: AnyNetwork = Field(description="frozen teacher")
    method: str = Field(description="name of the method")
    loss: Method = Field(description="the method's options")
    options: Distillation = Field(description="how losses are combined")


class TrainingPlan(Section):
    """Everything that defines one training besides its data and mask; if it changes, the training
    is rerun.
    """

    model: str = Field(description="name of the model")
    seed: int = Field(description="seed of this run")
    network: AnyNetwork = Field(description="the network that is trained and reported")
    training: Training = Field(description="optimisation of each stage")
    sft: SFTPlan | None = Field(default=None, description="student-friendly training")
    distillation: DistillationPlan | None = Field(default=None, description="distillation")
    control: ControlPlan | None = Field(default=None, description="control of distillation")
    selections: dict[str, Literal["best", "last"]] = Field(
        min_length=1,
        description="stages in order, and which weights each leaves: those of the lowest "
        "validation loss, or the last",
    )
    warm_start: Literal["sft_blocks", "student"] | None = Field(
        default=None,
        description="what the network starts from: the student blocks of SFT, all but the first; "
        "or a student that was trained from them; null: random weights",
    )

    @property
    def networks(self) -> dict[str, Network | OtherNetwork]:
        """All networks that take part, by their role in the configuration."""
        if self.sft is not None:
            return {"teacher": self.network, "student": self.sft.student}
        if self.distillation is not None:
            return {"teacher": self.distillation.teacher, "student": self.network}
        return {"teacher" if self.model == "teacher" else "student": self.network}

    @property
    def stages(self) -> list[str]:
        """Names of the training's stages, in order."""
        return list(self.selections)


#: Stages of a student trained on reconstruction alone for as many stages as others.
RECONSTRUCTIONS = ("first", "second", "third")


def reconstruction_stages(count: int) -> list[str]:
    """Names of ``count`` stages on reconstruction; the last has the same name as in other
    trainings.
    """
    return [*(f"reconstruction_{nth}" for nth in RECONSTRUCTIONS[: count - 1]), "reconstruction"]


def distillation_stages(options: Distillation) -> list[str]:
    """Names of a distillation's stages, in order."""
    return ["joint"] if options.protocol == "joint" else ["features", "reconstruction"]


def training_plan(study: Study, model: str, seed: int) -> TrainingPlan:
    """The plan of one model of a study.

    Raises:
        ValueError: the study has no such model.
    """
    # Any student can start from this one, by a variant too.
    if model not in [*study.model_names(), TRAINED_START]:
        raise ValueError(f"model {model!r} is not in the study: {', '.join(study.model_names())}")
    networks, options = study.networks, study.distillation
    name, recipe = split_model_name(model)
    common: dict[str, Any] = {"model": model, "seed": seed, "training": study.training}
    if model == "sft_teacher":
        return TrainingPlan(
            network=networks.teacher,
            sft=SFTPlan(student=networks.student, losses=study.sft),
            selections={"student_friendly": "best"},
            **common,
        )
    from_sft: Literal["sft_blocks", "student"] = (
        "student" if options.start == "sft_trained" else "sft_blocks"
    )
    if model == TRAINED_START:
        return TrainingPlan(
            network=networks.student,
            selections={"reconstruction": "best"},
            warm_start="sft_blocks",
            **common,
        )
    if model in study.controls:
        stages = len(distillation_stages(options))
        if model == "student_as_long":
            # Of SFT, and of the student between it and distillation where there is one.
            stages += 1 + (options.start == "sft_trained")
        return TrainingPlan(
            network=networks.student,
            control=ControlPlan(stages=stages),
            selections=dict.fromkeys(reconstruction_stages(stages), "best"),
            warm_start=from_sft if recipe == "sft" else None,
            **common,
        )
    if recipe == "standard":
        return TrainingPlan(
            network=getattr(networks, name), selections={"reconstruction": "best"}, **common
        )
    loss = study.methods[name]
    settled: dict[str, Any] = {"start": "recipe"}
    if options.protocol != "joint" or loss.weight != "auto":
        settled["gradient_ratio"] = 1.0
    warm = options.start == "sft" or (options.start != "random" and RECIPES[recipe].sft_start)
    return TrainingPlan(
        network=networks.student,
        distillation=DistillationPlan(
            teacher=networks.teacher,
            method=name,
            # The recipe is in the model's name.
            loss=loss.model_copy(update={"recipes": None}),
            # What is settled here, or has no part in this training, defines nothing.
            options=options.model_copy(update=settled),
        ),
        selections={
            stage: options.feature_stage_selection if stage == "features" else "best"
            for stage in distillation_stages(options)
        },
        warm_start=from_sft if warm else None,
        **common,
    )
