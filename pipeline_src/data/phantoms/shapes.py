"""Soft-edged shapes and the canvas on which the synthetic phantoms are drawn.

Everything is drawn in normalised coordinates: the field of view spans [-1, 1] on both axes
whatever the matrix, so one set of anatomical random numbers gives the same anatomy at every
resolution. Axis 0 is y (downwards: anterior to posterior) and axis 1 is x.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from .fields import Array, pixel_centres

_TABLE_ANGLES = np.linspace(-np.pi, np.pi, 361)


def coverage(depth: Array, edge: float) -> Array:
    """Return the anti-aliased coverage, in [0, 1], of a region; same shape as ``depth``.

    ``depth`` is the signed distance inside the boundary (any shape, normalised units) and ``edge``
    the width of the ramp; one pixel gives the partial-volume effect of a real voxel.
    """
    return np.clip(depth / edge + 0.5, 0.0, 1.0)


def line_coverage(distance: Array, half_width: Array | float, edge: float) -> Array:
    """Return the coverage, in [0, 1], of a line from the distance to its centre.

    ``distance`` has any shape, ``half_width`` one that can be broadcast to that shape, and the
    result has the shape of ``distance``; both are in normalised units. Unlike `coverage` it stays
    right for lines thinner than a pixel, which only darken it partly.
    """
    return coverage(half_width - distance, edge) - coverage(-half_width - distance, edge)


def fourier_wobble(rng: np.random.Generator, amplitude: float, orders: int = 6) -> Array:
    """Draw the boundary wobble of a closed contour: `(orders, 2)` cosine and sine weights.

    Weights fall off with the order and ``amplitude`` is their relative size (0.05: 5% of radius).
    """
    falloff = 1.0 / np.arange(2, orders + 2)
    return amplitude * falloff[:, None] * rng.standard_normal((orders, 2))


def wobble_at(weights: Array, angles: Array) -> Array:
    """Evaluate the wobble ``weights`` `(orders, 2)` at ``angles`` (any shape, radians), in relative
    units; the result has the shape of ``angles``.
    """
    harmonics = np.arange(2, len(weights) + 2)[:, None] * _TABLE_ANGLES
    table = weights[:, 0] @ np.cos(harmonics) + weights[:, 1] @ np.sin(harmonics)
    return np.asarray(np.interp(angles, _TABLE_ANGLES, table))


@dataclass(frozen=True)
class Shape:
    """A superellipse with a Fourier-wobbled boundary.

    ``x``, ``y`` centre, ``a``, ``b`` semi-axes (normalised units), ``tilt`` in radians,
    ``power`` the superellipse exponent (2: ellipse, larger: squarer) and ``wobble`` the
    weights from `fourier_wobble`.
    """

    x: float
    y: float
    a: float
    b: float
    tilt: float = 0.0
    power: float = 2.0
    wobble: Array | None = None

    def radius(self, angles: Array) -> Array:
        """Return the boundary radius at ``angles`` (any shape, radians, in the tilted frame), same
        shape.
        """
        radius = (
            np.abs(np.cos(angles) / self.a) ** self.power
            + np.abs(np.sin(angles) / self.b) ** self.power
        ) ** (-1.0 / self.power)
        if self.wobble is None:
            return np.asarray(radius)
        return np.asarray(radius * (1.0 + wobble_at(self.wobble, angles)))

    def polar(self, x: Array, y: Array) -> tuple[Array, Array]:
        """Return distance from the centre and angle in the tilted frame, in [-pi, pi].

        ``x`` and ``y`` have the same shape (any shape), and so have both results; one shape for
        all.
        """
        dx, dy = x - self.x, y - self.y
        angle = np.arctan2(dy, dx) - self.tilt
        return np.hypot(dx, dy), (angle + np.pi) % (2.0 * np.pi) - np.pi

    def depth(self, x: Array, y: Array) -> Array:
        """Return the first-order signed distance to the boundary, positive inside.

        ``x`` (any shape) and ``y`` (same shape) are in the subject's frame; the result has that
        shape.
        """
        distance, angle = self.polar(x, y)
        table = self.radius(_TABLE_ANGLES)
        slope = np.gradient(table, _TABLE_ANGLES) / table
        # Dividing by the obliquity turns the radial gap into a gap along the normal.
        obliquity = np.interp(angle, _TABLE_ANGLES, np.sqrt(1.0 + slope**2))
        return np.asarray((np.interp(angle, _TABLE_ANGLES, table) - distance) / obliquity)


class Canvas:
    """One slice under drawing, with its pixel grid.

    ``image``, ``x`` and ``y`` have shape `(matrix, matrix)`; ``edge`` is the width of
    a border, ``edge_pixels`` pixels: one is partial volume alone, more adds blur.
    ``centre`` (x, y) and ``tilt`` (radians) place the subject's frame, in which ``x`` and
    ``y`` are given, within the field of view.
    """

    def __init__(
        self,
        matrix: int,
        centre: tuple[float, float] = (0.0, 0.0),
        tilt: float = 0.0,
        edge_pixels: float = 1.0,
    ) -> None:
        """Start a black slice of ``matrix`` pixels per side."""
        axis = pixel_centres(matrix)
        down, across = np.meshgrid(axis - centre[1], axis - centre[0], indexing="ij")
        self.image: Array = np.zeros((matrix, matrix))
        self.x: Array = across * np.cos(tilt) + down * np.sin(tilt)
        self.y: Array = down * np.cos(tilt) - across * np.sin(tilt)
        self.edge = edge_pixels * 2.0 / matrix

    def blend(self, cover: Array, value: Array | float) -> None:
        """Lay ``value`` over the image where ``cover`` (`(matrix, matrix)`, [0, 1]) says."""
        self.image += cover * (value - self.image)

    def paint(self, shape: Shape, value: float, softness: float = 0.0) -> None:
        """Fill ``shape`` with ``value``; ``softness`` widens the edge beyond ``edge``."""
        if min(shape.a, shape.b) <= 0.0:
            return
        edge = self.edge + softness
        reach = 1.5 * max(shape.a, shape.b) + edge
        near = (np.abs(self.x - shape.x) < reach) & (np.abs(self.y - shape.y) < reach)
        cover = coverage(shape.depth(self.x[near], self.y[near]), edge)
        self.image[near] += cover * (value - self.image[near])

    def paint_tube(self, path: Array, radius: Array, value: float, opacity: float = 1.0) -> None:
        """Fill the union of discs along ``path`` `(count, 2)` of ``radius`` `(count,)`."""
        path, radius = path[radius > 0.0], radius[radius > 0.0]
        if len(path) == 0:
            return
        low, high = path.min(axis=0), path.max(axis=0)
        reach = radius.max() + self.edge
        near = (self.x > low[0] - reach) & (self.x < high[0] + reach)
        near &= (self.y > low[1] - reach) & (self.y < high[1] + reach)
        gap = np.hypot(self.x[near, None] - path[:, 0], self.y[near, None] - path[:, 1])
        # A disc thinner than the edge covers it in proportion to its width only.
        cover = np.max(line_coverage(gap, radius, self.edge), axis=1, initial=0.0)
        self.image[near] += opacity * cover * (value - self.image[near])

    def nearest(
        self, points: Array, reach: float, where: NDArray[np.bool_]
    ) -> tuple[Array, NDArray[np.intp]]:
        """Return distance to, and index of, the nearest of ``points`` (`(count, 2)`, x and y).

        Only pixels in ``where`` are searched; those farther than ``reach`` get ``reach`` and 0.
        """
        distance = np.full(self.image.shape, reach)
        index = np.zeros(self.image.shape, dtype=np.intp)
        pixels = np.column_stack([self.x[where], self.y[where]])
        found, nearest = cKDTree(points).query(pixels, distance_upper_bound=reach)
        distance[where] = np.minimum(found, reach)
        index[where] = np.where(nearest < len(points), nearest, 0)
        return distance, index
