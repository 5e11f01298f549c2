"""Random fields of the synthetic phantoms: smooth fields, coil bias, texture and noise.

Fields are splines over lattices of a fixed size, so that one generator draws the same field at
every matrix and number of slices; only the noise is drawn pixel by pixel.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.interpolate import BSpline

Array = NDArray[np.float64]


def pixel_centres(count: int) -> Array:
    """Return the centres of ``count`` equal cells of [-1, 1], shape `(count,)`."""
    return (2.0 * np.arange(count) + 1.0) / count - 1.0


def _spline_basis(knots: int, count: int) -> Array:
    """Cubic B-spline weights, `(count, knots)`, of ``count`` cells of [-1, 1]."""
    spacing = 2.0 / (knots - 3)
    edges = -1.0 + spacing * np.arange(-3, knots + 1)
    return np.asarray(BSpline.design_matrix(pixel_centres(count), edges, 3).toarray())


def smooth_field(
    rng: np.random.Generator, matrix: int, slices: int, knots: int, slice_knots: int = 6
) -> Array:
    """Draw a smooth random volume of zero mean and about unit variance.

    Shape `(matrix, matrix, slices)`. ``knots`` per in-plane axis (at least 4) sets the
    correlation length, 2 / (knots - 3) normalised units, independent of the matrix.
    """
    lattice = rng.standard_normal((knots, knots, slice_knots))
    plane, through = _spline_basis(knots, matrix), _spline_basis(slice_knots, slices)
    field = np.tensordot(lattice, through, axes=(2, 1))
    field = np.matmul(plane, np.moveaxis(field, 2, 0)) @ plane.T
    # A cubic B-spline of white noise keeps about 0.48 of the variance per axis.
    return np.asarray(np.moveaxis(field, 0, 2) / 0.48**1.5)


def bias_field(rng: np.random.Generator, matrix: int, slices: int, strength: float) -> Array:
    """Draw a multiplicative coil-sensitivity bias, positive, shape `(matrix, matrix, slices)`."""
    return np.asarray(np.exp(strength * smooth_field(rng, matrix, slices, 5, 4)))


def tissue_texture(rng: np.random.Generator, matrix: int, slices: int, strength: float) -> Array:
    """Draw multiplicative tissue texture around 1 at two scales, `(matrix, matrix, slices)`."""
    fine = smooth_field(rng, matrix, slices, 110, 12)
    coarse = smooth_field(rng, matrix, slices, 36, 8)
    return 1.0 + strength * (0.6 * fine + 0.8 * coarse)


def finish_volume(rng: np.random.Generator, clean: Array, noise: float) -> NDArray[np.float32]:
    """Add Rician noise and scale to a maximum of 1; the shape stays the same.

    ``clean`` is the noise-free `(matrix, matrix, slices)` volume, ``noise`` the standard deviation
    of each of the real and imaginary channels relative to a signal of 1.
    """
    real, imaginary = noise * rng.standard_normal((2, *clean.shape))
    magnitude = np.hypot(np.maximum(clean, 0.0) + real, imaginary)
    return np.asarray(magnitude / magnitude.max(), dtype=np.float32)
