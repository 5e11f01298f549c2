"""Masks of other kinds: how much they sample, where, and that a seed tells them."""

from __future__ import annotations

import numpy as np
import pytest

from pipeline_src.config.shifts import FAMILIES
from pipeline_src.sampling.data_fidelity import FourierDataFidelity, data_fidelity
from pipeline_src.sampling.families import LINES, POISSON_DISC, draw_samples
from pipeline_src.sampling.masks import Mask

MATRIX, CENTER = (64, 48), 6
Samples = np.ndarray[tuple[int, int], np.dtype[np.bool_]]


def drawn(
    family: str, acceleration: int = 4, seed: int = 0, matrix: tuple[int, int] = MATRIX
) -> Samples:
    return draw_samples(family, matrix, acceleration, CENTER, np.random.default_rng(seed))


def centred_lines(samples: Samples) -> list[int]:
    """Sampled lines, `rows // 2` being the zero frequency."""
    assert (samples == samples[:, :1]).all()
    return [int(line) for line in np.flatnonzero(np.fft.fftshift(samples[:, 0]))]


def test_the_families_of_a_configuration_are_those_that_are_drawn() -> None:
    # Those of the trainings are no other kind of mask.
    assert set(FAMILIES) == {*LINES, POISSON_DISC} - {"kt_focus"}


@pytest.mark.parametrize("family", [*LINES, POISSON_DISC])
@pytest.mark.parametrize("acceleration", [2, 4, 10])
def test_as_much_of_k_space_is_sampled_as_of_whole_lines(family: str, acceleration: int) -> None:
    samples = drawn(family, acceleration)
    assert samples.shape == MATRIX
    assert samples.sum() == MATRIX[0] // acceleration * MATRIX[1]


@pytest.mark.parametrize("family", LINES)
def test_lowest_lines_are_always_among_them(family: str) -> None:
    middle = MATRIX[0] // 2
    assert set(range(middle - 3, middle + 3)) <= set(centred_lines(drawn(family)))


@pytest.mark.parametrize("family", [*LINES, POISSON_DISC])
def test_a_seed_tells_a_mask_to_the_bit(family: str) -> None:
    assert (drawn(family, seed=3) == drawn(family, seed=3)).all()
    assert (drawn(family, seed=3) != drawn(family, seed=4)).any()


def test_equispaced_lines_have_equal_distances_outside_the_centre() -> None:
    lines = centred_lines(drawn("equispaced", matrix=(96, 4)))
    middle = 96 // 2
    outside = [line for line in lines if not middle - 3 <= line < middle + 3]
    # 90 lines outside for 18 samples: every fifth.
    below = [line for line in outside if line < middle]
    assert len(outside) == 18
    assert set(np.diff(below)) == {5}


def test_densities_differ_as_their_names_say() -> None:
    """Share of the samples outside the centre that lie in the outer half of k-space."""
    shares = {}
    for family in LINES:
        outer = 0
        for seed in range(200):
            lines = np.array(centred_lines(drawn(family, seed=seed)))
            outer += int((np.abs(lines - MATRIX[0] / 2) > MATRIX[0] / 4).sum())
        shares[family] = outer / (200 * (MATRIX[0] // 4 - CENTER))
    # Of 58 lines outside, 31 or 32 lie there.
    assert shares["uniform"] == pytest.approx(31.5 / 58, abs=0.05)
    assert shares["equispaced"] == pytest.approx(31.5 / 58, abs=0.05)
    # The weight of exp(-0.5 (k / (N/6))^2) beyond 1.5 standard deviations.
    k = np.abs(np.arange(MATRIX[0]) - MATRIX[0] / 2)
    weight = np.exp(-0.5 * (k / (MATRIX[0] / 6)) ** 2) * (k > 3)
    assert shares["gaussian"] == pytest.approx(weight[k > 16].sum() / weight.sum(), abs=0.08)
    assert shares["gaussian"] < shares["kt_focus"] < shares["uniform"]


def test_poisson_disc_is_two_dimensional_around_a_sampled_centre() -> None:
    samples = drawn(POISSON_DISC)
    mask = Mask(samples, {})
    assert mask.lines is None
    assert isinstance(data_fidelity(mask), FourierDataFidelity)
    centred = np.fft.fftshift(samples)
    assert centred[29:35, 22:26].all()
    # Both directions are undersampled.
    assert not samples.all(axis=0).any()
    assert not samples.all(axis=1).any()


def test_samples_of_a_poisson_disc_keep_apart() -> None:
    """Neighbours side by side are rarer than where as many samples are drawn at random."""

    def touching(samples: Samples) -> int:
        return int((samples[1:] & samples[:-1]).sum() + (samples[:, 1:] & samples[:, :-1]).sum())

    poisson = drawn(POISSON_DISC, 8, matrix=(64, 64))
    rng = np.random.default_rng(0)
    random = rng.permutation(poisson.ravel()).reshape(poisson.shape)
    # Those of the 6 x 6 centre, of which random samples have none, are 60.
    assert touching(poisson) - 60 < touching(random) / 4
