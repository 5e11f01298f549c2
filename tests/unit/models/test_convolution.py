"""The convolution and its gradients are the library's, whatever path computes them."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from pipeline_src.models.convolution import Convolution, convolve, gradients


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("shape", [(1, 4, 5, 7), (3, 1, 6, 6), (2, 2, 1, 9), (2, 3, 3, 1)])
@pytest.mark.parametrize("channels_out", [1, 2, 5])
def test_value_and_gradients_are_the_librarys(
    shape: tuple[int, int, int, int], channels_out: int, layout: torch.memory_format
) -> None:
    torch.manual_seed(0)
    convolution = Convolution(shape[1], channels_out).double()
    image = torch.randn(shape, dtype=torch.float64).to(memory_format=layout).requires_grad_()
    upstream = torch.randn(shape[0], channels_out, *shape[2:], dtype=torch.float64)
    ours = convolution(image)
    expected = F.conv2d(image, convolution.weight, convolution.bias, padding=1)
    # What is added up tap by tap is added up in single precision.
    tolerance = {"rtol": 1e-5, "atol": 1e-6}
    torch.testing.assert_close(ours, expected, **tolerance)
    wanted = [image, convolution.weight, convolution.bias]
    got = torch.autograd.grad(ours, wanted, upstream)
    right = torch.autograd.grad(expected, wanted, upstream)
    for gradient, other in zip(got, right, strict=True):
        torch.testing.assert_close(gradient, other, **tolerance)
    # The path without gradients, and the gradients that a cascade computes itself.
    with torch.no_grad():
        assert torch.equal(convolution(image), convolve(image, *convolution.values(image.dtype)))
        torch.testing.assert_close(convolution(image), expected, **tolerance)
        own = gradients(upstream, image, convolution.weight, of_image=True)
        assert gradients(upstream, image, convolution.weight, of_image=False)[0] is None
    for gradient, other in zip(own, right, strict=True):
        assert gradient is not None
        torch.testing.assert_close(gradient, other, **tolerance)


@pytest.mark.parametrize(("channels_in", "channels_out"), [(1, 8), (8, 8), (8, 1)])
def test_in_bf16_it_is_near_and_keeps_its_weights_in_single_precision(
    channels_in: int, channels_out: int
) -> None:
    torch.manual_seed(0)
    convolution = Convolution(channels_in, channels_out)
    image = torch.randn(2, channels_in, 9, 8)
    ours = convolution(image.bfloat16())
    assert ours.dtype == torch.bfloat16
    expected = convolution(image)
    # Eight bits of mantissa.
    assert (ours - expected).abs().max() < 0.03 * expected.abs().max()
    (weight,) = torch.autograd.grad(ours.float().sum(), [convolution.weight])
    assert weight.dtype == torch.float32


def test_an_image_without_gradient_gets_none() -> None:
    convolution = Convolution(1, 3)
    out = convolution(torch.zeros(1, 1, 4, 4))
    out.sum().backward()
    assert convolution.weight.grad is not None
