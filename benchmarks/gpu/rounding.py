"""How far rounding alone moves a gradient: float64 in which every result is moved at random.

A gradient is a sum over pixels, and near a minimum little of it is left; a feature loss compares
what is almost the same. Such a gradient has few digits in any arithmetic of few digits, however
right. How many is measured here, without any of the code that is judged.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from pipeline_src.models.dccnn import Cascade

#: Half the distance of two neighbouring numbers from 1 up, by number format.
UNITS = {"fp32": 2.0**-24, "tf32": 2.0**-11, "bf16": 2.0**-8}


@contextmanager
def rounded(module: nn.Module, precision: str, seed: int) -> Iterator[None]:
    """Work on the CPU in float64 as if it were rounded: weights and features of the convolutions
    in ``module`` are moved by up to a unit of the number format, and in fp32 so is all else.

    Gradients are moved with them, since what is moved on the way up counts on the way down.
    """
    generator = torch.Generator().manual_seed(seed)
    cascades = [part for part in module.modules() if isinstance(part, Cascade)]
    for cascade in cascades:
        work: Any = partial(_convolve, cascade, UNITS[precision], generator)
        cascade._convolve = work  # type: ignore[method-assign]
    try:
        # Beside a coarser format, what fp32 does to the rest counts for nothing.
        with _Rounding(generator) if precision == "fp32" else nullcontext():
            yield
    finally:
        for cascade in cascades:
            del cascade._convolve


class _Rounding(TorchDispatchMode):
    """Moves every new tensor in double precision by up to a unit of fp32."""

    def __init__(self, generator: torch.Generator) -> None:
        super().__init__()
        self._generator = generator

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        out = func(*args, **(kwargs or {}))
        # What is written in place or only looked at otherwise was moved when it was made.
        if not any(one.alias_info for one in func._schema.returns):
            for tensor in tree_leaves(out):
                if isinstance(tensor, Tensor) and tensor.dtype == torch.float64:
                    tensor.mul_(_factors(tensor, UNITS["fp32"], self._generator))
        return out


def _factors(like: Tensor, unit: float, generator: torch.Generator) -> Tensor:
    drawn = torch.rand(like.shape, generator=generator, dtype=like.dtype)
    return 1 + unit * (2 * drawn - 1)


def _convolve(cascade: Cascade, unit: float, generator: torch.Generator, image: Tensor) -> Tensor:
    """As the cascade does on a GPU, moved."""

    def moved(tensor: Tensor) -> Tensor:
        return tensor * _factors(tensor, unit, generator)

    x, last = moved(image), len(cascade.convolutions)
    for number, convolution in enumerate(cascade.convolutions, start=1):
        weight, bias = convolution.weight, convolution.bias
        assert isinstance(weight, Tensor)
        assert isinstance(bias, Tensor)
        x = moved(F.conv2d(x, moved(weight), moved(bias), padding=1))
        x = x.relu() if number < last else x
        x = cascade.mid(x) if number == cascade.middle < last else x
    return x
