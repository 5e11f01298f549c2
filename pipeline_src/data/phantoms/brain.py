"""Synthetic T1-weighted axial brain slices: a drawn phantom, not patient data.

A central slab, from the basal ganglia (first slice) to above the lateral ventricles (last).
Grey matter is the ribbon at a fixed distance from any sulcus or from the brain surface, as in
the real cortex, so folded sulci give convoluted grey/white boundaries.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from .deep_structures import DeepStructures, draw_signals
from .fields import (
    Array,
    bias_field,
    finish_volume,
    pixel_centres,
    smooth_field,
    tissue_texture,
)
from .folding import Folding
from .shapes import Canvas, Shape, coverage, fourier_wobble, line_coverage, wobble_at

_REACH = 0.10  # no tissue class depends on sulci farther away than this


class _Head:
    """Every anatomical random number of one subject, and the drawing of one slice."""

    def __init__(self, rng: np.random.Generator) -> None:
        self.centre = (rng.uniform(-0.03, 0.03), rng.uniform(-0.03, 0.03))
        self.tilt = rng.normal(0.0, 0.05)
        self.half_width = rng.uniform(0.62, 0.68)
        self.half_length = rng.uniform(0.78, 0.86)
        self.power = rng.uniform(2.0, 2.25)
        self.wobble = fourier_wobble(rng, 0.012)
        # Order 3 makes the forehead narrower than the occiput.
        self.wobble[1, 1] += rng.uniform(0.01, 0.03)
        self.scalp = rng.uniform(0.032, 0.050)
        self.skull = rng.uniform(0.055, 0.075)
        self.gap = rng.uniform(0.010, 0.022)  # subarachnoid CSF over the convexity
        self.scalp_wave, self.skull_wave, self.gap_wave = (
            fourier_wobble(rng, size) for size in (0.25, 0.22, 0.45)
        )
        self.cortex = rng.uniform(0.023, 0.027)
        self.signal = draw_signals(rng)
        self.deep = DeepStructures(rng, self.signal)
        # Cortical arteries: angle, depth below the surface, drift through the slab, radius.
        self.vessels = rng.uniform([-np.pi, 0.0, -1.0, 0.003], [np.pi, 0.12, 1.0, 0.006], (5, 4))
        self.folding = Folding(rng)

    def draw(self, matrix: int, z: float, ripple: Array, warp: Array) -> Array:
        """Draw the noise-free slice at ``z`` in [-1, 1], shape `(matrix, matrix)`.

        ``ripple`` `(matrix, matrix)` is a unit random field that roughens the tissue borders
        and ``warp`` `(2, matrix, matrix)` the displacement that makes straight curves meander.
        """
        canvas = Canvas(matrix, self.centre, self.tilt)
        size = np.sqrt(1.0 - 0.15 * max(z + 0.25, 0.0) ** 2)
        head = Shape(
            0.0, 0.0, self.half_width * size, self.half_length * size, 0.0, self.power, self.wobble
        )
        brain_depth = self._draw_coverings(canvas, head, z)
        canvas.x += warp[0]
        canvas.y += warp[1]
        layers = self.scalp + self.skull + self.gap
        brain = Shape(0.0, 0.0, head.a - layers, head.b - layers, 0.0, self.power, self.wobble)
        self._draw_cortex(canvas, brain, brain_depth, z, ripple)
        self.deep.draw_nuclei(canvas, z)
        self.deep.draw_ventricles(canvas, z)
        self._draw_vessels(canvas, brain, z)
        return canvas.image

    def _draw_coverings(self, canvas: Canvas, head: Shape, z: float) -> Array:
        """Draw scalp, skull and CSF; return the signed depth below the brain surface."""
        signal, edge = self.signal, canvas.edge
        depth = head.depth(canvas.x, canvas.y)
        _, angle = head.polar(canvas.x, canvas.y)
        scalp = self.scalp * (1.0 + wobble_at(self.scalp_wave, angle))
        skull = self.skull * (1.0 + wobble_at(self.skull_wave, angle))
        gap = self.gap * np.maximum(1.0 + wobble_at(self.gap_wave, angle), 0.3)
        # The temporalis muscle lies beside the forehead in the lower slices only.
        elevation = np.arctan2(canvas.y, np.abs(canvas.x))
        temple = np.exp(-(((elevation + 0.35) / 0.28) ** 2))
        muscle = 0.008 + 0.05 * float(np.clip(-z, 0.0, 1.0)) * temple
        layers: list[tuple[Array | float, float]] = [
            (0.012, signal.skin),
            (scalp - 0.012, signal.fat),
            (muscle, signal.muscle),
            (0.35 * skull, signal.bone),
            (0.3 * skull, signal.marrow),
            (0.35 * skull, signal.bone),
            (gap, signal.csf),
        ]
        for thickness, value in layers:
            canvas.blend(coverage(depth, 1.5 * edge), value)
            depth = depth - thickness
        return depth

    def _draw_cortex(
        self, canvas: Canvas, brain: Shape, depth: Array, z: float, ripple: Array
    ) -> None:
        """Draw white matter, the cortical ribbon and the CSF of sulci and fissures."""
        signal, edge = self.signal, canvas.edge
        # The corpus callosum joins the hemispheres up to the roof of the ventricles.
        joined = 1.0 - float(np.clip((z - 0.3) / 0.3, 0.0, 1.0)) ** 2
        callosum = (-0.36 * joined, 0.36 * joined) if joined > 0.0 else (0.0, 0.0)
        points, widths = self.folding.trace(brain, z, callosum)
        inside = coverage(depth, edge)
        distance, index = canvas.nearest(points, _REACH, inside > 0.0)
        # Sulci stop at the deep white matter: distances are stretched inside the core.
        for sign in (-1.0, 1.0):
            core = Shape(sign * 0.19, -0.02, 0.13 - 0.05 * max(z, 0.0), 0.30)
            distance += 2.0 * np.maximum(core.depth(canvas.x, canvas.y), 0.0)
        width = widths[index]
        ribbon = self.cortex * (1.0 + 0.12 * ripple)
        canvas.blend(inside, signal.white)
        surface_gap = np.minimum(distance - width, depth)
        canvas.blend(inside * coverage(ribbon - surface_gap, 1.5 * edge), signal.grey)
        canvas.blend(inside * line_coverage(distance, width, edge), signal.csf)

    def _draw_vessels(self, canvas: Canvas, brain: Shape, z: float) -> None:
        """Draw arteries and sinuses, bright because inflowing blood is unsaturated."""
        pericallosal = (0.012, -0.40 + 0.05 * z)
        sagittal_sinus = (0.0, brain.b + 0.004)
        for x, y, radius in [(*pericallosal, 0.008), (*sagittal_sinus, 0.010)]:
            canvas.paint(Shape(x, y, radius, radius), self.signal.vessel)
        for angle, depth, drift, radius in self.vessels:
            place = angle + 0.3 * drift * z
            rho = brain.radius(np.array([place]))[0] - depth * (1.0 + 0.5 * drift * z)
            disc = Shape(rho * np.cos(place), rho * np.sin(place), radius, radius)
            canvas.paint(disc, self.signal.vessel)


def draw_brain_volume(rng: np.random.Generator, matrix: int, slices: int) -> NDArray[np.float32]:
    """Draw one synthetic subject's T1-like axial slices.

    ``matrix`` is the number of pixels per side (reference 240) and ``slices`` the number of
    slices, evenly spread over the slab from bottom to top. Returns `(matrix, matrix, slices)`,
    signal in arbitrary units scaled to [0, 1]; axis 0 runs from anterior to posterior.
    """
    head = _Head(rng)
    ripple = smooth_field(rng, matrix, slices, 60, 10)
    warp = 0.011 * np.stack([smooth_field(rng, matrix, slices, 22, 5) for _ in range(2)])
    clean = np.stack(
        [
            head.draw(matrix, float(z), ripple[:, :, index], warp[:, :, :, index])
            for index, z in enumerate(pixel_centres(slices))
        ],
        axis=2,
    )
    clean *= tissue_texture(rng, matrix, slices, 0.03)
    clean *= bias_field(rng, matrix, slices, 0.10)
    return finish_volume(rng, clean, noise=0.007)
