"""Surroundings of the heart in the synthetic cardiac phantom: lungs, abdomen, chest wall."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from .fields import Array
from .shapes import Canvas, Shape, coverage, fourier_wobble, line_coverage, wobble_at

# Typical bSSFP signals before coil bias: blood and fat bright, muscle dark.
_SIGNALS = {
    "air": 0.01,
    "lung": 0.08,
    "fat": 0.57,
    "blood": 0.52,
    "myocardium": 0.19,
    "muscle": 0.17,
    "liver": 0.26,
    "bone": 0.08,
    "marrow": 0.34,
    "lung_vessel": 0.22,
    "liver_vessel": 0.40,
    "stomach": 0.34,
}


def draw_signals(rng: np.random.Generator) -> dict[str, float]:
    """Draw one patient's tissue signals, each a few per cent around its typical value."""
    return {name: typical * rng.normal(1.0, 0.06) for name, typical in _SIGNALS.items()}


class Thorax:
    """Everything in the field of view but the heart, for one patient.

    ``floor`` is the y at which the heart rests on the diaphragm and ``front`` its distance to
    the chest wall, both in normalised units.
    """

    def __init__(
        self, rng: np.random.Generator, signal: dict[str, float], floor: float, front: float
    ) -> None:
        """Draw the patient's random numbers; ``signal`` comes from `draw_signals`."""
        self._signal = signal
        self._facing = rng.uniform(-0.55, -0.15)  # radians; the wall faces the upper left
        self._wall_at = front + rng.uniform(0.02, 0.12)
        self._wall_curve = rng.uniform(0.10, 0.25)
        self._fat_layer = rng.uniform(0.08, 0.20)
        self._wall_wave = fourier_wobble(rng, 0.10)
        self._ribs = -0.75 + 0.5 * np.arange(4) + rng.uniform(-0.12, 0.12, 4)
        self._coil_elements = rng.uniform([-0.6, 0.2], [-0.1, 0.7])
        self._dome = floor + rng.uniform(-0.04, 0.08)
        self._dome_tilt = rng.uniform(-0.30, -0.05)
        self._dome_wave = fourier_wobble(rng, 0.05)
        self._stomach = rng.uniform([0.50, 0.80, 0.24], [0.80, 1.0, 0.36])
        self._stomach_wave = fourier_wobble(rng, 0.12)
        self._aorta = rng.uniform([0.45, 0.52, 0.075], [0.62, 0.66, 0.095])
        # Vessels: x, y, heading, length, radius, bend.
        low, high = [-1.0, -0.7, -np.pi, 0.15, 0.006, -2.0], [1.0, 0.9, np.pi, 0.6, 0.020, 2.0]
        self._lung_vessels = rng.uniform(low, high, (44, 6))
        self._liver_vessels = rng.uniform(low, high, (26, 6))

    def draw_behind(self, canvas: Canvas, z: float, ripple: Array) -> None:
        """Draw what the heart lies in front of, at ``z`` in [-1, 1] (base to apex).

        ``ripple`` `(matrix, matrix)` is a unit random field that roughens the borders.
        """
        canvas.image += self._signal["lung"] * (1.0 + 0.25 * ripple)
        for vessel in self._lung_vessels:
            self._draw_vessel(canvas, vessel, z, self._signal["lung_vessel"])
        x, y, radius = self._aorta
        canvas.paint(Shape(x, y, 1.2 * radius, 1.15 * radius), self._signal["muscle"])
        canvas.paint(Shape(x, y, radius, radius), self._signal["blood"])
        self._draw_abdomen(canvas, z, ripple)

    def _draw_vessel(
        self, canvas: Canvas, vessel: Array, z: float, value: float, within: Shape | None = None
    ) -> None:
        """Draw one tapering curved vessel, cut off where it leaves the organ ``within``."""
        x, y, heading, length, radius, bend = vessel
        at = np.linspace(0.0, 1.0, 24)
        angle = heading + bend * at + 0.4 * z
        step = length / len(at)
        path = np.column_stack(
            [x + 0.15 * z + step * np.cumsum(np.cos(angle)), y + step * np.cumsum(np.sin(angle))]
        )
        taper = radius * (1.2 - at)
        if within is not None:
            taper = np.where(within.depth(path[:, 0], path[:, 1]) > 0.03, taper, 0.0)
        canvas.paint_tube(path, taper, value)

    def _draw_abdomen(self, canvas: Canvas, z: float, ripple: Array) -> None:
        """Draw liver and stomach; the diaphragm rises towards the apex."""
        signal, edge = self._signal, canvas.edge
        x, y, size = self._stomach
        stomach = Shape(x, y - 0.06 * z, 1.2 * size, size, 0.3, 2.2, self._stomach_wave)
        canvas.paint(replace(stomach, a=stomach.a + 0.03, b=size + 0.03), signal["fat"], 0.03)
        canvas.paint(stomach, signal["stomach"])
        top = self._dome - 0.04 * z
        liver = Shape(-0.50, top + 0.9, 1.10, 0.9, self._dome_tilt, 2.3, self._dome_wave)
        depth = liver.depth(canvas.x, canvas.y) + 0.004 * ripple
        # The diaphragm is a thin dark sheet over the liver.
        canvas.blend(coverage(depth + 0.015, edge), signal["muscle"])
        canvas.blend(coverage(depth, edge), signal["liver"])
        for vessel in self._liver_vessels:
            self._draw_vessel(canvas, vessel, z, signal["liver_vessel"], liver)

    def _outward(self, canvas: Canvas) -> tuple[Array, Array]:
        """Return coordinates along the chest wall and outwards from it, `(matrix, matrix)`."""
        facing = (np.sin(self._facing), -np.cos(self._facing))
        along = canvas.x * facing[1] - canvas.y * facing[0]
        outward = canvas.x * facing[0] + canvas.y * facing[1] + self._wall_curve * along**2
        return along, outward

    def coil(self, canvas: Canvas) -> Array:
        """Return the positive gain of the anterior coils, near 1 mid-image, `(matrix, matrix)`."""
        along, outward = self._outward(canvas)
        gain = np.exp(0.40 * np.clip(outward, -1.2, 1.0))
        # Fat right under a coil element is the brightest thing in the image.
        for place in self._coil_elements:
            squared = (along - place) ** 2 + (outward - self._wall_at - 0.15) ** 2
            gain *= 1.0 + 0.45 * np.exp(-squared / 0.2**2)
        return np.asarray(gain)

    def draw_chest_wall(self, canvas: Canvas, ripple: Array) -> None:
        """Draw intercostal muscle, ribs, subcutaneous fat, skin and the air in front.

        ``ripple`` `(matrix, matrix)` is a unit random field that roughens the borders.
        """
        signal, edge = self._signal, canvas.edge
        along, outward = self._outward(canvas)
        depth = outward - self._wall_at + 0.3 * wobble_at(self._wall_wave, 2.0 * along)
        canvas.blend(coverage(depth + 0.015 + 0.008 * ripple, edge), signal["fat"])
        canvas.blend(coverage(depth, edge), signal["muscle"])
        for place in self._ribs:
            gap = np.hypot((along - place) / 1.9, depth - 0.055)
            canvas.blend(coverage(0.042 - gap, edge), signal["bone"])
            canvas.blend(coverage(0.026 - gap, edge), signal["marrow"])
        canvas.blend(coverage(depth - 0.11 + 0.006 * ripple, edge), signal["fat"])
        # A dark sheet of fascia runs through the fat.
        canvas.blend(line_coverage(np.abs(depth - 0.16), 0.008, edge), signal["muscle"])
        canvas.blend(coverage(depth - 0.11 - self._fat_layer, edge), signal["muscle"])
        canvas.blend(coverage(depth - 0.13 - self._fat_layer, edge), signal["air"])
