"""Attention maps of features and the authors' way of comparing them."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor


def energy_map(feature: Tensor) -> Tensor:
    """Channel sum of squares `(batch, rows, columns)` of `(batch, channels, rows, columns)`."""
    return feature.square().sum(dim=1)


def batch_normalised_difference(student: Tensor, teacher: Tensor) -> Tensor:
    """Mean |q_S - q_T| of maps that are L2-normalised over the batch at each pixel.

    This is what the authors' code computes: its normalisation runs along axis 0, the batch.
    """
    return (F.normalize(student, dim=0) - F.normalize(teacher, dim=0)).abs().mean()
