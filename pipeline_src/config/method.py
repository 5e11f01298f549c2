"""Configuration of the method: sampling, SFT, distillation, training."""

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

from pipeline_src.config.networks import Network as Network
from pipeline_src.config.networks import Networks as Networks
from pipeline_src.config.recipes import RecipeName
from pipeline_src.config.section import Section
from pipeline_src.modules import source_of_module

LOSSES_FOLDER = Path(__file__).resolve().parent.parent / "distillation" / "losses"


def available_methods() -> list[str]:
    """Names of the distillation methods: one module of `distillation/losses` each."""
    return sorted(p.stem for p in LOSSES_FOLDER.glob("*.py") if not p.stem.startswith("_"))


class Sampling(Section):
    """Cartesian masks of whole phase-encode lines, with the kt-FOCUSS density of DC-CNN."""

    seed: NonNegativeInt = Field(default=0, description="seed of the drawn lines")
    center_lines: NonNegativeInt = Field(
        default=10, description="lowest frequencies that are always sampled"
    )


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

    form: Literal["authors", "original"] = Field(
        default="authors",
        description="authors: as the published code computes it; original: as the method's own "
        "paper defines it",
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


class Training(Section):
    """One stage of training, the same for every model: Adam with StepLR on mini-batches."""

    epochs: int = Field(default=150, ge=1, le=1_000_000, description="epochs per stage")
    batch_size: PositiveInt = Field(default=4, description="slices per batch")
    learning_rate: PositiveFloat = Field(default=1e-3, description="Adam's initial rate")
    lr_step: PositiveInt = Field(default=40, description="epochs between reductions of the rate")
    lr_factor: float = Field(default=0.1, gt=0, le=1, description="factor of each reduction")
    precision: Literal["fp32", "tf32", "bf16"] = Field(
        default="fp32",
        description="arithmetic of the convolutions in training: fp32; tf32 (CUDA only); bf16, "
        "faster where the hardware has it. Weights, data fidelity, losses and all evaluation are "
        "fp32",
    )
    device: Literal["auto", "cpu", "cuda"] = Field(
        default="auto", description="auto: a CUDA device if there is one, else the CPU"
    )
    convolutions: Literal["auto", "compiled", "library"] = Field(
        default="auto",
        description="of trainings on the CPU: compiled: the project's own kernels, which need a "
        "C compiler and AVX2 or AVX-512 (bf16: AVX-512 BF16); library: torch's; auto: compiled "
        "where that is possible; for a study, settled when it is first started. Part of what "
        "defines a run",
    )
    threads: PositiveInt = Field(
        default=2,
        description="CPU threads of one training; part of what defines a run, since sums are "
        "split among threads",
    )


class Margins(Section):
    """Differences that do not matter, per metric in its unit: what lies within is equivalent."""

    psnr_db: PositiveFloat | None = Field(default=0.05, description="PSNR (dB)")
    ssim: PositiveFloat | None = Field(default=0.0005, description="SSIM")
    hfn: PositiveFloat | None = Field(default=None, description="HFN; null: not tested")
    vif: PositiveFloat | None = Field(default=None, description="VIF; null: not tested")
    nmse: PositiveFloat | None = Field(default=None, description="NMSE; null: not tested")


class ExpectedSpread(Section):
    """How far the difference between two models is expected to vary, for the effect that a study of
    this size can detect."""

    between_seeds_db: PositiveFloat = Field(
        default=0.1, description="standard deviation between seeds, of the patients' mean (dB)"
    )
    between_patients_db: PositiveFloat = Field(
        default=0.1, description="standard deviation between patients, of the seeds' mean (dB)"
    )


class Evaluation(Section):
    """How differences are judged, and what is shown of the reconstructions."""

    margins: Margins = Field(
        default=Margins(),
        description="margins of equivalence, fixed before the results are known",
    )
    expected_spread: ExpectedSpread = Field(
        default=ExpectedSpread(), description="for the detectable effect in `estimate`"
    )

    panel_methods: list[str] | None = Field(
        default=None,
        min_length=1,
        description="methods whose students are shown in panels, curves and schemes; null: the "
        "first, and in curves attention transfer where there is one, as in the paper",
    )
