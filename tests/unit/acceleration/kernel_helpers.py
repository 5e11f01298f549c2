"""Whether this machine should be able to compile and run the kernels, and what they are compared
with."""

from __future__ import annotations

import sys
from itertools import pairwise
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from pipeline_src.acceleration.compiled import CompilationError, find_compiler, kinds_here

Layers = list[tuple[Tensor, Tensor]]
FEATURES = 16


def absent(precision: str) -> str:
    """What is missing for kernels of a precision; where nothing is, failing to make them is a
    fault."""
    if not sys.platform.startswith("linux"):
        return "the kernels are tested on Linux"
    if not kinds_here(precision):
        return f"no processor for kernels in {precision}"
    try:
        find_compiler()
    except CompilationError as error:
        return str(error)
    return ""


needs_kernels = pytest.mark.skipif(bool(absent("fp32")), reason=absent("fp32"))
needs_bf16_kernels = pytest.mark.skipif(bool(absent("bf16")), reason=absent("bf16"))


def some_layers(depth: int, features: int = FEATURES, device: str = "cpu") -> Layers:
    torch.manual_seed(0)
    channels = [1, *[features] * (depth - 1), 1]
    return [
        (
            torch.randn(after, before, 3, 3).div(3 * before**0.5).to(device).requires_grad_(),
            torch.randn(after).to(device).requires_grad_(),
        )
        for before, after in pairwise(channels)
    ]


def by_the_library(
    image: Tensor, layers: Layers, middle: int | None
) -> tuple[Tensor, Tensor | None]:
    """In double precision."""
    x, feature = image.double(), None
    for number, (weight, bias) in enumerate(layers):
        x = F.conv2d(x, weight.double(), bias.double(), padding=1)
        if number < len(layers) - 1:
            x = x.relu()
        if number == middle:
            feature = x
    return x, feature


def gradients(
    values: tuple[Tensor, Tensor | None], used: list[int], image: Tensor, layers: Layers
) -> list[Tensor | None]:
    torch.manual_seed(1)
    upstream = [torch.randn(value.shape).to(value) for value in values if value is not None]
    found: Any = torch.autograd.grad(
        [values[i] for i in used],
        [image, *(tensor for layer in layers for tensor in layer)],
        [upstream[i] for i in used],
        retain_graph=True,
        allow_unused=True,
    )
    return list(found)
