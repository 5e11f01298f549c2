"""Draws differences between models with intervals, one row per comparison, grouped by question."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import matplotlib.pyplot as plt
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from pipeline_src.evaluation.metrics import METRICS
from pipeline_src.reporting import display_names
from pipeline_src.reporting.display_names import MISSING
from pipeline_src.reporting.figure_style import (
    LINE_HEIGHT,
    PAGE_WIDTH,
    SMALL,
    TINY,
    head,
    wrap_lines,
)
from pipeline_src.reporting.figures import intervals
from pipeline_src.text import one_line

COLUMNS = (
    "dataset",
    "dataset_title",
    "acceleration",
    "family",
    "first_title",
    "methods",
    "metric",
    "effect",
    "low",
    "high",
    "p_holm",
    "patients",
    "seeds",
    "scope",
    "verdict",
    "reason",
)
NUMBERS = ("effect", "low", "high", "p", "p_holm", "patients", "seeds")
#: Families in the order of the figure, each with its heading.
FAMILIES = {
    family: question[0].upper() + question[1:]
    for family, question in display_names.FAMILIES.items()
}
# As long as the axes allow.
FAMILIES |= {
    "primary": "Primary: against Std-KD, mean over methods",
    "controls": "Against its controls, mean over methods",
    "distillation": "Distilled or not, same start and epochs (mean)",
    "gap_left": "Against the standard teacher",
    "recipe": "SFT-KD-Recon against Std-KD, same method",
    "methods": "A method against the others, same recipe",
    "as_long": "Against the student trained as long",
    "sft_start": "Against the student from SFT blocks",
    "matched": "Against the student of as many epochs",
    "teacher": "Against the teacher (a student: its own)",
}
ROW_HEIGHT = 0.108
#: How many reasons are printed above the figure.
MOST_REASONS = 12


VERDICTS = {
    "better": intervals.Look(">", "#0072b2", "#0072b2"),
    "worse": intervals.Look("<", "#d55e00", "#d55e00"),
    "equivalent": intervals.Look("s", "0.2", "0.2"),
    "no difference shown": intervals.Look("o", "0.2", "white"),
    "cannot tell": intervals.Look("x", "0.45", "0.45", ":"),
}
#: Verdicts that the legend tells in other words.
MEANINGS = {"equivalent": "equivalent within the margin"}
SIZES = {"markersize": 4.5, "markeredgewidth": 1.1, "linewidth": 1.2}


def from_files(
    inputs: Sequence[Path], title: str, metric: str, setting: tuple[str, str] | None = None
) -> Figure:
    """Draw the figure from files of differences; of several settings, the given one is shown.

    Raises:
        InputError: a file cannot be read or lacks a column, or the setting is missing or not given.
    """
    table = intervals.read_table(inputs, "differences", NUMBERS, COLUMNS, {"verdict": VERDICTS})
    return draw(intervals.pick(table, metric, setting), title, metric)


def draw(rows: pd.DataFrame, title: str, metric: str) -> Figure:
    """Draw the differences of one setting, in the metric's unit; to the right of zero the first
    model of a comparison has the higher metric.
    """
    groups = grouped(rows)
    lines = sum(len(members) + 1 for _, members in groups)
    details = _details(rows)
    tall = ROW_HEIGHT * lines + LINE_HEIGHT * len(details) + 1.3
    figure, axis = plt.subplots(figsize=(PAGE_WIDTH, tall))
    axis.axvline(0, color="0.2", linewidth=0.9, zorder=1.5)
    labels: dict[float, str] = {}
    top = 0.0
    for heading, members in groups:
        _draw_heading(axis, top, heading)
        for place, (_, row) in enumerate(members.iterrows(), start=1):
            name = row["first_title"]
            if (members["first_title"] == name).sum() > 1:
                name = f"{name} \N{MINUS SIGN} {row['second_title']}"
            if row["methods"]:  # of a mean that is not over all
                name = f"{name} ({row['methods']})"
            labels[top + place] = one_line(name)
            _draw_row(axis, top + place, row, METRICS[metric].decimals)
        top += len(members) + 1
    _beside(axis, -1, "difference [95 % interval]", "p")
    axis.set(
        yticks=list(labels),
        yticklabels=list(labels.values()),
        ylim=(top - 0.4, -0.55),
        xlim=intervals.limits(rows),
        xlabel=f"\N{LEFTWARDS ARROW} worse    difference in "
        f"{METRICS[metric].heading}    better \N{RIGHTWARDS ARROW}",
    )
    axis.grid(visible=False, axis="y")
    head(figure, f"{intervals.setting_title(rows, title)}: differences between models", *details)
    handles = [
        look.handle(MEANINGS.get(verdict, verdict), **SIZES)
        for verdict, look in VERDICTS.items()
        if verdict in set(rows["verdict"])
    ]
    figure.legend(handles=handles, loc="outside lower center", ncols=4, fontsize=SMALL)
    return figure


def grouped(rows: pd.DataFrame) -> list[tuple[str, pd.DataFrame]]:
    """Headings and rows of the families, the rows in the order of the file."""
    families = [*FAMILIES, *sorted(set(rows["family"]) - set(FAMILIES))]
    groups = [(FAMILIES.get(family, family), rows[rows["family"] == family]) for family in families]
    return [(heading, members) for heading, members in groups if len(members)]


def number(value: float, decimals: int) -> str:
    """A difference with its sign, with the same width as any other of that size."""
    if not math.isfinite(value):
        return MISSING
    return f"{value:+.{decimals}f}".replace("-", "\N{MINUS SIGN}")


def p_value(value: float) -> str:
    """A p-value with three decimals."""
    if not math.isfinite(value):
        return MISSING
    return "<0.001" if value < 0.001 else f"{value:.3f}"


def _draw_heading(axis: Axes, y: float, heading: str) -> None:
    axis.axhspan(y - 0.5, y + 0.5, facecolor="0.92", edgecolor="none", zorder=2)
    intervals.write_heading(axis, y, heading)


def _draw_row(axis: Axes, y: float, row: pd.Series, decimals: int) -> None:
    effect, low, high = (float(row[name]) for name in ("effect", "low", "high"))
    difference = number(effect, decimals)
    if math.isfinite(low) and math.isfinite(high):
        difference += f" [{number(low, decimals)}, {number(high, decimals)}]"
    VERDICTS[row["verdict"]].draw(axis, y, row, "effect", **SIZES)
    _beside(axis, y, difference, p_value(float(row["p_holm"])))


def _beside(axis: Axes, y: float, difference: str, p: str) -> None:
    """Print the two columns right of the axes; the second is aligned to its right edge."""
    for text, offset, align in ((difference, 6, "left"), (p, 132, "right")):
        axis.annotate(
            text,
            xy=(1, y),
            xycoords=("axes fraction", "data"),
            xytext=(offset, 0),
            textcoords="offset points",
            ha=align,
            va="center_baseline",
            fontsize=TINY,
        )


def _details(rows: pd.DataFrame) -> list[str]:
    """Patients and seeds, and the reasons why some comparisons have no verdict."""
    counts = ", ".join(intervals.counts(rows))
    said = "; ".join(filter(None, (counts, "p: corrected by Holm's method within each group")))
    reasons = rows.loc[rows["verdict"] == "cannot tell", "reason"].dropna()
    why = dict.fromkeys(part for reason in reasons for part in reason.split("; ") if part)
    shown = list(why)[:MOST_REASONS]
    if len(why) > len(shown):
        shown.append(f"{len(why) - len(shown)} more reasons in the table of differences")
    return [
        said,
        *intervals.scope(rows, "family", FAMILIES),
        *(wrap_lines(shown, "Cannot tell: ") if why else []),
    ]
