"""Orders of k-space of odd sizes, and what is measured of a volume, by transforms of images."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from pipeline_src.errors import InputError
from pipeline_src.inference.kspace import Order, in_fft_order, mask_in_fft_order, survey

SIZE = (8, 6)


def images(count: int, size: tuple[int, int] = SIZE) -> NDArray[np.float64]:
    """Images `(slices, rows, columns)` that are bright in the mean, as magnitudes are."""
    return 1 + np.random.default_rng(0).random((count, *size))


def transformed(volume: NDArray[np.generic]) -> NDArray[np.complex128]:
    return np.fft.fft2(volume, norm="ortho").astype(np.complex128)


def mask(*lines: int) -> NDArray[np.bool_]:
    """These lines of all columns."""
    samples = np.zeros(SIZE, bool)
    samples[list(lines)] = True
    return samples


@pytest.mark.parametrize("size", [(8, 6), (7, 9), (8, 9), (7, 6)])
def test_kspace_of_any_order_and_size_is_brought_to_that_of_the_transform(
    size: tuple[int, int],
) -> None:
    volume, axes = images(2, size), (-2, -1)
    moved = np.fft.ifftshift(volume, axes=axes)
    shifted, centred = (np.fft.fftshift(transformed(v), axes=axes) for v in (volume, moved))
    for order, given in (("fft", transformed(volume)), ("shifted", shifted), ("centred", centred)):
        np.testing.assert_allclose(in_fft_order(given, order), transformed(volume), atol=1e-12)
    samples = np.random.default_rng(1).random(size) < 0.5
    for order in ("shifted", "centred"):
        given = np.fft.fftshift(samples)
        np.testing.assert_array_equal(mask_in_fft_order(given, order), samples)


@pytest.mark.parametrize("lines", [(0, 1, 2, 3, 4, 5, 6, 7), (0, 1, 7), (0, 1, 2, 7)])
@pytest.mark.parametrize("sine", [0.0, 0.004, 0.009])
def test_share_that_is_imaginary_is_the_sine_of_the_phase(
    lines: tuple[int, ...], sine: float
) -> None:
    """Of a line without its opposite nothing can be told, so it has no part in it; nor do samples
    that the mask leaves out."""
    samples = mask(*lines)
    phase = np.exp(1j * np.arcsin(sine))
    maximum, imaginary = survey(iter([transformed(images(2) * phase)]), samples, "k")
    assert imaginary == pytest.approx(sine, abs=1e-12)
    made = np.fft.ifft2(transformed(images(2) * phase) * samples, norm="ortho").real
    assert maximum == pytest.approx(made.max(), rel=1e-6)


def test_phase_of_more_than_a_percent_is_refused() -> None:
    given = transformed(images(1) * np.exp(1j * np.arcsin(0.011)))
    with pytest.raises(InputError, match=r"has a phase or noise, of 0\.6 degrees"):
        survey(iter([given]), np.ones(SIZE, bool), "k")


@pytest.mark.parametrize("bright", [0, 1, 2])
def test_a_volume_is_measured_over_all_its_blocks(bright: int) -> None:
    """Whichever of them is bright, and though others hold nothing."""
    blocks = [np.zeros((1, *SIZE), complex) for _ in range(3)]
    blocks[bright] = transformed(images(1))
    maximum, _ = survey(iter(blocks), np.ones(SIZE, bool), "k")
    assert maximum == pytest.approx(images(1).max(), rel=1e-6)


@pytest.mark.parametrize(("least", "refused"), [(-2.5, True), (-1.5, False)])
def test_an_image_is_negative_if_it_reaches_further_below_zero_than_above(
    least: float, refused: bool
) -> None:
    volume = images(1)
    volume[0, 3, 3] = least
    volume[0, 0, 0] = 2
    given = iter([transformed(volume)])
    if refused:
        with pytest.raises(InputError, match="its image is negative"):
            survey(given, np.ones(SIZE, bool), "k")
    else:
        assert survey(given, np.ones(SIZE, bool), "k")[0] == pytest.approx(2, rel=1e-6)


def test_values_beyond_single_precision_are_counted() -> None:
    given = transformed(images(1))
    given[0, 0, :2] = 1e39, np.nan
    with pytest.raises(InputError, match="holds 2 NaN or infinite values"):
        survey(iter([given]), np.ones(SIZE, bool), "k")


def test_kspace_that_is_zero_where_it_was_sampled_is_refused() -> None:
    given = transformed(images(1)) * ~mask(0, 1, 7)
    with pytest.raises(InputError, match="is zero wherever its mask says"):
        survey(iter([given]), mask(0, 1, 7), "k")


def test_a_mask_without_opposite_samples_tells_nothing_of_the_phase() -> None:
    samples = np.zeros(SIZE, bool)
    samples[1, 1] = samples[1, 2] = True
    with pytest.raises(InputError, match="samples no frequency together with its opposite"):
        survey(iter([transformed(images(1)) * samples]), samples, "k")


@pytest.mark.parametrize(("order", "said"), [("fft", "give --kspace-order"), ("shifted", "leave")])
def test_kspace_in_another_order_is_refused_with_the_remedy(order: Order, said: str) -> None:
    given = np.fft.fftshift(transformed(images(1)), axes=(-2, -1))
    with pytest.raises(InputError, match=said):
        survey(iter([given]), np.ones(SIZE, bool), "k", order)


def test_a_line_of_little_energy_was_sampled_nevertheless() -> None:
    """High frequencies of a smooth image have a millionth of its energy or less."""
    given = transformed(images(1))
    given[:, 4] *= 1e-5 * np.linalg.norm(given) / np.linalg.norm(given[:, 4])
    assert survey(iter([given]), np.ones(SIZE, bool), "k")[0] > 0
