"""Draws differences between models with intervals, one row per comparison, grouped by question."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from pipeline_src.errors import InputError
from pipeline_src.evaluation.metrics import METRICS
from pipeline_src.reporting import display_names
from pipeline_src.reporting.display_names import MISSING, counted
from pipeline_src.reporting.figure_style import (
    LINE_HEIGHT,
    PAGE_WIDTH,
    SMALL,
    TINY,
    head,
    wrap_lines,
)
from pipeline_src.tabular import read_rows
from pipeline_src.text import one_line

COLUMNS = (
    "dataset",
    "dataset_title",
    "acceleration",
    "family",
    "first_title",
    "metric",
    "effect",
    "low",
    "high",
    "p_holm",
    "patients",
    "seeds",
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
    "controls": "Against what differs in one thing (mean)",
    "distillation": "Distilled or not, same start and epochs (mean)",
    "recipe": "SFT-KD-Recon against Std-KD, same method",
    "sft_start": "Against the student from SFT blocks",
    "matched": "Against the student of as many epochs",
    "teacher": "Against the teacher (a student: its own)",
}
ROW_HEIGHT = 0.13
#: How many reasons are printed above the figure.
MOST_REASONS = 12


@dataclass(frozen=True)
class Look:
    """How a verdict is drawn: identified by shape and filling, not only by colour."""

    marker: str
    face: str
    edge: str
    line: Any
    meaning: str


VERDICTS = {
    "better": Look(">", "#0072b2", "#0072b2", "-", "better"),
    "worse": Look("<", "#d55e00", "#d55e00", "-", "worse"),
    "equivalent": Look("s", "0.2", "0.2", "-", "equivalent within the margin"),
    "no difference shown": Look("o", "white", "0.2", "-", "no difference shown"),
    "cannot tell": Look("x", "0.45", "0.45", ":", "cannot tell"),
}


def from_files(
    inputs: Sequence[Path], title: str, metric: str, setting: tuple[str, str] | None = None
) -> Figure:
    """Draw the figure from files of differences; of several settings, the given one is shown.

    Raises:
        InputError: a file cannot be read or lacks a column, or the setting is missing or not given.
    """
    table = pd.concat([_read(path) for path in inputs], ignore_index=True)
    return draw(pick(table, metric, setting), title, metric)


def _read(path: Path) -> pd.DataFrame:
    table = read_rows(path, "differences", NUMBERS, needed=COLUMNS, of_spreadsheet=True)
    unknown = sorted(set(table["verdict"].astype(str)) - set(VERDICTS))
    if unknown:
        raise InputError(f"{path}: unknown verdict: {', '.join(unknown)}")
    return table


def pick(table: pd.DataFrame, metric: str, setting: tuple[str, str] | None) -> pd.DataFrame:
    """The rows of one metric and one setting.

    Raises:
        InputError: there is none, or there are several settings and none is named.
    """
    rows = table[table["metric"] == metric]
    settings = list(rows[["dataset", "acceleration"]].drop_duplicates().itertuples(index=False))
    known = ", ".join(f"{dataset} {acceleration}" for dataset, acceleration in settings)
    if setting is None:
        if len(settings) > 1:
            raise InputError(f"differences are of several settings; name one of: {known}")
        setting = tuple(settings[0]) if settings else ("", "")
    rows = rows[(rows["dataset"] == setting[0]) & (rows["acceleration"] == setting[1])]
    if rows.empty:
        raise InputError(
            f"no differences in {metric} of {' '.join(setting) or 'any setting'}; "
            f"there are: {known or 'none'}"
        )
    return rows


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
            labels[top + place] = one_line(name)
            _draw_row(axis, top + place, row, METRICS[metric].decimals)
        top += len(members) + 1
    _beside(axis, -1, "difference [95 % interval]", "p")
    unit = f" ({METRICS[metric].unit})" if METRICS[metric].unit else ""
    axis.set(
        yticks=list(labels),
        yticklabels=list(labels.values()),
        ylim=(top - 0.4, -0.55),
        xlim=limits(rows),
        xlabel=f"\N{LEFTWARDS ARROW} worse    difference in "
        f"{METRICS[metric].title}{unit}    better \N{RIGHTWARDS ARROW}",
    )
    axis.grid(visible=False, axis="y")
    head(figure, f"{_setting_title(rows, title)}: differences between models", *details)
    figure.legend(
        handles=_legend(list(rows["verdict"])), loc="outside lower center", ncols=4, fontsize=SMALL
    )
    return figure


def grouped(rows: pd.DataFrame) -> list[tuple[str, pd.DataFrame]]:
    """Headings and rows of the families, the rows in the order of the file."""
    families = [*FAMILIES, *sorted(set(rows["family"]) - set(FAMILIES))]
    groups = [(FAMILIES.get(family, family), rows[rows["family"] == family]) for family in families]
    return [(heading, members) for heading, members in groups if len(members)]


def limits(rows: pd.DataFrame) -> tuple[float, float]:
    """Ends of the axis, in the metric's unit: all that is drawn, and zero, with some margin."""
    drawn = rows[["effect", "low", "high"]].to_numpy(float).ravel()
    ends = [0.0, *(value for value in drawn if math.isfinite(value))]
    room = 0.06 * (max(ends) - min(ends)) or 1.0
    return min(ends) - room, max(ends) + room


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
    write_heading(axis, y, heading)


def write_heading(axis: Axes, y: float, heading: str) -> None:
    """Write a heading between rows, at the left edge of an axis."""
    axis.annotate(
        heading,
        xy=(0, y),
        xycoords=("axes fraction", "data"),
        xytext=(4, 0),
        textcoords="offset points",
        va="center_baseline",
        weight="bold",
        fontsize=SMALL,
        zorder=3,
    )


def _draw_row(axis: Axes, y: float, row: pd.Series, decimals: int) -> None:
    look = VERDICTS[row["verdict"]]
    effect, low, high = (float(row[name]) for name in ("effect", "low", "high"))
    difference = number(effect, decimals)
    if math.isfinite(low) and math.isfinite(high):
        axis.plot([low, high], [y, y], look.line, color=look.edge, linewidth=1.2, gid="interval")
        difference += f" [{number(low, decimals)}, {number(high, decimals)}]"
    if math.isfinite(effect):
        axis.plot(
            effect,
            y,
            look.marker,
            markersize=4.5,
            color=look.edge,
            markerfacecolor=look.face,
            markeredgewidth=1.1,
            zorder=3,
            gid=row["verdict"],
        )
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


def _setting_title(rows: pd.DataFrame, title: str) -> str:
    first = rows.iloc[0]
    return title or f"{first['dataset_title']} {first['acceleration']}"


def _details(rows: pd.DataFrame) -> list[str]:
    """Patients and seeds, and the reasons why some comparisons have no verdict."""
    counts = [
        counted(found, noun)
        for noun in ("patient", "seed")
        if len(found := rows[f"{noun}s"].dropna())
    ]
    said = "; ".join(
        filter(None, (", ".join(counts), "p: corrected by Holm's method within each group"))
    )
    reasons = rows.loc[rows["verdict"] == "cannot tell", "reason"].dropna()
    why = dict.fromkeys(part for reason in reasons for part in reason.split("; ") if part)
    shown = list(why)[:MOST_REASONS]
    if len(why) > len(shown):
        shown.append(f"{len(why) - len(shown)} more reasons in the table of differences")
    return [said, *(wrap_lines(shown, "Cannot tell: ") if why else [])]


def _legend(verdicts: list[str]) -> list[Line2D]:
    return [
        Line2D(
            [],
            [],
            color=look.edge,
            linestyle=look.line,
            linewidth=1.2,
            marker=look.marker,
            markersize=4.5,
            markerfacecolor=look.face,
            markeredgewidth=1.1,
            label=look.meaning,
        )
        for name, look in VERDICTS.items()
        if name in verdicts
    ]
