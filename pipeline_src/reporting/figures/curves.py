"""Draws validation curves of the last stage of each training."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import pandas as pd
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import (
    FuncFormatter,
    LogLocator,
    MaxNLocator,
    NullFormatter,
    NullLocator,
    ScalarFormatter,
)

from pipeline_src.errors import InputError
from pipeline_src.planning.model_names import split_model_name
from pipeline_src.planning.places import stage_of
from pipeline_src.provenance.manifest import Manifest
from pipeline_src.reporting.display_names import counted, full_title, model_order
from pipeline_src.reporting.figure_style import COLORS, LINE_HEIGHT, PAGE_WIDTH, head, wrap_lines
from pipeline_src.tabular import read_rows

#: Markers and dashes, so that curves can be distinguished without colour.
MARKERS = {
    "standard": "o",
    "sft": "s",
    "std_kd": "^",
    "sft_kd": "D",
    "sft_teacher_only": "v",
    "sft_start_only": "P",
}
DASHES = {
    "teacher": "-",
    "student": (0, (4, 1.5)),
    "student_matched": (0, (4, 1, 1, 1)),
    "student_sft_start": (0, (1, 1)),
    "student_as_long": (0, (6, 1, 1, 1, 1, 1)),
}
#: Dashes of the shown methods, used in turn.
METHOD_DASHES = ("-", (0, (5, 1.5)), (0, (2, 1)), (0, (5, 1, 1, 1)), (0, (1, 1)))
QUANTITIES = {
    "validation_loss": "validation loss (L1)",
    "validation_psnr_db": "validation PSNR (dB)",
}
#: Share of the epochs, from the first, whose values may lie outside the axes of a long training:
#: there all curves fall steeply, which would flatten the later differences.
STEEP, LONG_TRAINING = 0.1, 20
#: Columns of the legend that fit below the figure.
LEGEND_COLUMNS = 4
#: Losses and PSNRs of a training are smaller than this.
LARGEST = 1e30
#: Which models have earlier stages and what those were trained on, by the beginning of a stage's
#: name.
STAGES = {
    "features": ("distilled students", "the feature loss"),
    "reconstruction_": ("students trained as long", "reconstruction"),
}


@dataclass(frozen=True)
class Curve:
    """One model's trainings.

    Attributes:
        histories: of the last stage, one per seed; a row per epoch.
        earlier: number of epochs of each earlier stage, by the stage's name.
        distils: whether the loss of the last stage has terms of distillation besides L1.
    """

    model: str
    training: str
    histories: list[pd.DataFrame]
    earlier: dict[str, int] = field(default_factory=dict)
    distils: bool = False

    @property
    def title(self) -> str:
        """The model's name in the figure."""
        return full_title(self.model, self.training)


def from_files(inputs: Sequence[Path], title: str) -> Figure:
    """Draw the figure from the manifests of trainings, which lie beside their histories.

    Trainings of one model are its seeds.

    Raises:
        InputError: a manifest or a history cannot be read.
    """
    curves: dict[str, Curve] = {}
    for manifest in inputs:
        made = Manifest.read(manifest)
        name, files = str(made.settings.get("model", "")), list(map(Path, made.histories))
        if not (name and files):
            raise InputError(
                f"{manifest}: is not a manifest of a training (no model or no histories)"
            )
        *before, last = (read_history(manifest.parent / file) for file in files)
        stages = [stage_of(str(file)) for file in files]
        if name not in curves:
            earlier = {s: len(h) for s, h in zip(stages, before, strict=False)}
            distils = _distils(made.settings, stages[-1])
            curves[name] = Curve(*split_model_name(name), [], earlier, distils)
        curves[name].histories.append(last)
    return draw(list(curves.values()), title)


def read_history(path: Path, quantities: Iterable[str] = QUANTITIES) -> pd.DataFrame:
    """A history of a training's stage: one row per epoch.

    Raises:
        InputError: it cannot be read, or lacks one of the quantities or has none of its numbers.
    """
    needed = ("epoch", *quantities)
    history = read_rows(path, "history", needed, needed=needed)
    for column in needed:
        values = history[column].astype(float)
        if values.isna().all() or (values.abs() > LARGEST).any():
            raise InputError(f"{path}: {column} has no numbers that can be drawn")
    return history


def _distils(plan: dict[str, Any], last_stage: str) -> bool:
    """Whether a training's last stage minimises more than the L1 of its reconstruction."""
    options = (plan.get("distillation") or {}).get("options", {})
    return last_stage == "joint" or bool(options.get("imitation_weight"))


def draw(curves: list[Curve], title: str) -> Figure:
    """Draw validation loss and PSNR by epoch: the mean over seeds, and the range if there are
    several.
    """
    figure, axes = plt.subplots(1, 2, figsize=(PAGE_WIDTH, 3.1))
    dashes = line_dashes(curves)
    first = first_fitted_epoch(curves)
    for (column, label), axis in zip(QUANTITIES.items(), axes, strict=True):
        for number, curve in enumerate(curves):
            _draw_curve(axis, curve, column, dashes[curve.model], number / len(curves))
        low, high = fitted_range(curves, column, first)
        room = 0.05 * (high - low) or 0.05 * abs(high) or 1.0
        axis.set(xlabel="epoch of the last stage", ylabel=label, ylim=(low - room, high + room))
        axis.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    _scale_losses(axes[0], *fitted_range(curves, "validation_loss", first))
    told = "validation loss" if any(c.distils for c in curves) else QUANTITIES["validation_loss"]
    axes[0].set_ylabel(told + (", log scale" if axes[0].get_yscale() == "log" else ""))
    details = _details(curves, first)
    columns = _legend_columns(axes[0], curves)
    figure.legend(
        handles=[handle for column in columns for handle in column],
        loc="outside lower center",
        ncols=len(columns),
        handlelength=3,
    )
    figure.set_figheight(2.5 + LINE_HEIGHT * (len(details) + len(columns[0])))
    head(figure, f"{title}: learning curves on the validation patients", *details)
    return figure


def first_fitted_epoch(curves: list[Curve]) -> int:
    """The epoch from which the axes include every value: the first, or a later one for a long
    training.
    """
    epochs = max(len(history) for curve in curves for history in curve.histories)
    return 1 + (int(STEEP * epochs) if epochs >= LONG_TRAINING else 0)


def fitted_range(curves: list[Curve], column: str, first: int) -> tuple[float, float]:
    """Lowest and highest value of a column of the histories from the epoch ``first``."""
    histories = [history for curve in curves for history in curve.histories]
    values = pd.concat([h.loc[h["epoch"] >= first, column] for h in histories])
    return float(values.min()), float(values.max())


def line_dashes(curves: list[Curve]) -> dict[str, Any]:
    """Matplotlib's line style of each model: its own, or the next of `METHOD_DASHES`."""
    models = model_order([curve.model for curve in curves])
    methods = [model for model in models if model not in DASHES]
    shown = {m: METHOD_DASHES[k % len(METHOD_DASHES)] for k, m in enumerate(methods)}
    return DASHES | shown


def _scale_losses(axis: Axes, low: float, high: float) -> None:
    """Set a logarithmic axis for losses from ``low`` to ``high``, with few enough labels to be
    legible.
    """
    if low <= 0:
        return
    decades = math.log10(high / low)
    room = 10 ** (0.05 * decades or 0.05)
    axis.set(yscale="log", ylim=(low / room, high * room))
    axis.yaxis.set_minor_formatter(NullFormatter())
    if decades < 1:
        axis.yaxis.set_major_locator(MaxNLocator(6))
        axis.yaxis.set_major_formatter(ScalarFormatter())
        axis.yaxis.set_minor_locator(NullLocator())
    else:
        axis.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5) if decades < 4 else (1,)))
        axis.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))


def _legend_columns(axis: Axes, curves: list[Curve]) -> list[list[Artist]]:
    """The legend's entries by column, with the two trainings of a model above each other."""
    handles, _ = axis.get_legend_handles_labels()
    of_model: dict[str, list[Artist]] = {}
    for curve, handle in zip(curves, handles, strict=True):
        of_model.setdefault(curve.model, []).append(handle)
    columns = [of_model[model] for model in model_order(list(of_model))]
    models = -(-len(columns) // LEGEND_COLUMNS)
    stacked = [list(chain(*columns[k : k + models])) for k in range(0, len(columns), models)]
    # Matplotlib fills column after column, so all must have the same length.
    empty = Line2D([], [], linestyle="none", label=" ")
    rows = max(map(len, stacked))
    return [column + [empty] * (rows - len(column)) for column in stacked]


def _draw_curve(axis: Axes, curve: Curve, column: str, dashes: Any, shift: float) -> None:
    """Draw a line with hollow markers, shifted by a part of their distance so that the markers of
    different lines do not overlap.
    """
    runs = pd.concat([h.set_index("epoch")[column] for h in curve.histories], axis=1).sort_index()
    color = COLORS[curve.training]
    spacing = max(1, len(runs) // 5)
    axis.plot(
        runs.index,
        runs.mean(axis=1),
        linestyle=dashes,
        color=color,
        linewidth=1.2,
        marker=MARKERS[curve.training],
        markersize=3.5,
        markerfacecolor="white",
        markevery=(int(shift * spacing), spacing),
        label=curve.title,
    )
    if runs.shape[1] > 1:
        axis.fill_between(
            runs.index,
            runs.min(axis=1),
            runs.max(axis=1),
            color=color,
            alpha=0.15,
            linewidth=0,
        )


def _details(curves: list[Curve], first: int) -> list[str]:
    """Seeds, which epochs are shown, and which losses are not plain L1."""
    seeds = [len(curve.histories) for curve in curves]
    said = [f"mean and range of {counted(seeds, 'seed')}" if max(seeds) > 1 else "one seed"]
    for stage, (whose, what) in STAGES.items():
        earlier = [[e for s, e in c.earlier.items() if s.startswith(stage)] for c in curves]
        before = [sum(epochs) for epochs in earlier if epochs]
        if before:
            epochs = counted(before, "epoch")
            nth = "second" if max(map(len, earlier)) == 1 else "last"
            said.append(f"{whose}: {nth} stage, after {epochs} on {what} (not shown)")
    if first > 1:
        said.append(f"axes fitted to epoch {first} and later")
    distilled = [curve.title for curve in curves if curve.distils]
    if distilled:
        said.append(f"loss of {', '.join(distilled)}: with terms of distillation besides L1")
    return wrap_lines(said)
