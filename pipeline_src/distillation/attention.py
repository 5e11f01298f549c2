"""Attention maps of features, and the comparison of such maps in the authors' code."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

#: Below this norm a pixel is divided by this instead, as `torch.nn.functional.normalize` does.
_SMALLEST_NORM = 1e-12


def energy_map(feature: Tensor) -> Tensor:
    """Sum of squares over the channels: `(batch, channels, rows, columns)` to `(batch, rows,
    columns)`.
    """
    found: Tensor = _EnergyMap.apply(feature)
    return found


class _EnergyMap(torch.autograd.Function):
    """Sum of squares over the channels, whose gradient takes one pass and no copy of the
    squares.
    """

    @staticmethod
    def forward(ctx: Any, feature: Tensor) -> Tensor:
        ctx.save_for_backward(feature)
        return feature.square().sum(dim=1)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        (feature,) = ctx.saved_tensors
        found: Tensor = feature * (2 * gradient)[:, None]
        return found


def batch_normalised_difference(student: Tensor, teacher: Tensor) -> Tensor:
    """Mean |q_S - q_T| of maps that are L2-normalised over the batch at each pixel.

    This is what the authors' code computes: it normalises along axis 0, the batch.

    Args:
        student: `(batch, ...)`.
        teacher: of the same shape.

    Returns:
        A scalar.
    """
    return (batch_normalised(student) - batch_normalised(teacher)).abs().mean()


def batch_normalised(maps: Tensor) -> Tensor:
    """L2-normalise maps `(batch, ...)` over the batch at each pixel; the shape stays the same."""
    # The library's norm along the first axis takes as long as a convolution.
    squares = maps.square().sum(dim=0).clamp_min(_SMALLEST_NORM**2)
    return maps / squares.sqrt()
