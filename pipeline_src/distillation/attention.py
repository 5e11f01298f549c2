"""Attention maps of features and the authors' way of comparing them."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

#: Below this norm a pixel is divided by this instead, as `torch.nn.functional.normalize` does.
_SMALLEST_NORM = 1e-12


def energy_map(feature: Tensor) -> Tensor:
    """Channel sum of squares `(batch, rows, columns)` of `(batch, channels, rows, columns)`."""
    found: Tensor = _EnergyMap.apply(feature)
    return found


class _EnergyMap(torch.autograd.Function):
    """The gradient is 2 g x in one pass, without a copy of the squares."""

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

    This is what the authors' code computes: its normalisation runs along axis 0, the batch.
    """
    return (batch_normalised(student) - batch_normalised(teacher)).abs().mean()


def batch_normalised(maps: Tensor) -> Tensor:
    """Maps `(batch, ...)`, L2-normalised over the batch at each pixel."""
    # The library's norm along the first axis takes as long as a convolution.
    squares = maps.square().sum(dim=0).clamp_min(_SMALLEST_NORM**2)
    return maps / squares.sqrt()
