"""Draws a sampling mask, the density it was drawn from, and its point spread."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from pipeline_src.errors import InputError
from pipeline_src.reporting.figure_style import PAGE_WIDTH, head
from pipeline_src.sampling.masks import Mask, center_block, line_density, read_mask

#: Lowest magnitude of the point spread that is shown, in dB below its peak.
FLOOR_DB = -50.0


def from_files(inputs: Sequence[Path], title: str) -> Figure:
    """Draw the figure from one mask file.

    Raises:
        InputError: it cannot be read, or does not say how the mask was made.
    """
    mask = read_mask(inputs[0])
    drawn = mask.description.get("kind") == "drawn"
    needed = ("seed", "acceleration", "center_lines") if drawn else ("kind", "file")
    if missing := [name for name in needed if name not in mask.description]:
        raise InputError(f"{inputs[0]}: the mask's description does not say {missing[0]}")
    return draw(mask, title)


def draw(mask: Mask, title: str) -> Figure:
    """Draw the mask (zero frequency in the middle), its lines with the density, and the point
    spread in dB.
    """
    figure, (left, middle, right) = plt.subplots(
        1, 3, figsize=(PAGE_WIDTH, 2.75), width_ratios=(1, 1.3, 1.3)
    )
    _draw_mask(left, mask)
    _draw_lines(middle, mask)
    _draw_point_spread(right, mask)
    description, lines = mask.description, mask.lines
    drawn = description["kind"] == "drawn"
    made = f"drawn, seed {description['seed']}" if drawn else f"given, {description['file']}"
    whole = f"{int(lines.sum())} of {len(lines)} lines" if lines is not None else "2-D mask"
    share = f"{mask.samples.mean():.1%} of k-space sampled"
    head(figure, f"{title}: sampling mask", f"{whole}, {share} ({made})")
    figure.legend(loc="outside lower center", ncols=4)
    return figure


def point_spread_db(mask: Mask) -> NDArray[np.float64]:
    """Magnitude of the point spread along the phase-encode axis through its peak, `(rows,)` with
    the peak at `rows // 2`, in dB below the peak; at least -200 dB."""
    spread = np.abs(np.fft.fftshift(np.fft.ifft2(mask.samples)))[:, mask.samples.shape[1] // 2]
    return np.asarray(20 * np.log10(np.maximum(spread / spread.max(), 1e-10)))


def side_lobe_db(spread: NDArray[np.float64]) -> float:
    """The highest side lobe of a point spread `(rows,)` in dB: beyond the first minimum on each
    side of the peak in the middle. NaN if there is nothing beyond.
    """
    middle, beyond = len(spread) // 2, []
    for side in (spread[middle:], spread[middle::-1]):
        rising = np.flatnonzero(np.diff(side) > 0)
        if len(rising):
            beyond.append(float(side[rising[0] :].max()))
    return max(beyond, default=float("nan"))


def _centred(mask: Mask) -> NDArray[np.int64]:
    """Phase-encode index of each centred row, with 0 at zero frequency."""
    rows = mask.samples.shape[0]
    return np.arange(-(rows // 2), rows - rows // 2, dtype=np.int64)


def _draw_mask(axis: Axes, mask: Mask) -> None:
    centred = _centred(mask)
    axis.imshow(
        np.fft.fftshift(mask.samples),
        cmap="gray",
        aspect="auto",
        interpolation="nearest",
        vmin=0,
        vmax=1,
        extent=(0, 1, centred[-1] + 0.5, centred[0] - 0.5),
    )
    axis.set(title="Mask (white: sampled)", xlabel="frequency encode", ylabel="phase-encode line")
    axis.set_xticks([])
    axis.grid(visible=False)


def _draw_lines(axis: Axes, mask: Mask) -> None:
    centred, description = _centred(mask), mask.description
    share = np.fft.fftshift(mask.samples).mean(axis=1)
    said = "sampled line" if mask.lines is not None else "sampled share of a line"
    axis.vlines(centred, 0, share, color="#0072b2", linewidth=0.8, label=said)
    if description["kind"] == "drawn":
        density = line_density(len(centred), description["acceleration"])
        block = centred[center_block(len(centred), description["center_lines"])]
        axis.axvspan(
            block[0] - 0.5, block[-1] + 0.5, color="0.82", zorder=0, label="always sampled"
        )
        # The white rim separates the curve from the lines, also without colour.
        for color, width, label in (("white", 3.2, None), ("#d55e00", 1.5, "density (peak 1)")):
            axis.plot(centred, density / density.max(), color=color, linewidth=width, label=label)
    drawn = description["kind"] == "drawn"
    axis.set(
        title="Lines and density" if drawn else "Lines",
        xlabel="phase-encode line",
        ylabel="density (peak 1)" if drawn else "share sampled",
        ylim=(0, 1.05),
    )


def _draw_point_spread(axis: Axes, mask: Mask) -> None:
    spread = point_spread_db(mask)
    axis.plot(_centred(mask), spread, color="#0072b2", linewidth=0.9)
    lobe = side_lobe_db(spread)
    if lobe > FLOOR_DB:
        said = f"highest side lobe ({lobe:.1f} dB)".replace("-", "\N{MINUS SIGN}")
        axis.axhline(lobe, color="#d55e00", linewidth=0.9, linestyle=(0, (4, 2)), label=said)
    axis.set(
        title="Point spread along phase encode",
        xlabel="distance from the peak (pixels)",
        ylabel="magnitude (dB, peak 0)",
        ylim=(FLOOR_DB, 3),
    )
