"""Attention maps and their comparison: values and gradients as the plain formulas have them."""

from __future__ import annotations

import torch
import torch.nn.functional as F

from pipeline_src.distillation.attention import batch_normalised_difference, energy_map


def test_energy_is_the_channel_sum_of_squares_and_has_its_gradient() -> None:
    torch.manual_seed(0)
    feature = torch.randn(2, 3, 4, 5, dtype=torch.float64, requires_grad=True)
    ours, plain = energy_map(feature), (feature**2).sum(dim=1)
    torch.testing.assert_close(ours, plain)
    upstream = torch.randn(2, 4, 5, dtype=torch.float64)
    (gradient,) = torch.autograd.grad(ours, feature, upstream)
    torch.testing.assert_close(gradient, torch.autograd.grad(plain, feature, upstream)[0])


def test_maps_are_normalised_over_the_batch_as_the_library_does() -> None:
    torch.manual_seed(1)
    student = torch.rand(4, 5, 6, requires_grad=True)
    teacher = torch.rand(4, 5, 6)
    ours = batch_normalised_difference(student, teacher)
    plain = (F.normalize(student, dim=0) - F.normalize(teacher, dim=0)).abs().mean()
    torch.testing.assert_close(ours, plain)
    (gradient,) = torch.autograd.grad(ours, student)
    torch.testing.assert_close(gradient, torch.autograd.grad(plain, student)[0])


def test_a_pixel_that_is_zero_in_the_whole_batch_has_a_finite_gradient() -> None:
    student = torch.zeros(3, 2, 2, requires_grad=True)
    loss = batch_normalised_difference(student, torch.ones(3, 2, 2))
    (gradient,) = torch.autograd.grad(loss, student)
    assert torch.isfinite(loss)
    assert torch.isfinite(gradient).all()
