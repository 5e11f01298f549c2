"""Data fidelity: the matrix form and the FFT form both do what the formula says."""

from __future__ import annotations

import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray

from pipeline_src.sampling.data_fidelity import (
    FourierDataFidelity,
    LineDataFidelity,
    data_fidelity,
    line_projection,
)
from pipeline_src.sampling.masks import Mask, lines_mask

# Images of magnitude up to 4 in float32: a few units in the last place of their sums.
TOLERANCE = 2e-5
QUICK = settings(max_examples=40, deadline=None)

Image = NDArray[np.float32]
Lines = NDArray[np.bool_]


def fft2(image: NDArray[np.floating]) -> NDArray[np.complex128]:
    return np.fft.fft2(np.asarray(image, np.float64), norm="ortho")


def formula(target: Image, image: Image, samples: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Re F^H (M y + (1 - M) F x), y = M F target, as it is written."""
    measured = samples * fft2(target)
    return np.fft.ifft2(samples * measured + ~samples * fft2(image), norm="ortho").real


def mirrored(lines: Lines) -> Lines:
    """The line at -k for each line k, in FFT order."""
    return np.roll(lines[::-1], 1)


@st.composite
def images(draw: st.DrawFn, count: int, shape: tuple[int, int]) -> tuple[Image, ...]:
    elements = st.floats(-4, 4, width=32)
    return tuple(draw(hnp.arrays(np.float32, shape, elements=elements)) for _ in range(count))


@st.composite
def line_cases(draw: st.DrawFn, symmetric: bool = False) -> tuple[Lines, Image, Image]:
    """Lines, a target and a network's image."""
    shape = draw(st.tuples(st.integers(2, 17), st.integers(1, 12)))
    lines = draw(hnp.arrays(np.bool_, shape[0]))
    if symmetric:
        lines = lines | mirrored(lines)
    target, image = draw(images(2, shape))
    return lines, target, image


def both_forms(lines: Lines, columns: int) -> tuple[LineDataFidelity, FourierDataFidelity]:
    return LineDataFidelity(lines), FourierDataFidelity(lines_mask(lines, columns))


def as_tensor(image: Image) -> torch.Tensor:
    return torch.from_numpy(image)[None, None]


@QUICK
@given(line_cases())
def test_matrix_form_is_exact_in_double_precision(case: tuple[Lines, Image, Image]) -> None:
    lines, target, image = case
    fidelity = LineDataFidelity(lines, torch.float64)
    found = fidelity(as_tensor(image).double(), fidelity.zero_filled(as_tensor(target).double()))
    expected = formula(target, image, lines_mask(lines, target.shape[1]))
    np.testing.assert_allclose(found[0, 0].numpy(), expected, rtol=0, atol=1e-12)


@QUICK
@given(line_cases())
def test_both_forms_equal_the_formula(case: tuple[Lines, Image, Image]) -> None:
    lines, target, image = case
    expected = formula(target, image, lines_mask(lines, target.shape[1]))
    for form in both_forms(lines, target.shape[1]):
        found = form(as_tensor(image), form.zero_filled(as_tensor(target)))
        np.testing.assert_allclose(found[0, 0].numpy(), expected, rtol=0, atol=TOLERANCE)


@QUICK
@given(line_cases())
def test_zero_filled_is_the_real_part_of_the_masked_spectrum(
    case: tuple[Lines, Image, Image],
) -> None:
    lines, target, _ = case
    expected = np.fft.ifft2(lines[:, None] * fft2(target), norm="ortho").real
    for form in both_forms(lines, target.shape[1]):
        found = form.zero_filled(as_tensor(target))[0, 0].numpy()
        np.testing.assert_allclose(found, expected, rtol=0, atol=TOLERANCE)


@QUICK
@given(line_cases(symmetric=True))
def test_conjugate_symmetric_lines_are_kept_and_the_others_are_the_networks(
    case: tuple[Lines, Image, Image],
) -> None:
    lines, target, image = case
    fidelity = LineDataFidelity(lines)
    found = fft2(fidelity(as_tensor(image), fidelity.zero_filled(as_tensor(target)))[0, 0].numpy())
    np.testing.assert_allclose(found[lines], fft2(target)[lines], rtol=0, atol=10 * TOLERANCE)
    np.testing.assert_allclose(found[~lines], fft2(image)[~lines], rtol=0, atol=10 * TOLERANCE)


@QUICK
@given(line_cases(symmetric=True))
def test_applying_it_twice_changes_nothing_for_conjugate_symmetric_lines(
    case: tuple[Lines, Image, Image],
) -> None:
    lines, target, image = case
    fidelity = LineDataFidelity(lines)
    zero_filled = fidelity.zero_filled(as_tensor(target))
    once = fidelity(as_tensor(image), zero_filled)
    torch.testing.assert_close(fidelity(once, zero_filled), once, rtol=0, atol=TOLERANCE)
    projection = line_projection(lines)
    np.testing.assert_allclose(projection @ projection, projection, rtol=0, atol=1e-12)


@QUICK
@given(line_cases())
def test_projection_is_self_adjoint_and_lies_between_zero_and_one(
    case: tuple[Lines, Image, Image],
) -> None:
    lines, first, second = case
    projection = line_projection(lines)
    np.testing.assert_allclose(
        np.sum((projection @ first) * second),
        np.sum(first * (projection @ second)),
        rtol=1e-6,
        atol=1e-6,
    )
    eigenvalues = np.linalg.eigvalsh(projection)
    assert eigenvalues.min() > -1e-12
    assert eigenvalues.max() < 1 + 1e-12
    # Each sampled line keeps one dimension of the complex spectrum.
    np.testing.assert_allclose(np.trace(projection), lines.sum(), rtol=0, atol=1e-10)


@QUICK
@given(line_cases())
def test_the_targets_own_image_is_left_alone(case: tuple[Lines, Image, Image]) -> None:
    lines, target, _ = case
    for form in both_forms(lines, target.shape[1]):
        found = form(as_tensor(target), form.zero_filled(as_tensor(target)))
        torch.testing.assert_close(found, as_tensor(target), rtol=0, atol=TOLERANCE)


@st.composite
def pixel_cases(draw: st.DrawFn) -> tuple[NDArray[np.bool_], Image, Image]:
    """A mask that is not made of whole lines, a target and a network's image."""
    shape = draw(st.tuples(st.integers(2, 12), st.integers(2, 12)))
    samples = draw(hnp.arrays(np.bool_, shape))
    samples[0, 1] = not samples[0, 0]
    target, image = draw(images(2, shape))
    return samples, target, image


@QUICK
@given(pixel_cases())
def test_2d_mask_takes_the_fft_form_and_equals_the_formula(
    case: tuple[NDArray[np.bool_], Image, Image],
) -> None:
    samples, target, image = case
    fidelity = data_fidelity(Mask(samples, {}))
    assert isinstance(fidelity, FourierDataFidelity)
    found = fidelity(as_tensor(image), fidelity.zero_filled(as_tensor(target)))[0, 0].numpy()
    np.testing.assert_allclose(found, formula(target, image, samples), rtol=0, atol=TOLERANCE)


@QUICK
@given(line_cases())
def test_mask_of_whole_lines_takes_the_matrix_form(case: tuple[Lines, Image, Image]) -> None:
    lines, target, _ = case
    fidelity = data_fidelity(Mask(lines_mask(lines, target.shape[1]), {}))
    assert isinstance(fidelity, LineDataFidelity)
    np.testing.assert_allclose(fidelity.kept.numpy(), line_projection(lines), rtol=0, atol=1e-6)


@QUICK
@given(line_cases(), st.integers(1, 3), st.integers(1, 3))
def test_branches_and_batches_are_independent(
    case: tuple[Lines, Image, Image], branches: int, batch: int
) -> None:
    lines, target, image = case
    fidelity = LineDataFidelity(lines)
    targets = torch.stack([as_tensor(target)[0] * (b + 1) for b in range(batch)])
    stacked = torch.stack([as_tensor(image).expand(batch, -1, -1, -1) * i for i in range(branches)])
    zero_filled = fidelity.zero_filled(targets)
    found = fidelity(stacked, zero_filled)
    assert found.shape == (branches, batch, 1, *target.shape)
    for i in range(branches):
        for b in range(batch):
            torch.testing.assert_close(
                found[i, b],
                fidelity(stacked[i, b : b + 1], zero_filled[b : b + 1])[0],
                rtol=0,
                atol=3 * TOLERANCE,
            )
