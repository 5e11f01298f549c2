"""Casts the weights of all convolutions to the number format of the computation, once per step.

If each convolution cast its own weights, that would be two small kernels for every weight and bias,
a hundred in a step of a teacher in bf16; here it is two for all of them.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from pipeline_src.models.convolution import Convolution
from pipeline_src.models.dccnn import Cascade


class Casts:
    """While this context is open, the convolutions of a module use weights that were cast together
    when it was entered; gradients go to the weights themselves, which keep their format.

    Convolutions that compute in the format of their weights are not changed. The numbers are the
    same as without it, as long as no convolution runs twice in one context.
    """

    def __init__(self, module: nn.Module) -> None:
        self._formats: dict[torch.dtype, list[Convolution]] = {}
        for cascade in module.modules():
            if isinstance(cascade, Cascade) and cascade.arithmetic is not None:
                for convolution in cascade.convolutions:
                    assert isinstance(convolution, Convolution)
                    if convolution.weight.dtype != cascade.arithmetic:
                        self._formats.setdefault(cascade.arithmetic, []).append(convolution)

    def __enter__(self) -> None:
        for arithmetic, convolutions in self._formats.items():
            own = [t for c in convolutions for t in (c.weight, c.bias)]
            cast = _Cast.apply(arithmetic, *own)
            for convolution, pair in zip(
                convolutions, zip(cast[::2], cast[1::2], strict=True), strict=True
            ):
                convolution.cast = pair

    def __exit__(self, *_: object) -> None:
        for convolutions in self._formats.values():
            for convolution in convolutions:
                convolution.cast = None


class _Cast(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, arithmetic: torch.dtype, *tensors: Tensor) -> tuple[Tensor, ...]:
        ctx.dtype = tensors[0].dtype
        # A weight without a gradient, as in a cascade that no loss reaches, gets none.
        ctx.set_materialize_grads(False)
        return _cast(tensors, arithmetic)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor | None) -> tuple[Tensor | None, ...]:
        given = tuple(g for g in gradients if g is not None)
        cast = iter(_cast(given, ctx.dtype) if given else ())
        return (None, *(None if g is None else next(cast) for g in gradients))


def _cast(tensors: tuple[Tensor, ...], dtype: torch.dtype) -> tuple[Tensor, ...]:
    """Cast tensors in their own memory layouts, which the fused copy needs."""
    places = [torch.empty_like(t, dtype=dtype) for t in tensors]
    torch._foreach_copy_(places, list(tensors))
    return tuple(places)
