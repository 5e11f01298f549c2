"""Configuration of one stage of training."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, PositiveFloat, PositiveInt

from pipeline_src.config.section import Section


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
        "faster on some processors, slower on others. Weights, data fidelity, losses and all "
        "evaluation are fp32",
    )
    device: Literal["auto", "cpu", "cuda"] = Field(
        default="auto", description="auto: a CUDA device if there is one, else the CPU"
    )
    convolutions: Literal["auto", "compiled", "library"] = Field(
        default="auto",
        description="compiled: the project's own kernels, which need a C compiler and AVX2 or "
        "AVX-512 (bf16: AVX-512 BF16), or on a GPU Triton; library: torch's; auto: compiled where "
        "that is possible; for a study on the CPU, settled when it is first started. Part of what "
        "defines a run",
    )
    threads: PositiveInt = Field(
        default=2,
        description="CPU threads of one training; part of what defines a run, since sums are "
        "split among threads",
    )
