"""Cortical folding of the synthetic brain phantom: drawn sulci, not segmented ones.

Sulci are grown inwards from the brain surface and from the interhemispheric fissure as
meandering, forking curves whose length, position and bend change smoothly through the slab.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .fields import Array
from .shapes import Shape, fourier_wobble

_STEP = 0.008  # spacing of the points along a sulcus, in normalised units
_SAMPLES = 40  # points along the longest sulcus


@dataclass(frozen=True)
class _Sulci:
    """Random numbers of a family of sulci; every array has one row per sulcus."""

    start: Array  # surface angle in radians, or y on the midline
    length: Array
    width: Array  # CSF half-width
    drift: Array  # how far the start moves through half the slab
    bend: Array  # (count, 3) weights of the meander
    phase: Array
    branch: Array  # fraction of the length at which a side branch leaves
    turn: Array  # signed angle of the side branch


def _draw_sulci(rng: np.random.Generator, start: Array, mean_length: float) -> _Sulci:
    count = len(start)
    return _Sulci(
        start=start,
        length=mean_length * np.exp(0.4 * rng.standard_normal(count)),
        width=rng.uniform(0.002, 0.0065, count),
        drift=rng.uniform(-0.15, 0.15, count),
        bend=rng.standard_normal((count, 3)) * [0.35, 0.45, 0.35],
        phase=rng.uniform(0.0, 2.0 * np.pi, count),
        branch=rng.uniform(0.3, 0.8, count),
        turn=rng.choice([-1.0, 1.0], count) * rng.uniform(0.8, 1.5, count),
    )


def _grow(sulci: _Sulci, origin: Array, heading: Array, z: float) -> tuple[Array, Array]:
    """Trace sulci with their branches: points `(count, 2)` and half-widths `(count,)`."""
    fraction = np.arange(_SAMPLES) / _SAMPLES
    length = sulci.length * (1.0 + 0.4 * np.sin(2.0 * z + sulci.phase))
    along = np.minimum(length / _STEP, _SAMPLES)
    swing = sulci.bend * np.cos(1.2 * z + sulci.phase[:, None] * [1.0, 2.0, 3.0])
    angle = heading[:, None] + (
        swing[:, :1] * np.sin(3.0 * np.pi * fraction)
        + swing[:, 1:2] * np.sin(6.0 * np.pi * fraction)
        + swing[:, 2:] * fraction * 2.5
    )
    trunk = origin[:, None, :] + _walk(angle)
    on_trunk = np.arange(_SAMPLES) < along[:, None]
    # Sulci gape at the surface and close towards the fundus.
    taper = sulci.width[:, None] * (1.6 - 1.1 * np.arange(_SAMPLES) / along[:, None])

    rows = np.arange(len(along))
    fork = np.minimum((sulci.branch * along).astype(int), _SAMPLES - 1)
    side_angle = angle[rows, fork, None] + sulci.turn[:, None] * (1.0 - 0.5 * fraction)
    twig = trunk[rows, fork][:, None, :] + _walk(side_angle)
    on_twig = np.arange(_SAMPLES) < 0.5 * along[:, None]
    twig_width = np.broadcast_to(0.6 * sulci.width[:, None], on_twig.shape)
    points = np.concatenate([trunk[on_trunk], twig[on_twig]])
    return points, np.concatenate([taper[on_trunk], twig_width[on_twig]])


def _walk(angle: Array) -> Array:
    """Cumulate unit steps along ``angle`` `(count, samples)` into `(count, samples, 2)`."""
    return np.asarray(np.cumsum(_STEP * np.stack([np.cos(angle), np.sin(angle)], -1), axis=1))


def _polyline(corners: list[tuple[float, float]]) -> Array:
    """Sample a polyline through ``corners`` (x, y) every `_STEP`, shape `(count, 2)`."""
    path = np.asarray(corners)
    knots = np.concatenate([[0.0], np.cumsum(np.hypot(*np.diff(path, axis=0).T))])
    at = np.linspace(0.0, knots[-1], max(int(knots[-1] / _STEP), 2))
    return np.column_stack([np.interp(at, knots, path[:, 0]), np.interp(at, knots, path[:, 1])])


def _evenly(rng: np.random.Generator, low: float, high: float, count: int) -> Array:
    """Draw ``count`` jittered, well separated positions between ``low`` and ``high``."""
    return low + (high - low) * (np.arange(count) + rng.uniform(0.1, 0.9, count)) / count


class Folding:
    """The sulci and fissures of one subject, traced slice by slice with `trace`."""

    def __init__(self, rng: np.random.Generator) -> None:
        """Draw the subject's random numbers."""
        surface = _evenly(rng, -np.pi, np.pi, int(rng.integers(37, 45)))
        self._surface = _draw_sulci(rng, surface, rng.uniform(0.16, 0.20))
        self._medial_side = np.repeat([-1.0, 1.0], 9)
        medial = np.concatenate([_evenly(rng, -0.9, 0.9, 9) for _ in range(2)])
        self._medial = _draw_sulci(rng, medial, rng.uniform(0.10, 0.14))
        self._fissure_wave = fourier_wobble(rng, 0.012, 4)
        self._fissure_width = rng.uniform(0.006, 0.012)
        self._sylvian_y = rng.uniform(-0.12, -0.02, 2)
        self._sylvian_width = rng.uniform(0.007, 0.014, 2)
        self._insula_x = rng.uniform(0.34, 0.37, 2)

    def _midline(self, y: Array) -> Array:
        """Return the x of the interhemispheric fissure at ``y``, same shape."""
        orders = np.arange(2, len(self._fissure_wave) + 2)[:, None]
        return np.asarray((self._fissure_wave[:, :1] * np.sin(orders * 2.0 * y)).sum(axis=0))

    def trace(self, brain: Shape, z: float, callosum: tuple[float, float]) -> tuple[Array, Array]:
        """Trace every sulcus of the slice at height ``z`` in [-1, 1].

        ``brain`` is the brain outline in the upright frame; ``callosum`` the y range in which
        the hemispheres are joined (empty above the corpus callosum). Returns points
        `(count, 2)` and their CSF half-widths `(count,)`, in normalised units.
        """
        angle = self._surface.start + self._surface.drift * z
        radius = brain.radius(angle)
        origin = radius[:, None] * np.stack([np.cos(angle), np.sin(angle)], axis=-1)
        # Aim at the midline rather than at the centre: the head is longer than it is wide.
        aim = origin * [0.1, 0.45] - origin
        points, widths = zip(
            _grow(self._surface, origin, np.arctan2(aim[:, 1], aim[:, 0]), z),
            self._trace_medial(brain, z, callosum),
            *(self._trace_sylvian(brain, z, side) for side in (0, 1)),
            strict=True,
        )
        return np.concatenate(points), np.concatenate(widths)

    def _trace_medial(
        self, brain: Shape, z: float, callosum: tuple[float, float]
    ) -> tuple[Array, Array]:
        """Trace the interhemispheric fissure and the sulci that leave it sideways."""
        y = np.arange(-brain.b, brain.b, _STEP)
        y = y[(y < callosum[0]) | (y > callosum[1])]
        fissure = np.column_stack([self._midline(y), y])
        start = (self._medial.start + 0.5 * self._medial.drift * z) * brain.b
        open_here = (start < callosum[0]) | (start > callosum[1])
        origin = np.column_stack([self._midline(start), start])
        # Closed entries are moved out of reach, so that all sulci keep their order.
        origin[~open_here] = 9.0
        heading = np.where(self._medial_side > 0, 0.0, np.pi)
        points, widths = _grow(self._medial, origin, heading, z)
        return (
            np.concatenate([fissure, points]),
            np.concatenate([np.full(len(fissure), self._fissure_width), widths]),
        )

    def _trace_sylvian(self, brain: Shape, z: float, side: int) -> tuple[Array, Array]:
        """Trace one Sylvian fissure with the insular cleft; it closes in the upper slices."""
        sign = (-1.0, 1.0)[side]
        rise = np.clip(0.6 * (z + 1.0), 0.0, 1.0)
        inner = self._insula_x[side] + rise * 0.13
        arm = 0.15 * (1.0 - 0.8 * rise)
        y = self._sylvian_y[side] + 0.1 * rise
        path = [(1.02 * brain.a, y + 0.06), (0.5 * (brain.a + inner), y + 0.02), (inner, y)]
        cleft = [(inner + 0.03, y - arm), (inner, y - 0.3 * arm), (inner + 0.02, y + arm)]
        points = np.concatenate([_polyline(path), _polyline(cleft)]) * [sign, 1.0]
        return points, np.full(len(points), self._sylvian_width[side] * (1.0 - 0.6 * rise))
