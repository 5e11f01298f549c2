"""A sampling mask, the density it was drawn from, and its point spread."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure

from pipeline_src.reporting.style import PAGE_WIDTH
from pipeline_src.sampling.masks import Mask, line_density, read_mask


def from_files(inputs: Sequence[Path], title: str) -> Figure:
    """From one mask file."""
    return draw(read_mask(inputs[0]), title)


def draw(mask: Mask, title: str) -> Figure:
    """Mask (zero frequency in the middle), lines against the density, point spread in dB."""
    samples = np.fft.fftshift(mask.samples)
    rows = samples.shape[0]
    centred = np.arange(rows) - rows // 2
    description = mask.description
    figure, (left, middle, right) = plt.subplots(
        1, 3, figsize=(PAGE_WIDTH, 2.8), width_ratios=(1, 1.3, 1.3)
    )
    edges = (centred[0] - 0.5, centred[-1] + 0.5)
    left.imshow(
        samples,
        cmap="gray",
        aspect="auto",
        interpolation="nearest",
        extent=(0, 1, edges[1], edges[0]),
    )
    left.set(title="Mask", xlabel="frequency encode", ylabel="phase-encode line")
    left.set_xticks([])
    left.grid(visible=False)

    share = samples.mean(axis=1)
    middle.vlines(centred, 0, share, color="#0072b2", linewidth=0.8, label="sampled")
    if description["kind"] == "drawn":
        density = line_density(rows, description["acceleration"])
        half = description["center_lines"] // 2
        middle.plot(centred, density / density.max(), color="#d55e00", label="density (relative)")
        middle.axvspan(-half - 0.5, half - 0.5, color="0.85", zorder=0, label="always sampled")
    middle.set(title="Lines", xlabel="phase-encode line", ylabel="sampled / density")

    spread = np.abs(np.fft.fftshift(np.fft.ifft2(mask.samples)))[:, samples.shape[1] // 2]
    decibel = 20 * np.log10(np.maximum(spread / spread.max(), 1e-4))
    right.plot(centred, decibel, color="#0072b2", linewidth=0.9)
    right.set(
        title="Point spread", xlabel="pixels from the peak", ylabel="magnitude (dB)", ylim=(-60, 2)
    )
    made = (
        f"drawn, seed {description['seed']}"
        if description["kind"] == "drawn"
        else f"given, {description['file']}"
    )
    lines = mask.lines
    counted = f"{int(lines.sum())} of {rows} lines" if lines is not None else "2-D mask"
    figure.suptitle(f"{title}: {counted} ({made})", fontsize=9)
    figure.legend(loc="outside lower center", ncols=3, frameon=False, fontsize=7)
    return figure
