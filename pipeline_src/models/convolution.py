"""3x3 convolutions with one pixel of zero padding, and their gradients, fast on the CPU.

Torch's own convolution uses only a fraction of the processor when it has one input or one output
channel. Both cases are small matrix products here; all others use torch's.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class Convolution(nn.Conv2d):
    """3x3 convolution with one pixel of zero padding, in the number format of its input.

    The weights are kept in single precision.

    Attributes:
        cast: weight and bias in another number format, if they were cast beforehand.
    """

    def __init__(self, channels_in: int, channels_out: int) -> None:
        super().__init__(channels_in, channels_out, kernel_size=3, padding=1)
        self.cast: tuple[Tensor, Tensor] | None = None

    def forward(self, input: Tensor) -> Tensor:
        """`(batch, channels_in, rows, columns)` to `(batch, channels_out, rows, columns)`."""
        weight, bias = self.values(input.dtype)
        if input.device.type == "cpu" and not torch.is_grad_enabled():
            return convolve(input, weight, bias)
        return F.conv2d(input, weight, bias, padding=1)

    def values(self, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
        """Weight `(channels_out, channels_in, 3, 3)` and bias, shape `(channels_out,)`, in a number
        format.
        """
        assert self.bias is not None
        if self.cast is not None and self.cast[0].dtype == dtype:
            return self.cast
        return self.weight.to(dtype), self.bias.to(dtype)


def convolve(image: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """3x3 convolution with one pixel of zero padding.

    Args:
        image: `(batch, channels_in, rows, columns)`.
        weight: `(channels_out, channels_in, 3, 3)`.
        bias: `(channels_out,)`.

    Returns:
        `(batch, channels_out, rows, columns)`.
    """
    if len(weight) > 1:
        return F.conv2d(image, weight, bias, padding=1)
    # One number per tap and pixel; then the numbers of each tap are shifted to their pixels.
    moved = _sum_shifted(_by_tap(image, weight[0]), flip=True)
    return (moved + bias).to(image.dtype)


def gradients(
    gradient: Tensor, image: Tensor, weight: Tensor, *, of_image: bool
) -> tuple[Tensor | None, Tensor, Tensor]:
    """Gradients with respect to image (None unless ``of_image``), weight and bias.

    Args:
        gradient: with respect to the output, `(batch, channels_out, rows, columns)`.
        image: the input, `(batch, channels_in, rows, columns)`.
        weight: `(channels_out, channels_in, 3, 3)`.
        of_image: whether the gradient with respect to the image is needed.

    Returns:
        Tensors of the shapes of image, weight and bias, `(channels_out,)`.
    """
    if len(weight) == 1:
        found = library_gradients(gradient, image, weight, True, False)[0] if of_image else None
        # Shifting the gradient is the same as shifting the image the other way.
        of_weight = torch.bmm(_moved(gradient), _pixels(image)).sum(0).flip(0)
        return found, of_weight.mT.reshape(weight.shape), gradient.sum().reshape(1)
    of_bias = _pixels(gradient).sum(1).sum(0)
    if weight.shape[1] > 1:
        found, of_weight = library_gradients(gradient, image, weight, of_image, True)
        return found, of_weight, of_bias
    of_weight = torch.bmm(_moved(image), _pixels(gradient)).sum(0)
    of_weight = of_weight.mT.reshape(weight.shape)
    if not of_image:
        return None, of_weight, of_bias
    found = _sum_shifted(_by_tap(gradient, weight[:, 0]), flip=False)
    return found.to(image.dtype), of_weight, of_bias


def library_gradients(
    gradient: Tensor, image: Tensor, weight: Tensor, of_image: bool, of_weight: bool
) -> tuple[Any, Any]:
    """Gradients with respect to image and weight by torch's own function.

    Args:
        gradient: with respect to the output, `(batch, channels_out, rows, columns)`.
        image: the input, `(batch, channels_in, rows, columns)`.
        weight: `(channels_out, channels_in, 3, 3)`.
        of_image: whether the first gradient is needed.
        of_weight: whether the second one is.

    Returns:
        Tensors of the shapes of image and weight; None for one that is not needed.
    """
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


def _by_tap(image: Tensor, kernel: Tensor) -> Tensor:
    """Multiply each pixel by each tap of a kernel and sum over the channels.

    `(batch, channels, rows, columns)` and a kernel `(channels, 3, 3)` give `(batch, 9, rows,
    columns)`.
    """
    return F.conv2d(image, kernel.flatten(1).mT[:, :, None, None]).contiguous()


def _sum_shifted(taps: Tensor, *, flip: bool) -> Tensor:
    """Shift image (i, j) of nine by (i - 1, j - 1) pixels, or the opposite with ``flip``, and sum
    them.

    `(batch, 9, rows, columns)` gives `(batch, 1, rows, columns)` in single precision at least.
    """
    batch, _, rows, columns = taps.shape
    # A margin of one pixel takes what is shifted out of the image.
    single = torch.promote_types(taps.dtype, torch.float32)
    total = taps.new_zeros(batch, rows + 2, columns + 2, dtype=single)
    for tap in range(9):
        i, j = divmod(8 - tap if flip else tap, 3)
        total[:, i : i + rows, j : j + columns].add_(taps[:, tap])
    return total[:, None, 1:-1, 1:-1]


def _moved(image: Tensor) -> Tensor:
    """Nine shifted copies `(batch, 9, pixels)` of images `(batch, 1, rows, columns)`.

    In the copy for tap (i, j), each pixel holds the image's value at an offset of (i - 1, j - 1).
    """
    rows, columns = image.shape[2:]
    windows = F.pad(image[:, 0], (1, 1, 1, 1)).unfold(1, rows, 1).unfold(2, columns, 1)
    return windows.flatten(1, 2).flatten(2)
