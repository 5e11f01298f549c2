"""The 3x3 convolution of the networks, with its slow corners on the CPU done otherwise.

A convolution of the library from or to one channel, and its sum for the bias, use a fraction of
the processor. Both are small matrix products here; everything else is the library's.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.function import once_differentiable


class Convolution(nn.Conv2d):
    """3x3 convolution, one pixel of zero padding, in the number format of its input.

    The weights are kept in single precision and cast when the input is of another format.
    """

    def __init__(self, channels_in: int, channels_out: int) -> None:
        super().__init__(channels_in, channels_out, kernel_size=3, padding=1)

    def forward(self, input: Tensor) -> Tensor:
        """`(batch, channels_in, rows, columns)` to `(batch, channels_out, rows, columns)`."""
        assert self.bias is not None
        weight, bias = self.weight.to(input.dtype), self.bias.to(input.dtype)
        if input.device.type != "cpu":
            return F.conv2d(input, weight, bias, padding=1)
        out: Tensor = _CPUConvolution.apply(input, weight, bias)
        return out


class _CPUConvolution(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, image: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        ctx.save_for_backward(image, weight)
        if len(weight) > 1:
            return F.conv2d(image, weight, bias, padding=1)
        # One number a tap and pixel, then each tap moved to where it counts.
        taps = torch.bmm(_by_tap(weight[0], len(image)), _pixels(image).mT)
        moved = _sum_shifted(taps, image.shape[2:], flip=True)
        return (moved + bias).to(image.dtype)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, Tensor, Tensor]:
        image, weight = ctx.saved_tensors
        wanted = ctx.needs_input_grad[0]
        of_image: Tensor | None = None
        if len(weight) == 1:
            if wanted:
                of_image = _library_gradients(gradient, image, weight, True, False)[0]
            of_weight = (
                torch.bmm(_shifted(gradient), _pixels(image)).sum(0).mT.reshape(weight.shape)
            )
            return of_image, of_weight, gradient.sum().reshape(1)
        one = weight.shape[1] == 1
        of_image, of_weight = _library_gradients(gradient, image, weight, wanted and not one, True)
        if one and wanted:
            taps = torch.bmm(_by_tap(weight[:, 0], len(image)), _pixels(gradient).mT)
            of_image = _sum_shifted(taps, image.shape[2:], flip=False).to(image.dtype)
        ones = gradient.new_ones(1, 1, gradient.shape[2] * gradient.shape[3])
        of_bias = torch.matmul(ones, _pixels(gradient)).sum((0, 1))
        return of_image, of_weight, of_bias


def _library_gradients(
    gradient: Tensor, image: Tensor, weight: Tensor, of_image: bool, of_weight: bool
) -> tuple[Any, Any]:
    """Gradients with respect to image and weight, those asked for."""
    done = torch.ops.aten.convolution_backward(
        gradient.contiguous(memory_format=torch.channels_last),
        image,
        weight,
        None,
        [1, 1],
        [1, 1],
        [1, 1],
        False,
        [0, 0],
        1,
        [of_image, of_weight, False],
    )
    return done[0], done[1]


def _pixels(image: Tensor) -> Tensor:
    """`(batch, channels, rows, columns)` as `(batch, pixels, channels)`."""
    return image.permute(0, 2, 3, 1).flatten(1, 2)


def _by_tap(kernel: Tensor, batch: int) -> Tensor:
    """`(channels, 3, 3)` as `(batch, 9, channels)`."""
    return kernel.flatten(1).mT.expand(batch, -1, -1)


def _sum_shifted(taps: Tensor, size: torch.Size, *, flip: bool) -> Tensor:
    """Sum of nine images `(batch, 9, pixels)`, that of tap (i, j) moved by (i - 1, j - 1) pixels,
    or against it with ``flip``: `(batch, 1, rows, columns)` in single precision.
    """
    rows, columns = size
    images = taps.unflatten(2, (rows, columns))
    # One pixel of room on every side for what moves out of the image.
    total = taps.new_zeros(len(taps), rows + 2, columns + 2, dtype=torch.float32)
    for tap in range(9):
        i, j = divmod(8 - tap if flip else tap, 3)
        total[:, i : i + rows, j : j + columns] += images[:, tap]
    return total[:, None, 1:-1, 1:-1]


def _shifted(image: Tensor) -> Tensor:
    """The nine images that `_sum_shifted` with ``flip`` would add up: `(batch, 9, pixels)`."""
    rows, columns = image.shape[2:]
    padded = F.pad(image[:, 0], (1, 1, 1, 1))
    windows = [
        padded[:, 2 - i : 2 - i + rows, 2 - j : 2 - j + columns] for i in range(3) for j in range(3)
    ]
    return torch.stack(windows, dim=1).flatten(2)
