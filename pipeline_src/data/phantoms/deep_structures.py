"""Tissue signals and deep structures of the synthetic brain phantom (drawn, not segmented)."""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np
from scipy.interpolate import CubicSpline

from .shapes import Canvas, Shape, fourier_wobble


@dataclass(frozen=True)
class Signals:
    """T1-weighted signal of each tissue, relative to fresh blood flowing into the slab."""

    skin: float = 0.16
    fat: float = 0.37
    muscle: float = 0.15
    bone: float = 0.03
    marrow: float = 0.14
    csf: float = 0.07
    grey: float = 0.190
    white: float = 0.29
    deep_grey: float = 0.21
    pallidum: float = 0.25
    vessel: float = 1.0


def draw_signals(rng: np.random.Generator) -> Signals:
    """Draw one subject's tissue signals, each a few per cent around its typical value."""
    typical = Signals()
    return Signals(*(getattr(typical, f.name) * rng.normal(1.0, 0.03) for f in fields(typical)))


class DeepStructures:
    """Nuclei and ventricles of one subject.

    ``z`` is the height in the slab, from -1 (basal ganglia) to 1 (above the ventricles).
    """

    def __init__(self, rng: np.random.Generator, signal: Signals) -> None:
        """Draw the subject's random numbers; ``signal`` comes from `draw_signals`."""
        self._signal = signal
        self._ventricle = rng.uniform(0.75, 1.35)  # size relative to a typical one
        self._ventricle_side = rng.uniform(0.88, 1.12, 2)
        self._size = rng.normal(1.0, 0.06, (2, 4))
        self._wobble = [fourier_wobble(rng, 0.10) for _ in range(8)]

    def draw_nuclei(self, canvas: Canvas, z: float) -> None:
        """Draw caudate, putamen, pallidum and thalamus, which shrink towards the upper slices."""
        signal = self._signal
        # x, y, semi-axes, tilt, height at which the nucleus ends, signal.
        table = [
            (0.115, -0.20, 0.042, 0.085, -0.20, 0.60, signal.deep_grey),
            (0.245, -0.06, 0.042, 0.135, -0.22, 0.35, signal.deep_grey),
            (0.185, -0.02, 0.032, 0.075, -0.30, 0.00, signal.pallidum),
            (0.085, 0.10, 0.066, 0.115, -0.35, 0.25, signal.deep_grey),
        ]
        for side, sign in enumerate((-1.0, 1.0)):
            for kind, (x, y, a, b, tilt, top, value) in enumerate(table):
                size = self._size[side, kind] * np.sqrt(np.clip(1.6 * (top - z), 0.0, 1.0))
                wobble = self._wobble[4 * side + kind]
                shape = Shape(sign * x, y, a * size, b * size, sign * tilt, 2.2, wobble)
                canvas.paint(shape, value, softness=0.012)

    def draw_ventricles(self, canvas: Canvas, z: float) -> None:
        """Draw the lateral ventricles (horns, body, atrium) and the third ventricle."""
        at = np.linspace(0.0, 1.0, 40)
        marks = [0.0, 0.25, 0.5, 0.75, 1.0]
        x = CubicSpline(marks, [0.105, 0.060, 0.062, 0.145, 0.210])(at)
        y = CubicSpline(marks, [-0.31, -0.16, 0.02, 0.19, 0.36])(at)
        base = CubicSpline(marks, [0.016, 0.036, 0.032, 0.046, 0.014])(at)
        # The roof is lowest at the horns; below the body the thalamus takes its place.
        roof = np.clip((0.70 - 0.5 * np.abs(2.0 * at - 1.0) - z) / 0.4, 0.0, 1.0)
        floor = 0.07 * np.exp(-(((at - 0.5) / 0.13) ** 2)) * np.clip(0.1 - z, 0.0, 0.8)
        for side, sign in enumerate((-1.0, 1.0)):
            size = self._ventricle * self._ventricle_side[side]
            radius = size * (base * np.sqrt(roof)) - floor
            canvas.paint_tube(np.column_stack([sign * x, y]), radius, self._signal.csf)
        if z < 0.0:
            slit = np.column_stack([np.zeros(20), np.linspace(-0.06, 0.13, 20)])
            canvas.paint_tube(slit, np.full(20, 0.011 * self._ventricle), self._signal.csf)
