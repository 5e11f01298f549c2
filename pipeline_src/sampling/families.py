"""Masks of other kinds than those that trainings draw, the lowest frequencies always sampled."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from pipeline_src.sampling.masks import center_block, draw_lines, lines_mask

Lines = NDArray[np.bool_]
#: Share of the lines that is the standard deviation of the Gaussian density.
GAUSSIAN_WIDTH = 1 / 6
#: Points that a Poisson disc of radius r has per area of r^2 with so many candidates; where some of
#: them share a sample of the grid, so that these are too few, the radius shrinks by this factor.
CANDIDATES, DENSITY, SHRINK = 10, 0.52, 0.93


def _kt_focus(
    lines: int, acceleration: int, center_lines: int, rng: np.random.Generator
) -> NDArray[np.intp]:
    """As trainings draw them."""
    drawn = draw_lines(lines, acceleration, rng, center_lines)
    return np.flatnonzero(np.fft.fftshift(drawn))


def _equispaced(
    lines: int, acceleration: int, center_lines: int, rng: np.random.Generator
) -> NDArray[np.intp]:
    """At equal distances among the lines outside the centre, from a drawn first one."""
    outside, count = _outside(lines, acceleration, center_lines)
    places = (np.arange(count) + rng.random()) * len(outside) / max(count, 1)
    chosen: NDArray[np.intp] = outside[places.astype(int)]
    return chosen


def _uniform(
    lines: int, acceleration: int, center_lines: int, rng: np.random.Generator
) -> NDArray[np.intp]:
    outside, count = _outside(lines, acceleration, center_lines)
    return rng.choice(outside, count, replace=False)


def _gaussian(
    lines: int, acceleration: int, center_lines: int, rng: np.random.Generator
) -> NDArray[np.intp]:
    """exp(-0.5 ((k - N/2) / (N/6))^2), without the floor that kt-FOCUSS adds to a narrower one."""
    outside, count = _outside(lines, acceleration, center_lines)
    density = np.exp(-0.5 * ((outside - lines / 2) / (lines * GAUSSIAN_WIDTH)) ** 2)
    return rng.choice(outside, count, replace=False, p=density / density.sum())


def _outside(lines: int, acceleration: int, center_lines: int) -> tuple[NDArray[np.intp], int]:
    """The centred lines outside the centre, and how many of them are sampled."""
    outside = np.delete(np.arange(lines), center_block(lines, center_lines))
    return outside, lines // acceleration - center_lines


#: By family, what draws centred lines (index `lines // 2` is zero frequency).
LINES: dict[str, Callable[[int, int, int, np.random.Generator], NDArray[np.intp]]] = {
    "kt_focus": _kt_focus,
    "equispaced": _equispaced,
    "uniform": _uniform,
    "gaussian": _gaussian,
}
POISSON_DISC = "poisson_disc"


def draw_samples(
    family: str,
    matrix: tuple[int, int],
    acceleration: int,
    center_lines: int,
    rng: np.random.Generator,
) -> NDArray[np.bool_]:
    """A mask `(rows, columns)` in FFT order that samples int(rows / R) lines, or of `poisson_disc`
    as many single samples as int(rows / R) lines have.

    Raises:
        KeyError: there is no such family.
    """
    rows, columns = matrix
    if family == POISSON_DISC:
        return _poisson_disc(matrix, rows // acceleration * columns, center_lines, rng)
    chosen = np.zeros(rows, dtype=np.bool_)
    chosen[center_block(rows, center_lines)] = True
    chosen[LINES[family](rows, acceleration, center_lines, rng)] = True
    return lines_mask(np.fft.ifftshift(chosen), columns)


def _poisson_disc(
    matrix: tuple[int, int], count: int, center_lines: int, rng: np.random.Generator
) -> NDArray[np.bool_]:
    """So many samples: a centred block as wide in both directions as the lowest lines are in one,
    and points of a Poisson disc (Bridson 2007) on the grid, of which as many are left out at random
    as are too many."""
    # Imported where it is drawn: it takes long, and no other mask needs it.
    from scipy.stats.qmc import PoissonDisk

    rows, columns = matrix
    chosen = np.zeros(matrix, dtype=np.bool_)
    wide = math.ceil(center_lines * columns / rows)
    chosen[center_block(rows, center_lines), center_block(columns, wide)] = True
    needed, free = count - int(chosen.sum()), int((~chosen).sum())
    radius = math.sqrt(DENSITY * free / max(needed, 1))
    points = np.empty(0, dtype=np.intp)
    while len(points) < needed:
        disc = PoissonDisk(
            2,
            radius=radius,
            ncandidates=CANDIDATES,
            rng=rng,
            l_bounds=(0, 0),
            u_bounds=matrix,
        )
        at = disc.fill_space().astype(int)
        flat = np.unique(np.ravel_multi_index((at[:, 0], at[:, 1]), matrix, mode="clip"))
        points = flat[~chosen.ravel()[flat]]
        radius *= SHRINK
    chosen.ravel()[rng.choice(points, needed, replace=False)] = True
    return np.fft.ifftshift(chosen)
