"""Draws boxes, arrows and labels of a diagram, placed in inches from the upper left corner."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import matplotlib.pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch

from pipeline_src.reporting.figure_style import LINE_HEIGHT, TINY, fitted

#: Inches between the edge of a box and its text, and height of a line of the smallest type.
INSIDE, LINE = 0.05, 0.105
INK = "0.25"
Point = tuple[float, float]


def canvas(width: float, height: float) -> tuple[Figure, Axes]:
    """A figure of that size in inches below its one line of heading; axes are scaled in inches."""
    figure, axis = plt.subplots(figsize=(width, height + LINE_HEIGHT + 0.14))
    figure.set_layout_engine("constrained", w_pad=0, h_pad=0.03, wspace=0, hspace=0)
    axis.set(xlim=(0, width), ylim=(height, 0))
    axis.set_axis_off()
    return figure, axis


def box(
    axis: Axes,
    left: float,
    top: float,
    width: float,
    height: float,
    *,
    color: str = INK,
    dashed: bool = False,
    face: str = "white",
    gid: str = "",
) -> None:
    """Draw a box with round corners; ``gid`` identifies it."""
    axis.add_patch(
        FancyBboxPatch(
            (left, top),
            width,
            height,
            boxstyle="round,pad=0,rounding_size=0.03",
            facecolor=face,
            edgecolor=color,
            linewidth=1.0,
            linestyle=(0, (2.5, 1.5)) if dashed else "-",
            zorder=2,
            gid=gid,
        )
    )


def lines_of(texts: Sequence[str], width: float) -> list[tuple[str, str]]:
    """Lines that fit into a box of that width, each with its weight; every text starts a new line,
    and the first text is bold.
    """
    weights = ["bold", *["normal"] * (len(texts) - 1)]
    return [
        (line, weight)
        for text, weight in zip(texts, weights, strict=True)
        for line in fitted(text, width - 2 * INSIDE, TINY, weight)
    ]


def told_box(
    axis: Axes,
    left: float,
    top: float,
    width: float,
    height: float,
    texts: Sequence[str],
    **options: Any,
) -> None:
    """Draw a box with lines of text in its middle, the first text in bold; see `box`."""
    box(axis, left, top, width, height, **options)
    lines = lines_of(texts, width)
    start = top + height / 2 - LINE * (len(lines) - 1) / 2
    for number, (line, weight) in enumerate(lines):
        middle = (left + width / 2, start + number * LINE)
        label(axis, *middle, line, ha="center", weight=weight)


def label(axis: Axes, x: float, y: float, text: str, **options: Any) -> None:
    """Draw a line of text, vertically centred at ``y``."""
    look: dict[str, Any] = {"fontsize": TINY, "va": "center", "zorder": 4} | options
    axis.text(x, y, text, **look)


def arrow(axis: Axes, start: Point, end: Point, **options: Any) -> None:
    """Draw a straight arrow."""
    look: dict[str, Any] = {"color": INK, "linewidth": 0.8, "arrowstyle": "-|>"}
    look |= {"mutation_scale": 5, "shrinkA": 0, "shrinkB": 0, "zorder": 1.5}
    axis.add_patch(FancyArrowPatch(start, end, **look | options))


def path(axis: Axes, points: Sequence[Point], **options: Any) -> None:
    """Draw straight lines from point to point, the last one with an arrowhead."""
    look: dict[str, Any] = {"color": INK, "linewidth": 0.8} | options
    *before, last = points
    if len(before) > 1:
        axis.plot(*zip(*before, strict=True), zorder=1.5, solid_capstyle="butt", **look)
    arrow(axis, before[-1], last, **look)
