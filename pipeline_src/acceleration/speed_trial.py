"""Measures whether the compiled kernels are faster here than torch's library.

On some processors the library has instructions that the kernels do not use, such as AMX for bf16.
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
from pipeline_src.acceleration.compiled import library_path, private_cache
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
    able = sorted(name for name, has in torch.cpu.get_capabilities().items() if has)
    library = library_path(kernels.features, kernels.kind).name
    facts = [machine()["processor"], *able, torch.__version__, torch.get_num_threads(), library]
    digest = sha256_json(facts)[:16]
    path = private_cache() / f"speed-{features}-{depth}-{kernels.kind}-{digest}.json"
    with suppress(InputError):
        kept = read_json(path)
        if isinstance(kept, float) and math.isfinite(kept) and kept > 0:
            return kept
    found = _measured(kernels, features, depth)
    with suppress(InputError):  # it is measured again where nothing can be kept
        write_json(path, found)
    return found


def _measured(kernels: Kernels, features: int, depth: int) -> float:
    """The median, over turns, of the library's time divided by the kernels'.

    Whether the caller needs gradients makes no difference.
    """
    with torch.inference_mode(mode=False), torch.enable_grad():
        return _median_ratio(kernels, features, depth)


def _median_ratio(kernels: Kernels, features: int, depth: int) -> float:
    generator = torch.Generator().manual_seed(0)
    channels = [1, *[features] * (depth - 1), 1]

    def values(*shape: int) -> Tensor:
        return torch.randn(shape, generator=generator)

    image = values(BATCH, 1, SIDE, SIDE)
    layers = [(values(o, i, 3, 3), values(o)) for i, o in pairwise(channels)]
    cast = [(weight.to(kernels.dtype), bias.to(kernels.dtype)) for weight, bias in layers]
    ratios = []
    for _ in range(TURNS + 1):
        ours = _seconds(kernels.convolve, image, layers)
        theirs = _seconds(convolve_with_gradients, image.to(kernels.dtype), cast)
        ratios.append(theirs / ours)
    return median(ratios[1:])


def _seconds(convolve: _Convolve, image: Tensor, layers: Pairs) -> float:
    """The seconds of one step."""
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
