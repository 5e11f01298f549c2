"""Draws the contact sheet of a reconstruction: input, zero-filled, reconstruction, errors and
their bounds.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import matplotlib as mpl

mpl.use("Agg")

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patheffects import withStroke
from numpy.typing import NDArray

from pipeline_src.files import atomic_path
from pipeline_src.inference.nifti_kind import OPPOSITE
from pipeline_src.inference.reconstruct import Result, Shown
from pipeline_src.inference.volume_plan import Plan
from pipeline_src.reporting.figure_style import (
    PAGE_WIDTH,
    SMALL,
    TINY,
    apply_style,
    head,
    shortened,
    upright,
)

#: Inches: the heading, a column's title, between tiles, at the left for a slice's number, below for
#: the scale of grey values, and from that scale to the edge.
HEAD, TITLE, GAP, LEFT, FOOT, BAR = 0.42, 0.2, 0.04, 0.3, 0.3, 0.18
#: Grey values end at this percentile, so that a few bright pixels do not make the rest dark.
BRIGHTEST = 99.5
#: Fraction of the brightest grey value below which a pixel is background.
FAINT = 0.1


def write_sheet(path: Path, plan: Plan, result: Result, title: str) -> None:
    """Write the contact sheet as PNG."""
    apply_style()
    figure = draw(plan, result, title)
    try:
        with atomic_path(path) as temporary:
            figure.savefig(temporary)
    finally:
        plt.close(figure)


def draw(plan: Plan, result: Result, title: str) -> Figure:
    """Draw one row per slice and one column per kind of image, cropped to the part with content."""
    known = result.shown[0].target is not None
    turns, aspect, labels = plan.volume.turns, plan.volume.aspect, plan.volume.labels
    images = [[upright(image, turns) for image in _images(one)] for one in result.shown]
    bounds = [upright(one.bound, turns) for one in result.shown if one.bound is not None]
    firsts = np.stack([row[0] for row in images])
    high = float(np.percentile(firsts[firsts > 0], BRIGHTEST)) if (firsts > 0).any() else 1.0
    window = _window(firsts, high)
    images = [[image[window] for image in row] for row in images]
    # On one scale, so that an error is seen to be within its bound.
    errors = {"absolute error": [abs(row[-1] - row[0]) for row in images]} if known else {}
    errors |= {"error bound": [bound[window] for bound in bounds]} if bounds else {}
    of_errors = [image for images in errors.values() for image in images]
    bright = (float(np.percentile(of_errors, BRIGHTEST)) if of_errors else 0) or 1.0
    names = [*(["input"] if known else []), "zero-filled", "reconstruction", *errors]
    rows, columns = images[0][0].shape
    width = (PAGE_WIDTH - LEFT - GAP) / max(4, len(names)) - GAP
    height = width * rows * aspect / columns
    wide = LEFT + (width + GAP) * len(names)
    figure = plt.figure(
        figsize=(wide, HEAD + TITLE + (height + GAP) * len(images) + FOOT), layout="none"
    )
    before = figure.get_figheight()
    head(figure, title, _quality(result, plan.whose))
    tall = figure.get_figheight()
    top = tall - before + HEAD + TITLE

    def place(column: int, bottom: float, high: float) -> Axes:
        left = LEFT + column * (width + GAP)
        return figure.add_axes((left / wide, bottom / tall, width / wide, high / tall))

    for number, one in enumerate(result.shown):
        for column, name in enumerate(names):
            axis = place(column, tall - top - (number + 1) * (height + GAP) + GAP, height)
            if name in errors:
                shades = _tile(axis, errors[name][number], aspect, "magma", bright)
            else:
                greys = _tile(axis, images[number][column], aspect, "gray", high)
            if number == 0:
                axis.set_title(name, fontsize=SMALL, pad=3)
            if column == 0:
                told = f"slice {one.index}" if labels is None else labels[one.index]
                lines = [shortened(line, height, SMALL) for line in told.split("\n")]
                axis.set_ylabel("\n".join(lines), fontsize=SMALL, labelpad=3)
                if plan.volume.sides and number == 0:
                    _letter(axis, plan.volume.sides)
    _bar(figure, place(0, BAR, 0.06), greys, high)
    for column in range(len(names) - len(errors), len(names)):
        _bar(figure, place(column, BAR, 0.06), shades, bright)
    return figure


def _window(firsts: NDArray[np.float32], high: float) -> tuple[slice, slice]:
    """Rows and columns of slices `(slices, rows, columns)` that hold more than background."""
    there = np.any(firsts > FAINT * high, axis=0)
    found = []
    for axis in (0, 1):
        along = np.flatnonzero(np.any(there, axis=1 - axis))
        size = there.shape[axis]
        margin = size // 20
        found.append(slice(max(0, along[0] - margin), min(size, along[-1] + 1 + margin)))
    return found[0], found[1]


def _letter(axis: Axes, sides: tuple[str, str]) -> None:
    """Write the body's sides at the edges of a NIfTI file's slice, which is shown a quarter turn to
    the left.
    """
    across, upwards = sides
    for letter, x, y in (
        (OPPOSITE[across], 0.05, 0.5),
        (across, 0.95, 0.5),
        (upwards, 0.5, 0.95),
        (OPPOSITE[upwards], 0.5, 0.05),
    ):
        axis.text(
            *(x, y, letter),
            transform=axis.transAxes,
            color="white",
            fontsize=TINY,
            ha="center",
            va="center",
            path_effects=[withStroke(linewidth=1.5, foreground="black")],
        )


def _bar(figure: Figure, axis: Axes, shades: Any, high: float) -> None:
    """Draw the scale of grey values below a column; values go on beyond its pointed end."""
    bar = figure.colorbar(shades, cax=axis, orientation="horizontal", extend="max")
    bar.set_ticks([0, high], labels=["0", f"{high:.2g} of the scale"])
    bar.ax.tick_params(labelsize=TINY, length=0, pad=2)
    for label, side in zip(bar.ax.get_xticklabels(), ("left", "right"), strict=True):
        label.set(horizontalalignment=side)
    bar.outline.set_linewidth(0.4)


def _images(one: Shown) -> list[NDArray[np.float32]]:
    """The images of a slice that are shown in grey, from left to right."""
    known = [] if one.target is None else [one.target]
    return [*known, one.zero_filled, one.image]


def _tile(axis: Axes, image: NDArray[np.float32], aspect: float, colours: str, high: float) -> Any:
    axis.set(xticks=[], yticks=[])
    axis.grid(visible=False)
    for spine in axis.spines.values():
        spine.set_visible(False)
    return axis.imshow(image, cmap=colours, vmin=0, vmax=high, aspect=aspect)


def _quality(result: Result, whose: str) -> str:
    found, bound = result.facts.get("quality"), result.facts.get("error_bound")
    if not found:
        return "measured k-space: there is no reference"
    parts = []
    for name, label in (("zero_filled", "zero-filled"), ("reconstruction", "reconstruction")):
        psnr, ssim = found[name]["psnr_db"], found[name]["ssim"]
        decibels = "no error" if psnr is None else f"{psnr:.2f} dB"
        parts.append(f"{label} {decibels}, SSIM {ssim:.4f}")
    if bound and "within" in bound:
        parts.append(f"{bound['within']:.0%} of pixels within the bound")
    return " ".join(filter(None, (whose and f"{whose}:", "; ".join(parts))))
