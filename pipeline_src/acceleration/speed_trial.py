"""Measures whether the compiled kernels are faster here than torch's library, and bf16 than fp32.

Which is faster differs between processors.
"""

from __future__ import annotations

import math
import time
from contextlib import suppress
from functools import cache
from itertools import pairwise
from statistics import median
from typing import Protocol

import torch
from torch import Tensor

from pipeline_src.acceleration.cascade import Kernels
from pipeline_src.acceleration.compiled import CompilationError, library_path, private_cache
from pipeline_src.acceleration.convolver import Pairs
from pipeline_src.acceleration.slicewise import convolve_with_gradients
from pipeline_src.errors import InputError
from pipeline_src.files import read_json, sha256_json, write_json
from pipeline_src.provenance.environment import machine

#: Slices of a trial, and their rows and columns.
BATCH, SIDE = 2, 96
#: Turns of a trial, each of one step of both; one more comes before them.
TURNS = 5


class _Convolve(Protocol):
    def __call__(self, image: Tensor, layers: Pairs) -> tuple[Tensor, Tensor | None]: ...


@cache
def times_as_fast(features: int, depth: int, precision: str) -> float:
    """How many times as fast as torch's library the kernels compute a cascade and its gradients:
    the median over turns of both.

    It is measured once for a processor, its number of threads and the kernels, and kept in the
    user's cache folder.

    Args:
        features: channels between the first and the last convolution.
        depth: convolutions of the cascade, two at least.
        precision: `fp32` or `bf16`.

    Raises:
        CompilationError: the kernels cannot be used here.
    """
    kernels = Kernels(features, precision)
    return _kept("speed", kernels, features, depth, _library(kernels.dtype), _own(kernels))


@cache
def bf16_times_as_fast(features: int, depth: int) -> float:
    """How many times as fast a cascade and its gradients are in bf16 as in fp32, each by the
    kernels or the library, whichever is faster; measured and kept as `times_as_fast`.

    Raises:
        CompilationError: the kernels cannot be used here, not even in fp32.
    """
    kernels, faster = Kernels(features), _library(torch.bfloat16)
    with suppress(CompilationError):  # fewer processors have them in bf16
        if times_as_fast(features, depth, "bf16") >= 1:
            faster = _own(Kernels(features, "bf16"))
    ours = times_as_fast(features, depth, "fp32") >= 1
    plain = _own(kernels) if ours else _library(torch.float32)
    return _kept("bf16", kernels, features, depth, plain, faster)


#: A way to convolve: takes the image and the layers in single precision.
_Way = tuple[_Convolve, torch.dtype]


def _own(kernels: Kernels) -> _Way:
    return kernels.convolve, torch.float32  # they round by themselves


def _library(dtype: torch.dtype) -> _Way:
    return convolve_with_gradients, dtype


def _kept(
    name: str, kernels: Kernels, features: int, depth: int, first: _Way, second: _Way
) -> float:
    """The median, over turns, of the first way's time divided by the second's, from the user's
    cache folder or measured.
    """
    able = sorted(name for name, has in torch.cpu.get_capabilities().items() if has)
    library = library_path(kernels.features, kernels.kind).name
    facts = [machine()["processor"], *able, torch.__version__, torch.get_num_threads(), library]
    digest = sha256_json(facts)[:16]
    path = private_cache() / f"{name}-{features}-{depth}-{kernels.kind}-{digest}.json"
    with suppress(InputError):
        kept = read_json(path)
        if isinstance(kept, float) and math.isfinite(kept) and kept > 0:
            return kept
    # Whether the caller needs gradients makes no difference.
    with torch.inference_mode(mode=False), torch.enable_grad():
        found = _median_ratio(features, depth, first, second)
    with suppress(InputError):  # it is measured again where nothing can be kept
        write_json(path, found)
    return found


def _median_ratio(features: int, depth: int, first: _Way, second: _Way) -> float:
    generator = torch.Generator().manual_seed(0)
    channels = [1, *[features] * (depth - 1), 1]

    def values(*shape: int) -> Tensor:
        return torch.randn(shape, generator=generator)

    image = values(BATCH, 1, SIDE, SIDE)
    layers = [(values(o, i, 3, 3), values(o)) for i, o in pairwise(channels)]
    ratios = []
    for _ in range(TURNS + 1):
        one, other = (_seconds(*way, image, layers) for way in (first, second))
        ratios.append(one / other)
    return median(ratios[1:])


def _seconds(convolve: _Convolve, dtype: torch.dtype, image: Tensor, layers: Pairs) -> float:
    """The seconds of one step."""
    image = image.to(dtype)
    layers = [(weight.to(dtype), bias.to(dtype)) for weight, bias in layers]
    leaves = [t.detach().requires_grad_() for layer in layers for t in layer]
    pairs = list(zip(leaves[::2], leaves[1::2], strict=True))
    start = time.perf_counter()
    out, _ = convolve(image.detach().requires_grad_(), pairs)
    out.sum().backward()
    return time.perf_counter() - start


def why_slower(features: int, depth: int, precision: str) -> str:
    """Why the library is to be preferred; empty if the kernels are as fast or faster.

    Raises:
        CompilationError: the kernels cannot be used here.
    """
    ratio = times_as_fast(features, depth, precision)
    if ratio >= 1:
        return ""
    return (
        f"torch's are {1 / ratio:.2f} times as fast as the kernels in {precision} on this "
        "processor, measured in turns"
    )
