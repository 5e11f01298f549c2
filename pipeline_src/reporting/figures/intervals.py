"""What the figures of differences with intervals share: reading, picking, marks and headings."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from pipeline_src.errors import InputError
from pipeline_src.evaluation.comparison import THESE_PATIENTS
from pipeline_src.reporting.display_names import counted
from pipeline_src.reporting.figure_style import SMALL, wrap_lines
from pipeline_src.tabular import read_rows


class Look(NamedTuple):
    """How a verdict or a model is drawn: identified by shape and filling, not only by colour.

    Sizes are properties of a `Line2D`, the same for all marks of a figure.
    """

    marker: str
    edge: str
    face: str
    line: Any = "-"

    @property
    def _mark(self) -> dict[str, Any]:
        return {"marker": self.marker, "color": self.edge, "markerfacecolor": self.face}

    def draw(self, axis: Axes, y: float, row: pd.Series, column: str, **sizes: Any) -> None:
        """Draw a row's value and its interval, as far as they are finite; the mark is identified by
        the verdict, or by the value's column where there is none.
        """
        value, low, high = (float(row[name]) for name in (column, "low", "high"))
        if math.isfinite(low) and math.isfinite(high):
            axis.plot([low, high], [y, y], self.line, color=self.edge, gid="interval", **sizes)
        if math.isfinite(value):
            gid = row["verdict"] or column
            axis.plot(value, y, linestyle="none", zorder=3, gid=gid, **self._mark, **sizes)

    def handle(self, label: str, **sizes: Any) -> Line2D:
        """Its mark in a legend."""
        return Line2D([], [], linestyle=self.line, label=label, **self._mark, **sizes)


def read_table(
    paths: Sequence[Path],
    what: str,
    numbers: Collection[str],
    columns: Collection[str],
    known: Mapping[str, Collection[str]],
) -> pd.DataFrame:
    """The rows of all files; ``known`` has the words that a column may contain.

    Raises:
        InputError: a file cannot be read, lacks a column or contains another word.
    """
    tables = []
    for path in paths:
        table = read_rows(path, what, numbers, needed=columns, of_spreadsheet=True)
        for column, words in known.items():
            if unknown := sorted(set(table[column]) - set(words)):
                raise InputError(f"{path}: unknown {column}: {unknown[0]!r:.80}")
        tables.append(table)
    return pd.concat(tables, ignore_index=True)


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


def limits(rows: pd.DataFrame, value: str = "effect") -> tuple[float, float]:
    """Ends of the axis, in the metric's unit: all that is drawn, and zero, with some margin.

    ``value`` is the column of the values.
    """
    drawn = rows[[value, "low", "high"]].to_numpy(float).ravel()
    ends = [0.0, *(end for end in drawn if math.isfinite(end))]
    room = 0.06 * (max(ends) - min(ends)) or 1.0
    return min(ends) - room, max(ends) + room


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


def setting_title(rows: pd.DataFrame, title: str) -> str:
    """The given title, or else the setting of the rows."""
    first = rows.iloc[0]
    return title or f"{first['dataset_title']} {first['acceleration']}"


def counts(rows: pd.DataFrame) -> list[str]:
    """Patients and seeds of the rows, as far as they are known: `3 seeds`."""
    return [
        counted(found, noun)
        for noun in ("patient", "seed")
        if len(found := rows[f"{noun}s"].dropna())
    ]


def scope(rows: pd.DataFrame, column: str, headings: Mapping[str, str]) -> list[str]:
    """Which verdicts are about the measured patients alone, on lines that fit; if not all are,
    with the headings of their groups, which ``column`` tells."""
    told = rows[rows["verdict"] != "cannot tell"]
    alone = told[told["scope"] == THESE_PATIENTS]
    if alone.empty:
        return []
    about = "Verdicts hold for these patients, too few to speak of others"
    if len(alone) == len(told):
        return [about]
    groups = set(alone[column])
    known = [heading for group, heading in headings.items() if group in groups]
    return wrap_lines([*known, *sorted(groups - set(headings))], f"{about}: ")
