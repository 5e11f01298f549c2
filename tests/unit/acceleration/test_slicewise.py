"""A cascade's convolutions and their gradients are the library's, however many slices at a time."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import pytest
import torch
from kernel_helpers import Layers, by_the_library

from pipeline_src.acceleration import slicewise
from pipeline_src.acceleration.slicewise import convolve_with_gradients
from pipeline_src.config.networks import Network
from pipeline_src.models.dccnn import Cascade

# What is added up tap by tap is added up in single precision.
TOLERANCE = {"rtol": 1e-5, "atol": 1e-6}


def some_layers(channels: Sequence[int], dtype: torch.dtype = torch.float64) -> Layers:
    """Weights of each convolution between neighbouring numbers of channels."""
    torch.manual_seed(0)
    return [
        (
            torch.randn(after, before, 3, 3, dtype=dtype).div(before**0.5).requires_grad_(),
            torch.randn(after, dtype=dtype).requires_grad_(),
        )
        for before, after in pairwise(channels)
    ]


@pytest.mark.parametrize("chunk_bytes", [1, 3000, 1 << 20])
@pytest.mark.parametrize("size", [(5, 7), (1, 9), (3, 1)])
@pytest.mark.parametrize("channels", [(1, 4, 4, 1), (1, 3, 1), (2, 5, 3, 2)])
def test_values_and_gradients_are_the_librarys(
    channels: tuple[int, ...],
    size: tuple[int, int],
    chunk_bytes: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(slicewise, "CHUNK_BYTES", chunk_bytes)
    layers = some_layers(channels)
    image = torch.randn(5, channels[0], *size, dtype=torch.float64, requires_grad=True)
    expected = by_the_library(image, layers, middle=0)
    ours = convolve_with_gradients(image, layers, middle=0)
    upstream = [torch.randn_like(value) for value in expected]
    for value, right in zip(ours, expected, strict=True):
        assert value is not None
        torch.testing.assert_close(value, right, **TOLERANCE)
    wanted = [image, *(tensor for layer in layers for tensor in layer)]
    # Of the output, of the middle feature, and of both.
    for used in ([0], [1], [0, 1]):
        gradients = [
            torch.autograd.grad(
                [values[i] for i in used],
                wanted,
                [upstream[i] for i in used],
                retain_graph=True,
                allow_unused=True,
            )
            for values in (ours, expected)
        ]
        for gradient, right in zip(*gradients, strict=True):
            assert (gradient is None) == (right is None)
            if right is not None:
                torch.testing.assert_close(gradient, right, **TOLERANCE)


def test_a_feature_is_given_only_where_it_is_asked_for() -> None:
    layers = some_layers((1, 2, 1))
    assert convolve_with_gradients(torch.zeros(1, 1, 4, 4, dtype=torch.float64), layers)[1] is None


def test_without_gradients_the_values_are_the_same_bits() -> None:
    cascade = Cascade(Network(depth=4, features=4))
    image = torch.randn(3, 1, 8, 9)
    with torch.no_grad():
        plain = cascade(image)
    trained = cascade(image)
    assert trained.requires_grad
    assert torch.equal(plain, trained)


def test_an_image_without_gradient_gets_none() -> None:
    layers = some_layers((1, 3, 1), torch.float32)
    out, _ = convolve_with_gradients(torch.zeros(1, 1, 4, 4), layers)
    out.sum().backward()
    assert all(tensor.grad is not None for layer in layers for tensor in layer)


def test_in_bf16_it_is_near_and_hands_out_its_feature_in_single_precision() -> None:
    layers = some_layers((1, 8, 8, 1), torch.float32)
    image = torch.randn(2, 1, 9, 8)
    low = [(weight.bfloat16(), bias.bfloat16()) for weight, bias in layers]
    ours, feature = convolve_with_gradients(image.bfloat16(), low, middle=1)
    assert ours.dtype == torch.bfloat16
    assert feature is not None
    assert feature.dtype == torch.float32
    expected, right = convolve_with_gradients(image, layers, middle=1)
    assert right is not None
    # Eight bits of mantissa, three layers.
    assert (ours - expected).abs().max() < 0.05 * expected.abs().max()
    assert (feature - right).abs().max() < 0.05 * right.abs().max()
    (gradient,) = torch.autograd.grad(ours.float().sum(), [layers[1][0]])
    assert gradient.dtype == torch.float32
