"""Computes a cascade's convolutions and their gradients on a GPU with the Triton kernels."""

from __future__ import annotations

import os
from functools import cache
from importlib import metadata
from itertools import pairwise
from types import ModuleType
from typing import Any

import torch
from torch import Tensor
from torch.autograd import Function
from torch.autograd.function import once_differentiable

from pipeline_src.acceleration.compiled import CompilationError, private_cache
from pipeline_src.acceleration.convolver import Convolver
from pipeline_src.acceleration.gpu_launches import PRECISIONS, CascadeRun, Chosen
from pipeline_src.errors import InputError

#: Numbers of features: more need more registers than a GPU has.
WIDTHS = (16, 32, 64)


class _Convolutions(Function):
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
        run = CascadeRun(kernels.chosen, image.shape)
        features = [run.expand(image, weights[0], biases[0])]
        for weight, bias in zip(weights[1:-1], biases[1:-1], strict=True):
            features.append(run.mix(features[-1], weight, bias))
        out = run.gather(features[-1], weights[-1], biases[-1])
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
        chosen = ctx.kernels.chosen
        run = CascadeRun(chosen, image.shape)
        # Each layer's weight and then its bias, one layer after the other.
        parts = [weight.shape[0] * size for weight in weights[:reached] for size in _sizes(weight)]
        shares = run.empty_shares(sum(parts), image)
        places = [shares[:, sum(parts[: 2 * number]) :] for number in range(reached)]
        added: dict[int | None, Tensor] = {}
        if of_middle is not None:
            pixels = of_middle.permute(0, 2, 3, 1).reshape(-1, chosen.features)
            added[ctx.middle] = pixels.to(chosen.dtype).contiguous()
        if of_out is None:
            layer = ctx.middle
            gradient = added[layer] * (features[layer] > 0)
        else:
            of_out, layer = of_out.contiguous(), count - 2
            run.of_thin_weights(of_out, features[layer], weights[-1], places[-1], last=True)
            gradient = run.expand(of_out, weights[-1], gate=features[layer], added=added.get(layer))
        for number in range(layer, 0, -1):
            before = features[number - 1]
            run.of_middle_weights(before, gradient, places[number])
            gradient = run.mix(gradient, weights[number], gate=before, added=added.get(number - 1))
        run.of_thin_weights(image, gradient, weights[0], places[0], last=False)
        of_image = run.gather(gradient, weights[0]) if ctx.needs_input_grad[3] else None
        sums, found = run.sum_of(shares).split(parts), []
        for weight, of_weight, of_bias in zip(
            weights[:reached], sums[::2], sums[1::2], strict=True
        ):
            # The weights are in this order too, which their strides tell.
            found += [of_weight.as_strided(weight.shape, weight.stride()), of_bias]
        return (None, None, None, of_image, *found, *[None] * (2 * (count - reached)))


class GpuKernels(Convolver):
    """The kernels for cascades with a given number of features, on the current GPU.

    Every sum has one fixed order: on the same kind of GPU, two runs give the same bits.

    Args:
        features: channels between the first and the last convolution, 64 at most; the kernels
            compute 16, 32 or 64.
        precision: `fp32`; `tf32`, in which features are multiplied with ten bits; or `bf16`, in
            which features are kept and multiplied. Weights, images and all sums are in single
            precision.

    Raises:
        CompilationError: the kernels cannot be built or run here.
    """

    function = _Convolutions
    device = "cuda"

    def __init__(self, features: int, precision: str = "fp32") -> None:
        if features > WIDTHS[-1]:
            raise CompilationError(
                f"they compute {WIDTHS[-1]} features at most, and there are {features}"
            )
        self.features = next(width for width in WIDTHS if width >= features)
        self.chosen = Chosen(_code(), self.features, *PRECISIONS[precision])
        self.kind = f"triton {version_of_triton()}, {precision}"


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


def _sizes(weight: Tensor) -> tuple[int, int]:
    """Numbers of the weight and of the bias for each channel that it gives."""
    return 9 * weight.shape[1], 1
