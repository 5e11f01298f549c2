"""The study: everything that one run of the pipeline computes."""

from __future__ import annotations

import difflib
from collections.abc import Iterator
from typing import Any, Literal

from pydantic import Field, field_validator, model_validator

from pipeline_src.config.ablation import Ablation
from pipeline_src.config.author import Author
from pipeline_src.config.datasets import Dataset
from pipeline_src.config.distillation import (
    PAPER_METHODS,
    Distillation,
    Method,
    StudentFriendly,
    available_methods,
    is_papers,
)
from pipeline_src.config.error_bounds import refuse_impossible_bounds
from pipeline_src.config.evaluation import Evaluation
from pipeline_src.config.networks import Networks
from pipeline_src.config.presets import apply_preset
from pipeline_src.config.recipes import RECIPES, RecipeName
from pipeline_src.config.reconstruction import Reconstruction
from pipeline_src.config.robustness import Robustness, refuse_impossible_shifts
from pipeline_src.config.sampling import Sampling
from pipeline_src.config.section import PathText, Section, Title, refuse_repeats
from pipeline_src.config.setting import Setting, acceleration_name
from pipeline_src.config.study_checks import (
    NAME_PATTERN,
    refuse_bad_ablations,
    refuse_bad_name,
    refuse_impossible_masks,
    refuse_impossible_methods,
    refuse_impossible_pair,
    refuse_impossible_repeats,
    refuse_unknown_ablated,
    refuse_unknown_reconstructing,
)
from pipeline_src.config.training import Training

Repeated = Literal["seed", "mask", "split"]
#: Seeds are smaller: tables hold them as numbers beside empty cells.
MOST_SEED = 1 << 53
Control = Literal["student_matched", "student_sft_start", "student_as_long"]
#: The student that the others start from under `distillation.start: sft_trained`.
TRAINED_START = "student_sft"
#: Of a study that names none: the paper's, and plain imitation beside them.
DEFAULT_METHODS = [*PAPER_METHODS, "imitation"]


class Study(Section):
    """A study: data sets x accelerations x models x seeds."""

    study: str = Field(pattern=NAME_PATTERN, description="name; results go to results/{study}")
    title: Title = Field(default="", description="heading of the report; empty: the name")
    author: Author | None = Field(default=None, description="who runs it, for the RO-Crate")
    preset: Literal["authors", "paper"] | None = Field(
        default=None,
        description="authors: every option as in the published code; paper: as in its text; "
        "null: the defaults below, the authors' forms without their padding",
    )
    data_root: PathText = Field(
        default=".",
        description="folder that the `path` of every source is relative to; `~` and $VARIABLES in "
        "it are expanded; a relative one is looked up in the folder in which the command runs "
        "(that of snakemake's --directory), not in this file's",
    )
    outdated: Literal["remake", "refuse"] = Field(
        default="remake",
        description="results that were made with other settings, code or given files according to "
        "their manifests: make them again, or stop with a message",
    )
    seeds: list[int] = Field(
        default=[0], min_length=1, description="every model is trained once for each"
    )
    repeat_over: list[Repeated] = Field(
        default=["seed"],
        description="what differs for each of `seeds`: seed (always): initial weights and order "
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
        "combinations, sft_teacher_only and sft_start_only, show which of the two matters",
    )
    controls: list[Control] = Field(
        default=["student_matched", "student_sft_start"],
        description="students without distillation: student_matched from random weights for as "
        "many epochs as a distilled one; student_sft_start likewise from the SFT student blocks; "
        "student_as_long from random weights for as many as SFT and distillation together",
    )
    methods: dict[str, Method] = Field(
        default={name: Method() for name in DEFAULT_METHODS},
        description="distillation methods by name; the default: the paper's five, and imitation of "
        "the teacher's reconstruction",
    )
    distillation: Distillation = Field(default=Distillation(), description="distillation")
    training: Training = Field(default=Training(), description="training of every model")
    evaluation: Evaluation = Field(default=Evaluation(), description="evaluation and pictures")
    ablations: dict[str, Ablation] = Field(
        default={}, description="further tables, each of some models under some changes"
    )
    reconstruct: dict[str, Reconstruction] = Field(
        default={}, description="files of others that models of the study reconstruct, by name"
    )
    robustness: Robustness | None = Field(
        default=None,
        description="models under other conditions than those of their training; null: not tried",
    )

    @model_validator(mode="before")
    @classmethod
    def _fill_in_preset(cls, data: Any) -> Any:
        return apply_preset(data, DEFAULT_METHODS) if isinstance(data, dict) else data

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
            if value >= MOST_SEED:
                raise ValueError(
                    f"seed {value} is too large; tables hold numbers below {MOST_SEED}"
                )
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
            refuse_bad_name(name, "data set")
            if titles.count(title) > 1:
                raise ValueError(f"two data sets are titled {title!r}")
        return datasets

    @field_validator("methods")
    @classmethod
    def _known_methods(cls, methods: dict[str, Method]) -> dict[str, Method]:
        known = available_methods()
        for name, method in methods.items():
            refuse_bad_name(name, "method")
            if name not in known and method.module is None:
                near = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
                hint = f"did you mean {near[0]!r}?" if near else f"known: {', '.join(known)}"
                raise ValueError(f"unknown method {name!r}; {hint}")
        return {
            name: method.model_copy(update={"form": "authors"})
            if method.form is None and is_papers(name, method.module)
            else method
            for name, method in methods.items()
        }

    @field_validator("ablations")
    @classmethod
    def _ablation_names(cls, ablations: dict[str, Ablation]) -> dict[str, Ablation]:
        refuse_bad_ablations(ablations)
        return ablations

    @model_validator(mode="after")
    def _parts_fit_together(self) -> Study:
        for refuse in (
            refuse_unknown_ablated,
            refuse_unknown_reconstructing,
            refuse_impossible_shifts,
            refuse_impossible_bounds,
            refuse_impossible_pair,
            refuse_impossible_methods,
            refuse_impossible_masks,
            refuse_impossible_repeats,
        ):
            refuse(self)
        return self

    def recipes_used(self) -> set[RecipeName]:
        """The recipes that any method is distilled by."""
        return {recipe for method in self.methods for recipe in self.recipes_of(method)}

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
            any(RECIPES[r].sft_start for r in self.recipes_used())
            or "student_sft_start" in self.controls
        )

    def distilled_names(self) -> list[str]:
        """Distilled students as `{recipe}_{method}`."""
        return [f"{recipe}_{name}" for name in self.methods for recipe in self.recipes_of(name)]

    def recipes_of(self, method: str) -> list[RecipeName]:
        """The recipes that a method's students are trained by."""
        return self.methods[method].recipes or self.recipes

    def settings(self, ablation: str | None = None) -> Iterator[Setting]:
        """Every data set at every acceleration, or those that an ablation is run on."""
        spec = self.ablations[ablation] if ablation else None
        for dataset in (spec and spec.datasets) or self.datasets:
            for factor in (spec and spec.accelerations) or self.accelerations:
                yield Setting(dataset, acceleration_name(factor))

    def dataset_title(self, dataset: str) -> str:
        """A data set's title, or its name."""
        return self.datasets[dataset].title or dataset

    def setting_title(self, dataset: str, acceleration: str = "") -> str:
        """A setting's title; without an acceleration, that of its data set."""
        return f"{self.dataset_title(dataset)} {acceleration}".strip()
