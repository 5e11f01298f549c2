"""Synthetic short-axis cine slices of the heart, bSSFP-like: a drawn phantom, not patient data.

Slices run from base (first) to apex (last). The field of view is a crop around the heart:
chest wall in front, lungs beside, liver below the heart, spine and descending aorta behind.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from .fields import (
    Array,
    bias_field,
    finish_volume,
    pixel_centres,
    smooth_field,
    tissue_texture,
)
from .shapes import Canvas, Shape, coverage, fourier_wobble, wobble_at
from .thorax import Thorax, draw_signals

# Thick slices (8 mm) and heart motion blur the edges a little beyond one pixel.
_EDGE_PIXELS = 1.5


class _Patient:
    """Every anatomical random number of one patient, and the drawing of one slice.

    All numbers are drawn here, whatever the phase, so that both phases share the anatomy.
    """

    def __init__(self, rng: np.random.Generator) -> None:
        self.signal = draw_signals(rng)
        self.heart = rng.uniform([0.04, -0.08], [0.16, 0.02])
        self.axis_drift = rng.uniform([0.02, 0.0], [0.10, 0.06])  # the long axis is oblique
        self.radius = rng.uniform(0.24, 0.30)  # end-diastolic endocardial radius at the base
        self.wall = rng.uniform(0.085, 0.115)
        self.ejection = rng.uniform(0.26, 0.40)  # fractional shortening of the radius
        self.oval = rng.uniform(0.93, 1.07)
        self.lv_tilt = rng.uniform(0.0, np.pi)
        self.endo_wave, self.epi_wave = fourier_wobble(rng, 0.07), fourier_wobble(rng, 0.03)
        # Two papillary muscles: angles, then sizes relative to the cavity radius.
        self.papillary = rng.uniform([0.4, 2.0, 0.18, 0.18], [0.9, 2.6, 0.27, 0.27])
        self.rv_angle = np.pi + rng.uniform(-0.15, 0.45)
        self.rv_size = rng.uniform(0.90, 1.10)
        self.rv_wave, self.sac_wave = fourier_wobble(rng, 0.12, 9), fourier_wobble(rng, 0.10)
        self.fat_share = rng.uniform(0.015, 0.05)  # thickness of the epicardial fat
        outer = self.radius + self.wall
        self.thorax = Thorax(
            rng, self.signal, floor=self.heart[1] + 0.9 * outer, front=outer - self.heart[1]
        )

    def draw(self, matrix: int, z: float, contraction: float, ripple: Array) -> Array:
        """Draw the noise-free slice at ``z`` in [-1, 1] (base to apex), `(matrix, matrix)`.

        ``contraction`` runs from 0 (end diastole) to 1 (end systole); ``ripple``
        `(matrix, matrix)` is a unit random field that roughens the tissue borders.
        """
        canvas = Canvas(matrix, edge_pixels=_EDGE_PIXELS)
        self.thorax.draw_behind(canvas, z, ripple)
        self._draw_heart(canvas, 0.5 * (z + 1.0), contraction, ripple)
        self.thorax.draw_chest_wall(canvas, ripple)
        return canvas.image * self.thorax.coil(canvas)

    def _draw_heart(self, canvas: Canvas, level: float, contraction: float, ripple: Array) -> None:
        """Draw pericardial fat, right and left ventricle at ``level`` (0 base, 1 apex)."""
        signal, edge = self.signal, canvas.edge
        centre_x = self.heart[0] + self.axis_drift[0] * (level - 0.5)
        centre_y = self.heart[1] + self.axis_drift[1] * (level - 0.5)
        # The cavity shortens along its axis too, so the apex empties most.
        reach = np.sqrt(1.0 - (0.86 * level) ** 2)
        reach_now = np.sqrt(1.0 - ((0.86 + 0.08 * contraction) * level) ** 2)
        shortening = self.ejection * contraction
        relaxed = self.radius * reach
        outer_relaxed = relaxed + self.wall * (1.0 - 0.25 * level)
        inner = self.radius * reach_now * (1.0 - shortening)
        # Myocardium is nearly incompressible: the wall area is kept, hence the thickening.
        outer = np.sqrt(inner**2 + 0.95 * (outer_relaxed**2 - relaxed**2))
        epicardium = Shape(
            centre_x,
            centre_y,
            outer * self.oval,
            outer / self.oval,
            self.lv_tilt,
            2.0,
            self.epi_wave,
        )
        cavity = replace(
            epicardium, a=inner * self.oval, b=inner / self.oval, wobble=self.endo_wave
        )

        size = self.rv_size * outer_relaxed * (1.0 - 0.5 * shortening)
        offset = 0.80 * outer_relaxed
        right = Shape(
            centre_x + offset * np.cos(self.rv_angle),
            centre_y + offset * np.sin(self.rv_angle),
            size * (0.95 - 0.45 * level**2),
            size * (1.10 - 0.30 * level**2),
            self.rv_angle,
            2.1,
            self.rv_wave,
        )
        right_depth = right.depth(canvas.x, canvas.y)
        left_depth = epicardium.depth(canvas.x, canvas.y)
        heart_depth = np.maximum(right_depth, left_depth)
        _, angle = epicardium.polar(canvas.x, canvas.y)
        fat = self.fat_share * np.maximum(1.0 + 7.0 * wobble_at(self.sac_wave, angle), 0.0)
        canvas.blend(coverage(heart_depth + fat + 0.012, edge), signal["muscle"])
        canvas.blend(coverage(heart_depth + fat, edge), signal["fat"])
        canvas.blend(coverage(right_depth, edge), signal["myocardium"])
        # Trabeculae give the right ventricle a ragged inner border.
        canvas.blend(coverage(right_depth - 0.022 + 0.012 * ripple, edge), signal["blood"])
        canvas.blend(coverage(left_depth, edge), signal["myocardium"])
        pool = cavity.depth(canvas.x, canvas.y) + 0.007 * ripple
        canvas.blend(coverage(pool, edge), signal["blood"])
        if level < 0.85:
            for place, share in zip(self.papillary[:2], self.papillary[2:], strict=True):
                lean = 0.62 * inner
                canvas.paint(
                    Shape(
                        centre_x + lean * np.cos(place),
                        centre_y + lean * np.sin(place),
                        share * inner,
                        0.75 * share * inner,
                        place,
                    ),
                    signal["myocardium"],
                )


def draw_cardiac_volume(
    rng: np.random.Generator, matrix: int, slices: int, phase: Literal["ED", "ES"]
) -> NDArray[np.float32]:
    """Draw one synthetic patient's short-axis stack at end diastole (ED) or end systole (ES).

    ``matrix`` is the number of pixels per side (reference 150) and ``slices`` the number of
    slices from base to apex. Two generators seeded alike give the same patient at both phases,
    with different noise. Returns `(matrix, matrix, slices)`, signal in arbitrary units scaled
    to [0, 1]; axis 0 runs from the front to the back of the chest.
    """
    patient = _Patient(rng)
    ripple = smooth_field(rng, matrix, slices, 56, 8)
    contraction = 1.0 if phase == "ES" else 0.0
    clean = np.stack(
        [
            patient.draw(matrix, float(z), contraction, ripple[:, :, index])
            for index, z in enumerate(pixel_centres(slices))
        ],
        axis=2,
    )
    clean *= tissue_texture(rng, matrix, slices, 0.06)
    clean *= bias_field(rng, matrix, slices, 0.12)
    # The phases are separate acquisitions: same anatomy, own noise.
    noise_rng = np.random.default_rng([int(rng.integers(2**32)), int(contraction)])
    return finish_volume(noise_rng, clean, noise=0.02)
