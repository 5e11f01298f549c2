"""Losses of models under shifts with their intervals, a row per shift, and beside them what
student-friendly training changes in them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import matplotlib.pyplot as plt
import pandas as pd
from matplotlib.figure import Figure

from pipeline_src.config.shifts import KINDS
from pipeline_src.evaluation.metrics import METRICS
from pipeline_src.reporting.figure_style import COLORS, LINE_HEIGHT, PAGE_WIDTH, SMALL, head
from pipeline_src.reporting.figures import intervals
from pipeline_src.text import one_line

COLUMNS = (
    "dataset",
    "dataset_title",
    "acceleration",
    "shift",
    "shift_title",
    "kind",
    "training",
    "title",
    "against",
    "metric",
    "loss",
    "low",
    "high",
    "patients",
    "seeds",
    "scope",
    "verdict",
)
NUMBERS = ("sampled", "value", "unshifted", "loss", "low", "high", "patients", "seeds")
#: By which models of one training, and so of one colour, are told apart.
MARKERS = ("X", "s", "o", "^", "D", "v", "P", "p", "h", "*")
#: How a difference is drawn: told by its shape and filling, not by colour alone.
VERDICTS = {
    "more robust": intervals.Look("<", "#0072b2", "#0072b2"),
    "less robust": intervals.Look(">", "#d55e00", "#d55e00"),
    "equivalent": intervals.Look("s", "0.2", "0.2"),
    "no difference shown": intervals.Look("o", "0.2", "white"),
    "cannot tell": intervals.Look("x", "0.45", "0.45"),
}
SIZES = {"markersize": 4, "markeredgewidth": 1, "linewidth": 1.1}
#: Inches that a model takes within a shift's row, that there are between rows, and of a heading.
MODEL_HEIGHT, ROW_GAP, HEADING = 0.075, 0.09, 0.2
HEADINGS = {str(kind): heading for kind, heading in KINDS.items()} | {"all": "All together"}


def from_files(
    inputs: Sequence[Path], title: str, metric: str, setting: tuple[str, str] | None = None
) -> Figure:
    """From the table of robustness; of several settings, the one given is shown.

    Raises:
        InputError: a file cannot be read or lacks a column, or the setting is not in it or not
            told.
    """
    known = {"verdict": {"", *VERDICTS}, "kind": HEADINGS}
    table = intervals.read_table(inputs, "robustness", NUMBERS, COLUMNS, known)
    return draw(intervals.pick(table, metric, setting), title, metric)


def draw(rows: pd.DataFrame, title: str, metric: str) -> Figure:
    """The losses of one setting in the metric's unit."""
    own = rows[rows["against"] == "unshifted"]
    compared = rows[rows["against"] != "unshifted"]
    models = list(own["title"].drop_duplicates())
    pairs = list(compared["title"].drop_duplicates())
    alone = intervals.scope(compared, "kind", HEADINGS)
    places, ends, tall = _places(rows, max(len(models), len(pairs), 2))
    figure, (left, right) = plt.subplots(
        1,
        2,
        figsize=(PAGE_WIDTH, tall + LINE_HEIGHT * len(alone) + 1.25),
        sharey=True,
        width_ratios=(1.75, 1) if pairs else (1, 0.001),
    )
    looks = {model: _look(own, model, n) for n, model in enumerate(models)}
    for shift, center in places.items():
        here = own[own["shift"] == shift]
        for number, model in enumerate(models):
            for _, row in here[here["title"] == model].iterrows():
                y = center + (number - (len(models) - 1) / 2) * MODEL_HEIGHT
                looks[model].draw(left, y, row, "loss", **SIZES)
        for number, pair in enumerate(pairs):
            here = compared[(compared["shift"] == shift) & (compared["title"] == pair)]
            for _, row in here.iterrows():
                y = center + (number - (len(pairs) - 1) / 2) * MODEL_HEIGHT
                VERDICTS[row["verdict"]].draw(right, y, row, "loss", **SIZES)
    titles = rows.drop_duplicates("shift").set_index("shift")["shift_title"]
    for axis, shown in ((left, own), (right, compared)):
        axis.axvline(0, color="0.2", linewidth=0.9, zorder=1.5)
        if len(shown):
            axis.set_xlim(*intervals.limits(shown, "loss"))
        axis.grid(visible=False, axis="y")
    for y, heading in ends:
        for axis in (left, right):
            axis.axhspan(
                y - HEADING / 2, y + HEADING / 2, facecolor="0.92", edgecolor="none", zorder=0.5
            )
        intervals.write_heading(left, y, heading)
    left.set(
        yticks=list(places.values()),
        yticklabels=[one_line(titles[shift]) for shift in places],
        ylim=(tall, 0),
        xlabel=f"loss in {METRICS[metric].heading}",
    )
    if pairs:
        right.set_xlabel("\N{LEFTWARDS ARROW} SFT more robust    less \N{RIGHTWARDS ARROW}")
        right.set_title("difference in loss", fontsize=SMALL)
        left.set_title("loss of each model", fontsize=SMALL)
    else:
        right.set_visible(False)
    name = intervals.setting_title(rows, title)
    heading = f"{name}: loss under conditions not trained for"
    head(figure, heading, _details(own), *_pairs(pairs), *alone)
    said = [verdict for verdict in VERDICTS if verdict in set(compared["verdict"])]
    handles = [look.handle(one_line(model), **SIZES) for model, look in looks.items()]
    handles += [VERDICTS[verdict].handle(f"difference: {verdict}", **SIZES) for verdict in said]
    figure.legend(handles=handles, loc="outside lower center", ncols=4, fontsize=SMALL)
    return figure


def _places(
    rows: pd.DataFrame, models: int
) -> tuple[dict[str, float], list[tuple[float, str]], float]:
    """Inches from the top of the middle of each shift's row and of each heading, and of the end;
    the mean of all shifts last."""
    kinds = rows.drop_duplicates("shift").set_index("shift")["kind"]
    row = models * MODEL_HEIGHT + ROW_GAP
    places: dict[str, float] = {}
    ends = []
    top = 0.0
    for kind, heading in HEADINGS.items():
        shifts = list(kinds.index[kinds == kind])
        if not shifts:
            continue
        ends.append((top + HEADING / 2, heading))
        top += HEADING
        for shift in shifts:
            places[shift] = top + row / 2
            top += row
    return places, ends, top


def _look(own: pd.DataFrame, model: str, number: int) -> intervals.Look:
    training = own.loc[own["title"] == model, "training"].iloc[0]
    color = COLORS.get(training, COLORS["none"])
    return intervals.Look(MARKERS[number % len(MARKERS)], color, color)


def _details(own: pd.DataFrame) -> str:
    """Patients and seeds."""
    found = intervals.counts(own[own["training"] != "none"])
    return ", ".join([*found, "means and 95 % intervals"])


def _pairs(pairs: list[str]) -> list[str]:
    """What the differences are."""
    order = "from above: " if len(pairs) > 1 else ""
    return [f"Difference in loss, {order}{'; '.join(pairs)}"] if pairs else []
