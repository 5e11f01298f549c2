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
    Sampling,
    StudentFriendly,
    Training,
    available_methods,
)
from pipeline_src.config.networks import Network, Networks, feature_cascades
from pipeline_src.config.presets import apply_preset
from pipeline_src.config.recipes import RECIPES, RecipeName, needs_sft
from pipeline_src.config.section import PathText, Section, refuse_repeats
from pipeline_src.config.split import Folds

Repeated = Literal["seed", "mask", "split"]
Control = Literal["student_matched", "student_sft_start", "student_as_long"]
#: The student that the others start from under `distillation.start: sft_trained`.
TRAINED_START = "student_sft"
PAPER_METHODS = ["fitnets", "at", "cc", "fsp", "sp"]
# A name becomes a folder, a wildcard and a cell of a table.
NAME_PATTERN = r"^[a-z][a-z0-9_]{0,63}$"


def _refuse_bad_name(name: str, what: str) -> None:
    if not re.fullmatch(NAME_PATTERN, name):
        raise ValueError(
            f"{what} name {name!r} cannot name a folder; use up to 64 lower-case letters, digits "
            "and underscores, a letter first"
        )


def _shown(cascades: int | None) -> str:
    return "null" if cascades is None else str(cascades)


class Variant(Section):
    """One row of an ablation: the study with some keys changed."""

    title: str = Field(default="", description="name of the row; empty: the key")
    set: dict[str, Any] = Field(description="keys to change, nested as in the study")


class Ablation(Section):
    """Some of the study's models, trained again with each of several changes."""

    title: str = Field(default="", description="heading of the table; empty: the key")
    models: list[str] = Field(
        min_length=1, description="models compared, such as sft_teacher or sft_kd_at"
    )
    datasets: list[str] | None = Field(
        default=None, min_length=1, description="data sets it is run on; null: all"
    )
    accelerations: list[int] | None = Field(
        default=None, min_length=1, description="accelerations it is run at; null: all"
    )
    base: str = Field(default="as configured", description="name of the unchanged row")
    compare_with: str | None = Field(
        default=None,
        description="variant that the other rows are compared with; null: the unchanged row",
    )
    variants: dict[str, Variant] = Field(min_length=1, description="changed studies by name")


class Study(Section):
    """A study: data sets x accelerations x models x seeds."""

    study: str = Field(pattern=NAME_PATTERN, description="name; results go to results/{study}")
    title: str = Field(default="", description="heading of the report; empty: the name")
    preset: Literal["authors", "paper"] | None = Field(
        default=None,
        description="authors: every option as the published code has it; paper: as its text has "
        "it; null: the defaults below, the authors' forms without their padding",
    )
    data_root: PathText = Field(
        default=".",
        description="folder that the `path` of every source is relative to; `~` and $VARIABLES in "
        "it are expanded",
    )
    outdated: Literal["remake", "refuse"] = Field(
        default="remake",
        description="results whose manifests say that other settings or code made them: make them "
        "anew, or stop with a line",
    )
    seeds: list[int] = Field(
        default=[0], min_length=1, description="every model is trained once for each"
    )
    repeat_over: list[Repeated] = Field(
        default=["seed"],
        description="what is another for each of `seeds`: seed (always): initial weights and order "
        "of batches; mask: the drawn lines too; split: the drawn patients too, or the fold that is "
        "tested",
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
    recipes: list[RecipeName] = Field(
        default=["std_kd", "sft_kd"],
        description="std_kd: standard teacher, student from random weights; sft_kd: "
        "student-friendly teacher, student from its student blocks (SFT-KD-Recon); the other two "
        "combinations, sft_teacher_only and sft_start_only, tell which of both matters",
    )
    controls: list[Control] = Field(
        default=["student_matched", "student_sft_start"],
        description="students without distillation: student_matched from random weights for as "
        "many epochs as a distilled one; student_sft_start likewise from the SFT student blocks; "
        "student_as_long from random weights for as many as SFT and distillation together",
    )
    methods: dict[str, Method] = Field(
        default={name: Method() for name in PAPER_METHODS},
        description="distillation methods by name",
    )
    distillation: Distillation = Field(default=Distillation(), description="distillation")
    training: Training = Field(default=Training(), description="training of every model")
    evaluation: Evaluation = Field(default=Evaluation(), description="evaluation and pictures")
    ablations: dict[str, Ablation] = Field(
        default={}, description="further tables, each of some models under some changes"
    )

    @model_validator(mode="before")
    @classmethod
    def _fill_in_preset(cls, data: Any) -> Any:
        return apply_preset(data, PAPER_METHODS) if isinstance(data, dict) else data

    @field_validator("seeds", "repeat_over", "accelerations", "recipes", "controls")
    @classmethod
    def _no_repeats(cls, values: list[Any]) -> list[Any]:
        refuse_repeats(values)
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
            if value >= 1 << 63:  # columns of tables hold no larger one
                raise ValueError(f"seed {value} is too large; seeds are less than 2 to the 63")
        return values

    @field_validator("repeat_over")
    @classmethod
    def _seeds_repeat(cls, values: list[Repeated]) -> list[Repeated]:
        if "seed" not in values:
            raise ValueError(
                "seed is missing; weights and batches are drawn anew for each of seeds anyway"
            )
        return values

    @field_validator("datasets")
    @classmethod
    def _names(cls, datasets: dict[str, Dataset]) -> dict[str, Dataset]:
        titles = [dataset.title or name for name, dataset in datasets.items()]
        for name, title in zip(datasets, titles, strict=True):
            _refuse_bad_name(name, "data set")
            if titles.count(title) > 1:
                raise ValueError(f"two data sets are titled {title!r}")
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

    @field_validator("ablations")
    @classmethod
    def _ablation_names(cls, ablations: dict[str, Ablation]) -> dict[str, Ablation]:
        for name, ablation in ablations.items():
            for key in (name, *ablation.variants):
                _refuse_bad_name(key, "ablation")
            titles = [ablation.base, *(v.title or key for key, v in ablation.variants.items())]
            for title in titles:
                if titles.count(title) > 1:
                    raise ValueError(f"two rows of {name} are titled {title!r}")
            if ablation.compare_with not in (None, *ablation.variants):
                raise ValueError(
                    f"{name}.compare_with: no variant {ablation.compare_with!r}; there are "
                    f"{', '.join(ablation.variants)}"
                )
        return ablations

    @model_validator(mode="after")
    def _ablated_models_exist(self) -> Study:
        for name, ablation in self.ablations.items():
            for key, known in (
                ("datasets", list(self.datasets)),
                ("accelerations", self.accelerations),
            ):
                for value in getattr(ablation, key) or []:
                    if value not in known:
                        raise ValueError(
                            f"ablations.{name}.{key}: {value!r} is not among the study's "
                            f"{', '.join(map(str, known))}"
                        )
            for model in ablation.models:
                if model not in self.model_names():
                    raise ValueError(
                        f"ablations.{name}.models: no model {model!r}; there are "
                        f"{', '.join(self.model_names())}"
                    )
        return self

    @model_validator(mode="after")
    def _pair_is_defined(self) -> Study:
        teacher, student = self.networks.teacher, self.networks.student
        if teacher.cascades != student.cascades:
            raise ValueError(
                f"networks.student.cascades: {_shown(student.cascades)} differs from the teacher's "
                f"{_shown(teacher.cascades)}; SFT branches and the losses pair cascade k with "
                "cascade k"
            )
        if isinstance(teacher, Network) and isinstance(student, Network):
            self._pair_of_dc_cnns_is_defined(teacher, student)
        if teacher.cascades is None:
            self._refuse_student_friendly_training()
            return self
        if teacher.cascades < 2:
            raise ValueError(
                f"networks.teacher.cascades: {teacher.cascades} leaves no cascade for a student "
                "branch; use 2 or more"
            )
        if self.sft.branches is not None and self.sft.branches >= teacher.cascades:
            raise ValueError(
                f"sft.branches: {self.sft.branches} is more than the {teacher.cascades - 1} that "
                f"{teacher.cascades} cascades allow"
            )
        return self

    def _pair_of_dc_cnns_is_defined(self, teacher: Network, student: Network) -> None:
        if teacher.padding != student.padding:
            raise ValueError(
                f"networks.student.padding: {student.padding} differs from the teacher's "
                f"{teacher.padding}; features are compared pixel by pixel"
            )
        if self.sft.imitation_domain == "features" and teacher.features != student.features:
            raise ValueError(
                f"sft.imitation_domain: 'features' compares channel with channel, but the teacher "
                f"has {teacher.features} features and the student {student.features}"
            )

    def _refuse_student_friendly_training(self) -> None:
        """For networks without blocks that could be exchanged."""
        asked = [f"recipe {r}" for r in RECIPES if r in self._recipes_used() and needs_sft(r)]
        asked += [f"control {c}" for c in self.controls if c == "student_sft_start"]
        if self.distillation.start in ("sft", "sft_trained"):
            asked.append(f"distillation.start {self.distillation.start}")
        if asked:
            raise ValueError(
                f"networks: without `cascades`, {self.networks.teacher.name} has no blocks to "
                f"exchange, which the student-friendly training of {asked[0]} needs; use recipes: "
                "[std_kd], controls: [student_matched] and start: recipe, or networks with cascades"
            )

    def _recipes_used(self) -> set[RecipeName]:
        return {recipe for method in self.methods for recipe in self.recipes_of(method)}

    @model_validator(mode="after")
    def _methods_are_defined(self) -> Study:
        student = self.networks.student
        for name, method in self.methods.items():
            try:
                refuse_repeats(method.recipes or [])
            except ValueError as error:
                raise ValueError(f"methods.{name}.recipes: {error}") from None
            if method.weight != "auto" and self.distillation.protocol != "joint":
                raise ValueError(
                    f"methods.{name}.weight: {method.weight:g} weighs nothing under "
                    f"distillation.protocol {self.distillation.protocol!r}, where the feature loss "
                    "stands alone; leave it out, or use the joint protocol"
                )
            for cascade in method.cascades or []:
                if cascade > feature_cascades(student):
                    raise ValueError(
                        f"methods.{name}.cascades: {cascade} is beyond the networks' "
                        f"{feature_cascades(student)} cascades"
                    )
        for name in self.evaluation.panel_methods or []:
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
                if acceleration in dataset.masks:
                    continue
                if sampled < 1:
                    raise ValueError(
                        f"accelerations: {acceleration} leaves none of the {lines} lines of {name}"
                    )
                if sampled < self.sampling.center_lines:
                    raise ValueError(
                        f"sampling.center_lines: {self.sampling.center_lines} is more than the "
                        f"{sampled} lines of {name} at {acceleration}x ({lines} lines / "
                        f"{acceleration}); use {sampled} or fewer"
                    )
        return self

    @model_validator(mode="after")
    def _repeats_are_possible(self) -> Study:
        for name, dataset in self.datasets.items():
            split, of_split = dataset.split, f"datasets.{name}.split"
            if "mask" in self.repeat_over and dataset.masks:
                raise ValueError(
                    f"repeat_over: mask, but datasets.{name}.masks gives that of "
                    f"{min(dataset.masks)}x as a file, the same for all seeds; leave mask out of "
                    "repeat_over, or the file out of masks"
                )
            if isinstance(split, Folds):
                if "split" in self.repeat_over and split.fold is not None:
                    raise ValueError(
                        f"{of_split}.fold: {split.fold} is given, but repeat_over: split tests "
                        "another fold for each of seeds; leave one of them out"
                    )
                if "split" not in self.repeat_over and split.fold is None:
                    raise ValueError(
                        f"{of_split}.folds: {split.folds} folds are tested in turn with "
                        "repeat_over: [seed, split]; give that, or one fold with "
                        f"{of_split}.fold"
                    )
            elif "split" in self.repeat_over and not split.is_drawn:
                raise ValueError(
                    f"repeat_over: split, but nothing is drawn in {of_split}, whose parts are all "
                    "lists; leave split out of repeat_over, or give a part as a number, or folds"
                )
        return self

    def model_names(self) -> list[str]:
        """All trained models of one setting and seed, in the order of the paper's table."""
        started = [TRAINED_START] if self._has_trained_start() else []
        return [
            "teacher",
            *(["sft_teacher"] if self.networks.teacher.cascades else []),
            "student",
            *started,
            *self.controls,
            *self.distilled_names(),
        ]

    def _has_trained_start(self) -> bool:
        """Whether some student starts from the SFT blocks by way of a stage of reconstruction."""
        return self.distillation.start == "sft_trained" and (
            any(RECIPES[r].sft_start for r in self._recipes_used())
            or "student_sft_start" in self.controls
        )

    def distilled_names(self) -> list[str]:
        """Distilled students as `{recipe}_{method}`."""
        return [f"{recipe}_{name}" for name in self.methods for recipe in self.recipes_of(name)]

    def recipes_of(self, method: str) -> list[RecipeName]:
        """The recipes that a method's students are trained by."""
        return self.methods[method].recipes or self.recipes

    def settings(self, ablation: str | None = None) -> Iterator[tuple[str, int]]:
        """Data set and acceleration, every pair; or every pair that an ablation is run on."""
        spec = self.ablations[ablation] if ablation else None
        for dataset in (spec and spec.datasets) or self.datasets:
            for acceleration in (spec and spec.accelerations) or self.accelerations:
                yield dataset, acceleration

    def dataset_title(self, dataset: str) -> str:
        """A data set's title, or its name."""
        return self.datasets[dataset].title or dataset

    def setting_title(self, dataset: str, acceleration: str = "") -> str:
        """A setting's title; without an acceleration, that of its data set."""
        return f"{self.dataset_title(dataset)} {acceleration}".strip()
