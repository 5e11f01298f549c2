"""Whether a training convolves with this project's compiled kernels or with torch's library."""

from __future__ import annotations

import torch

from pipeline_src.config.method import Network
from pipeline_src.config.plans import TrainingPlan
from pipeline_src.errors import InputError
from pipeline_src.kernels.cascade import Kernels
from pipeline_src.kernels.compiled import CompilationError


def why_library(plan: TrainingPlan, device: torch.device) -> str:
    """Why a training convolves with the library; empty where it uses the compiled kernels.

    Raises:
        InputError: the kernels are asked for and cannot be had.
    """
    wanted = plan.training.convolutions
    if wanted == "library":
        return "training.convolutions: library"
    reason = _obstacle(plan, device)
    if reason and wanted == "compiled":
        raise InputError(
            f"training.convolutions: 'compiled' asked for, but {reason}; use auto or library"
        )
    return reason


def _obstacle(plan: TrainingPlan, device: torch.device) -> str:
    if device.type != "cpu":
        return f"the kernels are for the CPU, and the device is {device.type}"
    try:
        for network in _networks(plan):
            if network.depth < 2:
                return "the kernels need two convolutions a cascade at least"
            Kernels(network.features, plan.training.precision)
    except CompilationError as error:
        return f"the kernels cannot be compiled: {error}"
    return ""


def _networks(plan: TrainingPlan) -> list[Network]:
    others = [
        plan.sft.student if plan.sft else None,
        plan.distillation.teacher if plan.distillation else None,
    ]
    return [plan.network, *(network for network in others if network)]
