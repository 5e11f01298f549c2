"""Runs the GPU kernels of a cascade, each with the launch that was measured as the fastest."""

from __future__ import annotations

from types import ModuleType
from typing import Any, NamedTuple

import torch
from torch import Tensor

#: Programs among which a sum over all pixels is divided: fixed, so that its order is.
SHARES = 176


class Launch(NamedTuple):
    """How a kernel is launched.

    Attributes:
        block: pixels of a program (of the sum of shares: numbers), at 32 features.
        warps: of a program.
        stages: of a loop's pipeline.
    """

    block: int
    warps: int
    stages: int = 1


class Launches(NamedTuple):
    """How each kernel is launched: measured as the fastest on an H200 at 150 x 150, batches of 4
    and 32 features.
    """

    mix: Launch
    mix_weights: Launch
    expand: Launch = Launch(64, 2)
    gather: Launch = Launch(64, 4)
    thin_weights: Launch = Launch(64, 2)
    add_shares: Launch = Launch(32, 2)


#: For each precision: number format of the features, how their products are computed, and launches.
PRECISIONS = {
    "fp32": (torch.float32, "ieee", Launches(Launch(128, 4, 3), Launch(64, 4, 2))),
    "tf32": (torch.float32, "tf32", Launches(Launch(128, 8, 3), Launch(64, 4, 2))),
    "bf16": (
        torch.bfloat16,
        "ieee",
        Launches(Launch(256, 8, 3), Launch(32, 4, 3), gather=Launch(128, 4)),
    ),
}


class Chosen(NamedTuple):
    """Which kernels run.

    Attributes:
        code: the module of the kernels.
        features: channels between the first and the last convolution.
        dtype: number format of the features.
        product: how Triton computes their products.
        launches: how the kernels are launched.
    """

    code: ModuleType
    features: int
    dtype: torch.dtype
    product: str
    launches: Launches


class CascadeRun:
    """Runs the kernels of a cascade on images of one size.

    Features are `(pixels, channels)`, images `(batch, 1, rows, columns)`, weights `(channels_out,
    channels_in, 3, 3)`, biases `(channels_out,)`, shares `(SHARES, numbers)`. A gradient has the
    shape of what it is with respect to.
    """

    def __init__(self, kernels: Chosen, shape: torch.Size) -> None:
        batch, _, rows, columns = shape
        self._kernels, self.shape, self.pixels = kernels, shape, batch * rows * columns
        self._sizes = {"ROWS": rows, "COLUMNS": columns, "CHANNELS": kernels.features}

    def expand(
        self,
        image: Tensor,
        weight: Tensor,
        bias: Tensor | None = None,
        gate: Tensor | None = None,
        added: Tensor | None = None,
    ) -> Tensor:
        """The features of the first convolution.

        Or, of a gradient with respect to the last convolution's image and without a bias, that with
        respect to the features ``gate`` that it reads, before their ReLU; ``added`` is a gradient
        that reaches them from elsewhere.
        """
        code, launch = self._kernels.code, self._kernels.launches.expand
        out = image.new_empty((self.pixels, self._kernels.features), dtype=self._kernels.dtype)
        given = (image, weight, bias, gate, added, out, self.pixels, *_strides(weight))
        gated = gate is not None
        self._over_pixels(
            code.expand, launch, *given, FLIP=gated, GATED=gated, ADDED=added is not None
        )
        return out

    def mix(
        self,
        features: Tensor,
        weight: Tensor,
        bias: Tensor | None = None,
        gate: Tensor | None = None,
        added: Tensor | None = None,
    ) -> Tensor:
        """As `expand`, of features or their gradient, for a convolution between the first and the
        last.
        """
        kernels, launch = self._kernels, self._kernels.launches.mix
        # As measured: products in full precision are fast by row alone, and those of ten bits by
        # column alone; for bf16 either way is.
        gated = gate is not None
        by_row = gated if kernels.dtype == torch.bfloat16 else kernels.product == "ieee"
        weight = weight.permute(0, 2, 3, 1) if by_row == gated else weight.permute(1, 2, 3, 0)
        weight = weight.to(kernels.dtype).contiguous()
        out = torch.empty_like(features)
        given = (features, weight, bias, gate, added, out, self.pixels)
        self._over_pixels(
            kernels.code.mix,
            launch,
            *given,
            STAGES=launch.stages,
            PRECISION=kernels.product,
            BY_ROW=by_row,
            GATED=gated,
            ADDED=added is not None,
        )
        return out

    def gather(self, features: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
        """The image of the last convolution; or, of a gradient with respect to the first one's
        features and without a bias, that with respect to its image.
        """
        code, launch = self._kernels.code, self._kernels.launches.gather
        out = features.new_empty(self.shape, dtype=torch.float32)
        given = (features, weight, bias, out, self.pixels, *_strides(weight))
        self._over_pixels(code.gather, launch, *given, FLIP=bias is None)
        return out

    def of_middle_weights(self, features: Tensor, gradient: Tensor, shares: Tensor) -> None:
        """Each share of the gradient with respect to weight and bias of a convolution between the
        first and the last, to the first columns of ``shares``.
        """
        kernels, launch = self._kernels, self._kernels.launches.mix_weights
        given = (features, gradient, shares, self.pixels, shares.stride(0))
        self._over_shares(
            kernels.code.mix_weights,
            launch,
            *given,
            STAGES=launch.stages,
            PRECISION=kernels.product,
        )

    def of_thin_weights(
        self, image: Tensor, features: Tensor, weight: Tensor, shares: Tensor, *, last: bool
    ) -> None:
        """The same for the first convolution, of its image and the gradient with respect to what it
        gives, or for the last, of the gradient with respect to its image and of its features.
        """
        code, launch = self._kernels.code, self._kernels.launches.thin_weights
        given = (image, features, shares, self.pixels, shares.stride(0), *_strides(weight))
        self._over_shares(code.thin_weights, launch, *given, FLIP=last)

    def empty_shares(self, numbers: int, like: Tensor) -> Tensor:
        """Memory for every share of so many numbers, `(SHARES, numbers)`, on the device of
        ``like``.
        """
        return like.new_empty((SHARES, numbers))

    def sum_of(self, shares: Tensor) -> Tensor:
        """The sum of `(SHARES, numbers)` over the shares, `(numbers,)`."""
        code, launch = self._kernels.code, self._kernels.launches.add_shares
        count = shares.shape[1]
        out = shares.new_empty(count)
        grid = (-(-count // launch.block),)
        code.add_shares[grid](
            shares,
            out,
            shares.stride(0),
            count,
            SHARES=len(shares),
            BLOCK=launch.block,
            num_warps=launch.warps,
        )
        return out

    def _over_pixels(self, kernel: Any, launch: Launch, *given: Any, **options: Any) -> None:
        block = self._block(launch)
        kernel[(-(-self.pixels // block),)](
            *given, **self._sizes, BLOCK=block, num_warps=launch.warps, **options
        )

    def _over_shares(self, kernel: Any, launch: Launch, *given: Any, **options: Any) -> None:
        block = self._block(launch)
        blocks = -(-self.pixels // (block * SHARES))
        kernel[(SHARES, 3)](
            *given, **self._sizes, BLOCK=block, BLOCKS=blocks, num_warps=launch.warps, **options
        )

    def _block(self, launch: Launch) -> int:
        """As much memory with more features as with 32; products need 16 pixels."""
        return max(16, launch.block * 32 // max(32, self._kernels.features))


def _strides(weight: Tensor) -> tuple[int, int]:
    """Numbers between taps and between channels of a weight with one channel on one side."""
    channels_out, channels_in = weight.shape[:2]
    return (1, 9) if channels_in == 1 and channels_out > 1 else (channels_in, 1)
