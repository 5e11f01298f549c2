"""Decides whether a training uses this project's compiled convolution kernels or torch's
library.
"""

from __future__ import annotations

import torch

from pipeline_src.acceleration.compiled import CompilationError
from pipeline_src.acceleration.kernels import kernels_for
from pipeline_src.acceleration.speed_trial import bf16_times_as_fast, times_as_fast, why_slower
from pipeline_src.config.networks import Network, OtherNetwork
from pipeline_src.errors import InputError
from pipeline_src.planning.plans import TrainingPlan
from pipeline_src.planning.study_models import Models


def why_not_compiled(plan: TrainingPlan, device: torch.device) -> str:
    """Why a training uses torch's convolutions; empty if it uses the compiled kernels.

    Raises:
        InputError: the configuration requires the kernels, and they cannot be used.
    """
    wanted = plan.training.convolutions
    if wanted == "library":
        return "training.convolutions: library"
    reason = _obstacle(plan, device.type)
    if reason and wanted == "compiled":
        raise InputError(
            f"training.convolutions: 'compiled' asked for, but {reason}; use auto or library"
        )
    return reason


def why_none_compiled(models: Models) -> str:
    """Why a study's trainings on the CPU cannot all use the compiled kernels here; empty if they
    can.
    """
    seed = models.study.seeds[0]
    reasons = (_obstacle(models.plan(name, seed), "cpu") for name in models.names())
    return next(filter(None, reasons), "")


def why_not_bf16(models: Models) -> str:
    """That a study's trainings on the CPU would be faster in fp32, if they are in bf16 and would.

    Many processors multiply in bf16 no faster than in fp32, and the rounding is for nothing.
    """
    network = models.study.networks.teacher
    if models.study.training.precision != "bf16" or not isinstance(network, Network):
        return ""
    try:
        ratio = bf16_times_as_fast(network.features, network.depth)
    except CompilationError:
        return ""
    if ratio >= 1:
        return ""
    return (
        f"training.precision: bf16 takes {1 / ratio:.2f} times as long as fp32 on this processor, "
        "measured in turns; fp32 is also more exact"
    )


def described(plan: TrainingPlan, reason: str, device: torch.device) -> str:
    """The kind of kernels, or why torch's convolutions are used, for the manifest."""
    if reason or not isinstance(plan.network, Network):
        return f"library: {reason}"
    network, precision = plan.network, plan.training.precision
    kind = f"compiled: {kernels_for(network.features, precision, device.type).kind}"
    if plan.training.convolutions != "auto" or device.type != "cpu":
        return kind
    ratio = times_as_fast(network.features, network.depth, precision)
    return f"{kind}, measured {ratio:.1f} times as fast as torch's"


def _obstacle(plan: TrainingPlan, device: str) -> str:
    precision = plan.training.precision
    try:
        for network in plan.networks.values():
            if isinstance(network, OtherNetwork):
                return f"the kernels are for networks of kind dc_cnn, not {network.kind}"
            kernels_for(network.features, precision, device)
            if device == "cpu" and plan.training.convolutions == "auto":
                slower = why_slower(network.features, network.depth, precision)
                if slower:
                    return slower
    except CompilationError as error:
        return f"the kernels cannot be used: {error}"
    return ""
