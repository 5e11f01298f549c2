"""Configuration of student-friendly training and of distillation."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from pydantic import (
    Field,
    NonNegativeFloat,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
)

from pipeline_src.config.recipes import RecipeName
from pipeline_src.config.section import Section
from pipeline_src.modules import source_of_module

#: The paper's methods, whose code and own papers differ.
PAPER_METHODS = ("fitnets", "at", "cc", "fsp", "sp")
LOSSES_FOLDER = Path(__file__).resolve().parent.parent / "distillation" / "losses"


def available_methods() -> list[str]:
    """Names of the distillation methods: one module of `distillation/losses` each."""
    return sorted(p.stem for p in LOSSES_FOLDER.glob("*.py") if not p.stem.startswith("_"))


def is_papers(name: str, module: str | None) -> bool:
    """Whether a method is one of the paper's, and not a user's own of that name."""
    return name in PAPER_METHODS and module is None


class StudentFriendly(Section):
    """Student-friendly training of the teacher: L_SFT = L_rec^T + L_rec^S + L_imit."""

    teacher_weight: NonNegativeFloat = Field(default=1.0, description="weight of L_rec^T")
    student_weight: NonNegativeFloat = Field(default=1.0, description="weight of L_rec^S")
    imitation_weight: NonNegativeFloat = Field(default=1.0, description="weight of L_imit")
    imitation_domain: Literal["image", "features"] = Field(
        default="image",
        description="image: branches imitate the teacher's reconstruction; features: their middle "
        "features imitate the teacher's of the same cascade (the paper's ablation)",
    )
    branches: PositiveInt | None = Field(
        default=None,
        description="branches, leaving the teacher after cascades 1, 2, ...; null: one after "
        "every cascade but the last",
    )
    imitation_normalisation: Literal["mean", "numel"] = Field(
        default="numel",
        description="mean: L_imit as the paper writes it; numel: divided once more by the "
        "number of elements of the batch, as the authors' code does",
    )


class Method(Section):
    """One distillation method."""

    form: Literal["authors", "original"] | None = Field(
        default=None,
        description="authors: as the published code computes it; original: as the method's own "
        "paper defines it; null: authors for the paper's five, none for a loss without forms",
    )
    module: str | None = Field(
        default=None,
        description="import path of the module that registers the loss under this method's name; "
        "null: `pipeline_src.distillation.losses.NAME`",
    )
    cascades: list[PositiveInt] | None = Field(
        default=None,
        min_length=1,
        description="cascades whose features are compared, counted from 1; null: the paper's",
    )
    recipes: list[RecipeName] | None = Field(
        default=None, min_length=1, description="recipes of this method; null: the study's"
    )
    weight: PositiveFloat | Literal["auto"] = Field(
        default="auto",
        description="weight of the feature loss beside the reconstruction loss in the joint "
        "protocol; auto: balanced at the start to `distillation.gradient_ratio`, and recorded in "
        "the manifest",
    )

    options: dict[str, Any] = Field(
        default={}, description="the loss's own options; `check` refuses those it does not have"
    )

    def source(self, name: str) -> Path:
        """The file of the loss, which its trainings depend on.

        Raises:
            InputError: its module cannot be found.
        """
        if self.module is None:
            return LOSSES_FOLDER / f"{name}.py"
        return source_of_module(self.module, f"methods.{name}.module")


class Distillation(Section):
    """How a feature loss and the reconstruction loss are combined."""

    protocol: Literal["two_stage", "joint"] = Field(
        default="two_stage",
        description="two_stage: the feature loss alone, then reconstruction (authors' code); "
        "joint: both in one stage (the paper's Algorithm 1)",
    )
    start: Literal["recipe", "random", "sft", "sft_trained"] = Field(
        default="recipe",
        description="where a student starts: recipe: from random weights or the SFT student "
        "blocks, as its recipe says; sft_trained: likewise, but from a student that was first "
        "trained on reconstruction from those blocks, for a whole stage (`studentSFTN`, what works "
        "in the authors' code); random: all from random weights (what their feature scripts do as "
        "published, which load nothing); sft: all from the blocks",
    )
    feature_stage_selection: Literal["best", "last"] = Field(
        default="best",
        description="weights that leave the feature stage of two_stage: those of the lowest "
        "validation feature loss (authors' code), or the last",
    )
    gradient_ratio: PositiveFloat = Field(
        default=1.0,
        description="where a method's `weight` is auto: norm of the weighted feature loss's "
        "gradient over that of the reconstruction loss, at the student's start",
    )
    imitation_weight: NonNegativeFloat = Field(
        default=0.0,
        description="weight of |x_S - x_T| wherever the student is trained on reconstruction",
    )
    teacher_cache_mib: NonNegativeInt = Field(
        default=2048,
        description="memory for what the loss needs of the frozen teacher; beyond it the "
        "teacher runs again for each batch",
    )
