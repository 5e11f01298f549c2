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

from pipeline_src.acceleration.cascade import Kernels
from pipeline_src.acceleration.compiled import CompilationError, find_compiler, kinds_here
from pipeline_src.acceleration.slicewise import convolve_with_gradients

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


def assert_about_as_near_as_the_library(
    kernels: Kernels, depth: int, features: int, size: tuple[int, int]
) -> None:
    """Kernels in bf16 and torch's convolutions in bf16, both against double precision."""
    layers = some_layers(depth, features)
    image = torch.rand(3, 1, *size, requires_grad=True)
    middle = (depth + 1) // 2 - 1
    low = [(weight.bfloat16(), bias.bfloat16()) for weight, bias in layers]
    expected = by_the_library(image, layers, middle)
    ours = kernels.convolve(image, layers, middle)
    theirs = convolve_with_gradients(image.bfloat16(), low, middle)
    assert [value.dtype for value in ours if value is not None] == [torch.float32] * 2
    found, right, other = (
        [*values, *gradients(values, [0, 1], image, layers)] for values in (ours, expected, theirs)
    )
    for mine, true, library in zip(found, right, other, strict=True):
        assert mine is not None
        assert true is not None
        assert library is not None
        assert (mine - true).norm() < 2 * (library - true).norm() + 0.02 * true.norm()
    # The last output, in which all errors meet.
    assert (ours[0] - expected[0]).norm() < 1.2 * (theirs[0] - expected[0]).norm()
