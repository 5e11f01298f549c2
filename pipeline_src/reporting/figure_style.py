"""The style that all figures share, and how they get headings and are saved."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from textwrap import wrap
from typing import Any

import matplotlib as mpl

mpl.use("Agg")

import numpy as np
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties
from matplotlib.textpath import text_to_path
from numpy.typing import NDArray

from pipeline_src.files import atomic_path
from pipeline_src.text import one_line

#: Colour of each training, from Okabe & Ito's palette: distinguishable by colour-blind readers and,
#: by lightness, in grey (L* of 33, 46, 54 and 71 from standard to SFT-KD).
COLORS = {
    "none": "#8c8c8c",
    "standard": "#4d4d4d",
    "std_kd": "#0072b2",
    "sft": "#d55e00",
    "sft_kd": "#e69f00",
    "sft_teacher_only": "#cc79a7",
    "sft_start_only": "#56b4e9",
}
#: Width in inches of a figure over a page's full text width.
PAGE_WIDTH = 7.2
#: Sizes of type in points, of which `TINY` is the smallest that is legible in print.
TINY, SMALL, NORMAL = 6.0, 7.0, 8.0
#: Characters of the heading's size that fit on a line, and inches that a line takes.
LINE_LENGTH, LINE_HEIGHT = 118, 0.14

_INK = "0.15"
_SETTINGS: dict[Any, Any] = {
    "axes.axisbelow": True,
    "axes.edgecolor": "0.3",
    "axes.grid": True,
    "axes.labelcolor": _INK,
    "axes.labelsize": NORMAL,
    "axes.linewidth": 0.7,
    "axes.titlesize": NORMAL,
    "figure.constrained_layout.use": True,
    # Part of matplotlib, so that a figure looks the same everywhere.
    "font.family": "DejaVu Sans",
    "font.size": NORMAL,
    "grid.color": "0.9",
    "legend.fontsize": SMALL,
    "legend.frameon": False,
    "lines.solid_capstyle": "round",
    "pdf.fonttype": 42,
    "savefig.dpi": 200,
    "text.color": _INK,
    # A dollar in a title or name must not start a formula.
    "text.parse_math": False,
    "xtick.bottom": False,
    "xtick.color": _INK,
    "xtick.labelsize": SMALL,
    "ytick.color": _INK,
    "ytick.labelsize": SMALL,
    "ytick.left": False,
}


def apply_style() -> None:
    """Set small, legible type on white, and embedded fonts in PDF."""
    mpl.rcParams.update(_SETTINGS)


def head(figure: Figure, title: str, *details: str) -> None:
    """Print the heading of a figure, one line per text, from its left edge; a text that is too long
    continues on the next line, and the figure grows by as much.
    """
    given = [line for line in (title, *details) if line]
    lines = [part for line in given for part in fitted(line, figure.get_figwidth() - 0.15)]
    figure.suptitle("\n".join(lines), x=0.008, ha="left", fontsize=NORMAL)
    figure.set_figheight(figure.get_figheight() + LINE_HEIGHT * (len(lines) - len(given)))


def fitted(text: str, inches: float, size: float = NORMAL, weight: str = "normal") -> list[str]:
    """Text in the heading's size, or another in points, as lines that fit a width; a word is broken
    only if it alone does not fit.
    """
    text, length = one_line(text), LINE_LENGTH
    if _inches(text, size, weight) <= inches:
        return [text]
    while length > 1:
        lines = wrap(text, length, break_on_hyphens=False)
        widest = max(_inches(line, size, weight) for line in lines)
        if widest <= inches:
            return lines
        length = min(length - 1, int(length * inches / widest))
    return list(text)


def shortened(text: str, inches: float, size: float = NORMAL) -> str:
    """Text on one line that fits a width; an ellipsis replaces an end that does not fit."""
    text = short = one_line(text)
    while len(short) > 1 and _inches(short, size, "normal") > inches:
        text = text[:-1]
        short = text + "\N{HORIZONTAL ELLIPSIS}"
    return short


def _inches(text: str, size: float, weight: str) -> float:
    font = FontProperties(family="DejaVu Sans", size=size, weight=weight)
    return float(text_to_path.get_text_width_height_descent(text, font, ismath=False)[0]) / 72


def wrap_lines(parts: Iterable[str], start: str = "") -> list[str]:
    """Parts of a sentence, after ``start``, on lines that fit below a figure's title; a part is
    broken only if it is longer than a line.
    """
    lines = [start]
    for number, part in enumerate(parts):
        glue = "; " if number else ""
        if lines[-1] and len(lines[-1] + glue + part) > LINE_LENGTH:
            lines[-1] += glue.rstrip()
            lines.append("")
            glue = ""
        *full, rest = wrap(lines[-1] + glue + part, LINE_LENGTH)
        lines[-1:] = [*full, rest]
    return [line for line in lines if line]


def save(figure: Figure, path: Path) -> None:
    """Write a figure as PNG and PDF beside each other; the bytes depend only on its content."""
    for suffix in (".png", ".pdf"):
        metadata = {"CreationDate": None} if suffix == ".pdf" else {}
        with atomic_path(path.with_suffix(suffix)) as temporary:
            figure.savefig(temporary, metadata=metadata)


def upright(image: NDArray[np.float32], quarter_turns: int) -> NDArray[np.float32]:
    """Turn a slice `(rows, columns)` as it is shown; a quarter turn swaps rows and columns of its
    shape.
    """
    return np.rot90(image, quarter_turns)
