"""The GPU's kernels: torch's numbers, in Triton's interpreter where there is no GPU."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from kernel_helpers import by_the_library, gradients, some_layers
from torch import Tensor

from pipeline_src.acceleration import gpu_cascade, gpu_launches
from pipeline_src.acceleration.compiled import CompilationError
from pipeline_src.acceleration.gpu_cascade import GpuKernels, why_not_here
from pipeline_src.acceleration.gpu_launches import PRECISIONS, SHARES
from pipeline_src.acceleration.kernels import kernels_for

ON_GPU = torch.cuda.is_available()
DEVICE = "cuda" if ON_GPU else "cpu"
needs_gpu = pytest.mark.skipif(not ON_GPU, reason="no CUDA device here")


@pytest.fixture(autouse=True)
def own_cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    """A cache folder for each test."""
    pytest.importorskip("triton", reason="no Triton for this system")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    # Fewer programs, since the interpreter takes a tenth of a second for a few of them.
    monkeypatch.setattr(gpu_launches, "SHARES", SHARES if ON_GPU else 16)
    yield
    os.environ.pop("TRITON_CACHE_DIR", None)
    gpu_cascade._code.cache_clear()


def far(found: Tensor, right: Tensor) -> float:
    return float((found.detach().double() - right.detach()).norm() / right.detach().norm())


@pytest.mark.parametrize(
    ("depth", "features", "size", "middle"),
    [
        (2, 16, (5, 6), 0),
        (3, 16, (1, 1), 1),
        (3, 32, (5, 4), 1),
        (4, 16, (3, 7), 2),
        (3, 64, (2, 3), None),
        (3, 20, (3, 2), 1),
    ],
)
def test_values_and_gradients_are_the_librarys(
    depth: int, features: int, size: tuple[int, int], middle: int | None
) -> None:
    layers = some_layers(depth, features, DEVICE)
    image = torch.randn(2, 1, *size).to(DEVICE).requires_grad_()
    expected = by_the_library(image, layers, middle)
    ours = GpuKernels(features).convolve(image, layers, middle)
    assert (ours[1] is None) == (middle is None)
    for value, right in zip(ours, expected, strict=True):
        if value is not None and right is not None:
            assert value.shape == right.shape
            assert far(value, right) < 1e-6
    # Of all, and of the middle feature alone where there is one.
    for used in ([0, 1], [1]) if middle is not None else ([0],):
        pairs = zip(
            gradients(ours, used, image, layers),
            gradients(expected, used, image, layers),
            strict=True,
        )
        for gradient, right in pairs:
            assert (gradient is None) == (right is None)
            if gradient is not None and right is not None:
                assert gradient.shape == right.shape
                assert far(gradient, right) < 1e-5


def test_gradients_lie_in_memory_as_the_weights_do() -> None:
    layers = some_layers(3, 16, DEVICE)
    for weight, _ in layers:
        weight.data = weight.data.contiguous(memory_format=torch.channels_last)
    image = torch.randn(1, 1, 4, 5).to(DEVICE)
    out, _ = GpuKernels(16).convolve(image, layers)
    of_weights = torch.autograd.grad(out.sum(), [weight for weight, _ in layers])
    # As the fused Adam needs, which copies what lies otherwise.
    for (weight, _), gradient in zip(layers, of_weights, strict=True):
        assert gradient.stride() == weight.stride()


def test_without_gradients_the_values_are_the_same_bits() -> None:
    layers, image = some_layers(3, 16, DEVICE), torch.randn(2, 1, 5, 4).to(DEVICE)
    with torch.no_grad():
        alone = GpuKernels(16).convolve(image, layers, 1)
    both = GpuKernels(16).convolve(image, layers, 1)
    for value, same in zip(alone, both, strict=True):
        assert value is not None
        assert same is not None
        assert not value.requires_grad
        assert torch.equal(value, same)


@needs_gpu
@pytest.mark.parametrize("precision", PRECISIONS)
def test_two_runs_give_the_same_bits(precision: str) -> None:
    layers, image = some_layers(5, 32, DEVICE), torch.randn(4, 1, 150, 150).to(DEVICE)
    runs = []
    for _ in range(2):
        values = GpuKernels(32, precision).convolve(image.requires_grad_(), layers, 2)
        runs.append([*values, *gradients(values, [0, 1], image, layers)])
    for found, again in zip(*runs, strict=True):
        assert found is not None
        assert again is not None
        assert torch.equal(found, again)


def test_what_they_are_not_for_is_said() -> None:
    assert why_not_here(65, "fp32") == "they compute 64 features at most, and there are 65"
    with pytest.raises(CompilationError, match="there are 65"):
        kernels_for(65, "fp32", "cuda")


@pytest.mark.skipif(ON_GPU, reason="there is a GPU")
def test_without_a_gpu_they_cannot_be_used() -> None:
    why_not_here.cache_clear()
    reason = why_not_here(16, "fp32")
    why_not_here.cache_clear()
    assert reason == "there is no CUDA device"


def test_compiled_kernels_are_kept_where_nobody_else_writes(tmp_path: Path) -> None:
    gpu_cascade._code.cache_clear()
    GpuKernels(16)
    place = Path(os.environ["TRITON_CACHE_DIR"])
    assert place.parent == tmp_path / "sft-kd-recon"
    assert place.parent.stat().st_mode & 0o077 == 0
