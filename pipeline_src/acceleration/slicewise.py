"""Computes a cascade's convolutions and gradients on the CPU, a few slices at a time.

The features of a slice and their gradients then stay in the processor's cache from one convolution
to the next; torch would write each convolution of the whole batch to memory and read it again.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import islice
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from pipeline_src.models.convolution import convolve, gradients

#: Bytes of one layer's features that are processed at a time; the best of those measured
#: (`python -m benchmarks`).
CHUNK_BYTES = 6 << 20

Pairs = Sequence[tuple[Tensor, Tensor]]


def convolve_with_gradients(
    image: Tensor, layers: Pairs, middle: int | None = None
) -> tuple[Tensor, Tensor | None]:
    """Apply the convolutions one after the other, with ReLU after each but the last.

    Args:
        image: `(batch, 1, rows, columns)`.
        layers: weight `(channels_out, channels_in, 3, 3)` and bias, shape `(channels_out,)`, of
            each convolution, in the number format of ``image``.
        middle: the layer, counted from 0, whose features are returned too.

    Returns:
        The last convolution's output `(batch, 1, rows, columns)`, and the ReLU output of layer
            ``middle`` `(batch, channels, rows, columns)` in single precision at least, or None if
            it is not asked for.
    """
    out, found = _Convolutions.apply(middle, image, *(t for layer in layers for t in layer))
    return out, found


class _Convolutions(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, middle: int | None, image: Tensor, *flat: Tensor
    ) -> tuple[Tensor, Tensor | None]:
        weights, biases = flat[::2], flat[1::2]
        found: Tensor | None = None
        if middle is not None:
            shape = (len(image), len(weights[middle]), *image.shape[2:])
            single = torch.promote_types(image.dtype, torch.float32)
            found = torch.empty(shape, dtype=single, memory_format=torch.channels_last)
        outs: list[Tensor] = []
        features: list[Tensor] = []
        done = 0
        for chunk in image.split(slices_at_once(image, weights)):
            x = chunk
            for number in range(len(weights) - 1):
                x = convolve(x, weights[number], biases[number]).relu_()
                features.append(x)
                if number == middle and found is not None:
                    found[done : done + len(chunk)] = x
            outs.append(convolve(x, weights[-1], biases[-1]))
            done += len(chunk)
        ctx.middle, ctx.layers = middle, len(weights)
        ctx.set_materialize_grads(False)
        ctx.save_for_backward(image, *weights, *features)
        return torch.cat(outs), found

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, of_out: Tensor | None, of_middle: Tensor | None) -> tuple[Any, ...]:
        image, *rest = ctx.saved_tensors
        weights, features = rest[: ctx.layers], iter(rest[ctx.layers :])
        sums: list[Tensor | None] = [None] * (2 * ctx.layers)
        of_images: list[Tensor] = []
        done = 0
        for chunk in image.split(slices_at_once(image, weights)):
            part = slice(done, done + len(chunk))
            done += len(chunk)
            inputs = [chunk, *islice(features, ctx.layers - 1)]
            gradient = None if of_out is None else of_out[part]
            for number in reversed(range(ctx.layers)):
                if number == ctx.middle and of_middle is not None:
                    own = of_middle[part].to(image.dtype)
                    gradient = own if gradient is None else gradient + own
                if gradient is None:
                    continue
                if number < ctx.layers - 1:
                    gradient = torch.ops.aten.threshold_backward(gradient, inputs[number + 1], 0)
                wanted = number > 0 or ctx.needs_input_grad[1]
                gradient, of_weight, of_bias = gradients(
                    gradient, inputs[number], weights[number], of_image=wanted
                )
                _add(sums, 2 * number, of_weight)
                _add(sums, 2 * number + 1, of_bias)
            if gradient is not None:
                of_images.append(gradient)
        return (None, torch.cat(of_images) if of_images else None, *sums)


def _add(sums: list[Tensor | None], place: int, addend: Tensor) -> None:
    before = sums[place]
    sums[place] = addend if before is None else before.add_(addend)


def slices_at_once(image: Tensor, weights: Sequence[Tensor]) -> int:
    """How many slices are processed together.

    Args:
        image: `(batch, 1, rows, columns)`.
        weights: of all layers, each of shape `(channels_out, channels_in, 3, 3)`.
    """
    rows, columns = image.shape[2:]
    widest = max(map(len, weights))
    return max(1, CHUNK_BYTES // (widest * rows * columns * image.element_size()))
