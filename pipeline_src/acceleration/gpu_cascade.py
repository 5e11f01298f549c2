"""Computes a cascade's convolutions and their gradients on a GPU with the Triton kernels."""

from __future__ import annotations

import os
from collections.abc import Sequence
from functools import cache
from importlib import metadata
from itertools import pairwise
from types import ModuleType
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from pipeline_src.acceleration.compiled import CompilationError, private_cache
from pipeline_src.errors import InputError

Pairs = Sequence[tuple[Tensor, Tensor]]
#: Programs among which a sum over all pixels is divided: fixed, so that its order is.
SHARES = 176
#: Numbers of features: more need more registers than a GPU has.
WIDTHS = (16, 32, 64)


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


class GpuKernels:
    """The kernels for cascades with a given number of features, on the current GPU.

    Every sum has one fixed order: on the same kind of GPU, two runs give the same bits.

    Args:
        features: channels between the first and the last convolution: 16, 32 or 64.
        precision: `fp32`; `tf32`, in which features are multiplied with ten bits; or `bf16`, in
            which features are kept and multiplied. Weights, images and all sums are in single
            precision.

    Raises:
        CompilationError: the kernels cannot be built or run here.
    """

    device = "cuda"

    def __init__(self, features: int, precision: str = "fp32") -> None:
        if features not in WIDTHS:
            raise CompilationError(f"they need 16, 32 or 64 features, and there are {features}")
        self.features = features
        self.dtype, self.product, self.launches = PRECISIONS[precision]
        self.code = _code()
        self.kind = f"triton {version_of_triton()}, {precision}"

    def convolve(
        self, image: Tensor, layers: Pairs, middle: int | None = None
    ) -> tuple[Tensor, Tensor | None]:
        """Apply the convolutions one after the other, with ReLU after each but the last.

        Args:
            image: `(batch, 1, rows, columns)`, in single precision on the GPU.
            layers: weight `(channels_out, channels_in, 3, 3)` and bias, shape `(channels_out,)`, of
                each of at least two convolutions.
            middle: the layer, counted from 0, whose features are returned too.

        Returns:
            The last convolution's output `(batch, 1, rows, columns)`, and the ReLU output of layer
                ``middle`` `(batch, features, rows, columns)`, or None if it is not asked for.
        """
        flat = [tensor for layer in layers for tensor in layer]
        wanted = torch.is_grad_enabled() and any(t.requires_grad for t in (image, *flat))
        out, found = _Convolutions.apply(self, wanted, middle, image, *flat)
        return out, found


def version_of_triton() -> str:
    """The version of the compiler, on which the last bits may depend."""
    return metadata.version("triton")


@cache
def _code() -> ModuleType:
    """The module of the kernels, whose compiled form Triton keeps in this user's cache folder.

    Raises:
        CompilationError: Triton is not installed, or the folder is not this user's own.
    """
    try:
        # Compiled kernels are code: only files that no other user can have written are loaded.
        os.environ.setdefault("TRITON_CACHE_DIR", str(private_cache() / "triton"))
    except (InputError, OSError, RuntimeError) as error:
        raise CompilationError(str(error)) from error
    try:
        from pipeline_src.acceleration import gpu_kernels
    except ImportError as error:
        raise CompilationError(f"Triton is not installed ({error})") from error
    return gpu_kernels


@cache
def why_not_here(features: int, precision: str) -> str:
    """Why the kernels for a number of features and a precision cannot be used on the current GPU;
    empty if they can.

    They are tried on two small slices, which compiles them when that was not done before.
    """
    try:
        kernels = GpuKernels(features, precision)
    except CompilationError as error:
        return str(error)
    if not torch.cuda.is_available():
        return "there is no CUDA device"
    if precision != "fp32" and torch.cuda.get_device_capability() < (8, 0):
        return f"for {precision} they need a GPU of compute capability 8.0 at least"
    image = torch.ones(2, 1, 8, 8, device=kernels.device)
    channels = (1, features, features, 1)
    layers = [
        (image.new_zeros(after, before, 3, 3).requires_grad_(), image.new_zeros(after))
        for before, after in pairwise(channels)
    ]
    try:
        with torch.enable_grad():
            out, _ = kernels.convolve(image, layers)
            torch.autograd.grad(out.sum(), [weight for weight, _ in layers])
        torch.cuda.synchronize()
    # Triton raises errors of many kinds: no compiler for its launchers, too little shared memory.
    except Exception as error:
        lines = str(error).splitlines() or [""]
        return f"Triton cannot build or run them ({type(error).__name__}: {lines[0]})"
    return ""


class _Cascade:
    """Runs the kernels of a cascade on images of one size.

    Features are `(pixels, channels)`; a gradient with respect to features is one too.
    """

    def __init__(self, kernels: GpuKernels, shape: torch.Size) -> None:
        batch, _, rows, columns = shape
        self._kernels, self.shape, self.pixels = kernels, shape, batch * rows * columns
        self._sizes = {"ROWS": rows, "COLUMNS": columns, "CHANNELS": kernels.features}

    def first(self, image: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        """The features of the first convolution."""
        return self._expand(image, weight, bias, None, None)

    def before_last(
        self, of_out: Tensor, weight: Tensor, features: Tensor, added: Tensor | None
    ) -> Tensor:
        """The gradient with respect to the features that the last convolution reads, before their
        ReLU; ``added`` is a gradient that reaches them from elsewhere.
        """
        return self._expand(of_out, weight, None, features, added)

    def _expand(
        self,
        image: Tensor,
        weight: Tensor,
        bias: Tensor | None,
        gate: Tensor | None,
        added: Tensor | None,
    ) -> Tensor:
        code, launch = self._kernels.code, self._kernels.launches.expand
        out = image.new_empty((self.pixels, self._kernels.features), dtype=self._kernels.dtype)
        given = (image, weight, bias, gate, added, out, self.pixels, *_strides(weight))
        gated = gate is not None
        self._over_pixels(
            code.expand, launch, *given, FLIP=gated, GATED=gated, ADDED=added is not None
        )
        return out

    def middle(self, features: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        """The features of a convolution between the first and the last."""
        return self._mix(features, weight, bias, None, None)

    def before_middle(
        self, gradient: Tensor, weight: Tensor, features: Tensor, added: Tensor | None
    ) -> Tensor:
        """As `before_last`, for such a convolution."""
        return self._mix(gradient, weight, None, features, added)

    def _mix(
        self,
        features: Tensor,
        weight: Tensor,
        bias: Tensor | None,
        gate: Tensor | None,
        added: Tensor | None,
    ) -> Tensor:
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

    def last(self, features: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        """The image that the last convolution gives."""
        return self._gather(features, weight, bias)

    def before_first(self, gradient: Tensor, weight: Tensor) -> Tensor:
        """The gradient with respect to the image that the first convolution reads."""
        return self._gather(gradient, weight, None)

    def _gather(self, features: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
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


class _Convolutions(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        kernels: GpuKernels,
        wanted: bool,
        middle: int | None,
        image: Tensor,
        *flat: Tensor,
    ) -> tuple[Tensor, Tensor | None]:
        dense = torch.channels_last
        weights = [weight.contiguous(memory_format=dense) for weight in flat[::2]]
        biases, image = flat[1::2], image.contiguous()
        run = _Cascade(kernels, image.shape)
        features = [run.first(image, weights[0], biases[0])]
        for weight, bias in zip(weights[1:-1], biases[1:-1], strict=True):
            features.append(run.middle(features[-1], weight, bias))
        out = run.last(features[-1], weights[-1], biases[-1])
        if wanted:
            ctx.kernels, ctx.middle = kernels, middle
            ctx.set_materialize_grads(False)
            ctx.save_for_backward(image, *weights, *features)
        if middle is None:
            return out, None
        batch, _, rows, columns = image.shape
        found = features[middle].view(batch, rows, columns, -1).permute(0, 3, 1, 2)
        # A copy: its gradient is with respect to the features, and they are read again for it.
        return out, found.to(image.dtype, copy=True, memory_format=dense)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, of_out: Tensor | None, of_middle: Tensor | None) -> tuple[Any, ...]:
        image, *saved = ctx.saved_tensors
        count = (len(saved) + 1) // 2
        weights, features = saved[:count], saved[count:]
        # Layers after the middle one do not contribute to its gradient.
        reached = count if of_out is not None else 0 if of_middle is None else ctx.middle + 1
        if not reached:
            return (None,) * (4 + 2 * count)
        run, kernels = _Cascade(ctx.kernels, image.shape), ctx.kernels
        # Each layer's weight and then its bias, one layer after the other.
        parts = [weight.shape[0] * size for weight in weights[:reached] for size in _sizes(weight)]
        shares = image.new_empty((SHARES, sum(parts)))
        places = [shares[:, sum(parts[: 2 * number]) :] for number in range(reached)]
        added: dict[int | None, Tensor] = {}
        if of_middle is not None:
            pixels = of_middle.permute(0, 2, 3, 1).reshape(-1, kernels.features)
            added[ctx.middle] = pixels.to(kernels.dtype).contiguous()
        if of_out is None:
            layer = ctx.middle
            gradient = added[layer] * (features[layer] > 0)
        else:
            of_out, layer = of_out.contiguous(), count - 2
            run.of_thin_weights(of_out, features[layer], weights[-1], places[-1], last=True)
            gradient = run.before_last(of_out, weights[-1], features[layer], added.get(layer))
        for number in range(layer, 0, -1):
            before = features[number - 1]
            run.of_middle_weights(before, gradient, places[number])
            gradient = run.before_middle(gradient, weights[number], before, added.get(number - 1))
        run.of_thin_weights(image, gradient, weights[0], places[0], last=False)
        of_image = run.before_first(gradient, weights[0]) if ctx.needs_input_grad[3] else None
        sums, found = run.sum_of(shares).split(parts), []
        for weight, of_weight, of_bias in zip(
            weights[:reached], sums[::2], sums[1::2], strict=True
        ):
            # The weights are in this order too, which their strides tell.
            found += [of_weight.as_strided(weight.shape, weight.stride()), of_bias]
        return (None, None, None, of_image, *found, *[None] * (2 * (count - reached)))


def _sizes(weight: Tensor) -> tuple[int, int]:
    """Numbers of the weight and of the bias for each channel that it gives."""
    return 9 * weight.shape[1], 1
