"""Draws box plots of a metric over the slices of the reported patients, for every model of a
setting.

Between the two boxes of a method, a line per patient joins its means with the two recipes.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from pipeline_src.config.recipes import RECIPES
from pipeline_src.errors import InputError
from pipeline_src.evaluation.metrics import METRICS
from pipeline_src.evaluation.metrics_files import read_metrics
from pipeline_src.reporting.display_names import (
    RECIPE_TITLES,
    counted,
    full_title,
    model_order,
    model_title,
)
from pipeline_src.reporting.figure_style import (
    COLORS,
    PAGE_WIDTH,
    TINY,
    head,
)
from pipeline_src.reporting.tables.missing import note_of
from pipeline_src.text import one_line

#: Trainings, in the order of a model's boxes.
TRAININGS = ("standard", "sft", *RECIPES)
#: Markers of a patient's mean with each recipe.
MARKERS = {"std_kd": "o", "sft_kd": "D"}
#: Inches between one box and the next, and how many of them lie between the boxes of a method.
ROW_HEIGHT, PAIR_ROWS = 0.225, 2.0
#: Line of a patient whose mean is better with SFT-KD-Recon, and of any other.
BETTER: dict[str, Any] = {"color": "0.45", "linewidth": 0.6, "alpha": 0.55, "linestyle": "-"}
NOT_BETTER: dict[str, Any] = {
    "color": "black",
    "linewidth": 0.8,
    "alpha": 0.8,
    "linestyle": (0, (3, 1.5)),
}


@dataclass(frozen=True)
class Box:
    """The place of one trained model; rows are counted from the top."""

    model: str
    training: str
    row: float


def from_files(inputs: Sequence[Path], title: str, metric: str) -> Figure:
    """Draw the figure from the `slices.csv` files of a setting.

    Raises:
        InputError: a file cannot be read, or contains no trained model.
    """
    return draw(read_metrics(inputs, slices=True), title, metric)


def draw(slices: pd.DataFrame, title: str, metric: str) -> Figure:
    """Draw one box per trained model; ``slices`` has the columns of the evaluation's `slices.csv`.

    Zero filling lies far below and would flatten the boxes; its median is printed instead.

    Raises:
        InputError: there is no trained model.
    """
    slices = slices[slices["variant"] == ""]
    trained = slices[slices["training"] != "none"]
    if trained.empty:
        raise InputError("box plot: no trained model in the metrics")
    boxes = places(trained)
    figure, axis = plt.subplots(figsize=(PAGE_WIDTH, ROW_HEIGHT * boxes[-1].row + 1.5))
    _draw_boxes(axis, boxes, trained, metric)
    paired, single = False, []
    for first, second in pairwise(boxes):
        if first.model != second.model:
            axis.axhline((first.row + second.row) / 2, color="0.8", linewidth=0.5)
        elif (first.training, second.training) == tuple(MARKERS):
            means = patient_means(trained[trained["model"] == first.model], metric)
            alone = means.isna().any(axis=1)
            single += [f"{patient} ({model_title(first.model)})" for patient in means.index[alone]]
            _draw_patients(axis, first.row, second.row, means[~alone], metric)
            paired = True
    axis.set(
        xlabel=f"{METRICS[metric].heading} of a slice",
        yticks=[box.row for box in boxes],
        yticklabels=[one_line(full_title(box.model, box.training)) for box in boxes],
        ylim=(boxes[-1].row + 0.7, -0.7),
    )
    axis.grid(visible=False, axis="y")
    details = [
        *_counts(slices, metric),
        *note_of("Not drawn, as they are without error", _exact(trained, metric)),
        *note_of("Patients of one recipe alone, not joined", single),
    ]
    head(figure, f"{title}: {METRICS[metric].title} by slice", *details)
    if paired:
        figure.legend(
            handles=_legend(metric), loc="outside lower center", ncols=4, columnspacing=1.2
        )
    return figure


def places(trained: pd.DataFrame) -> list[Box]:
    """The boxes in the paper's order, with room for the patients between those of a method."""
    have = set(zip(trained["model"], trained["training"], strict=True))
    boxes: list[Box] = []
    row = 0.0
    for model in model_order(list(trained["model"].unique())):
        for training in TRAININGS:
            if (model, training) not in have:
                continue
            if boxes:
                of_method = boxes[-1].model == model and training in MARKERS
                row += PAIR_ROWS if of_method else 1.0
            boxes.append(Box(model, training, row))
    return boxes


def patient_means(of_method: pd.DataFrame, metric: str) -> pd.DataFrame:
    """A row per patient, a column per recipe: the mean over slices of a volume, then over the
    patient's volumes, then over seeds; NaN if a patient was measured with only one recipe.
    """
    frames = of_method.assign(frame=of_method["frame"].fillna(""))
    levels = ["training", "patient", "seed", "frame"]
    means = frames.groupby(levels, dropna=False)[metric].mean()
    for level in ("frame", "seed"):
        keep = [name for name in means.index.names if name != level]
        means = means.groupby(level=keep, dropna=False).mean()
    return means.unstack("training")[list(MARKERS)]


def _draw_boxes(axis: Axes, boxes: list[Box], trained: pd.DataFrame, metric: str) -> None:
    """Boxes over quartiles, whiskers of 1.5 interquartile ranges, dots beyond."""
    for box in boxes:
        of_model = (trained["model"] == box.model) & (trained["training"] == box.training)
        color = COLORS[box.training]
        values = trained.loc[of_model, metric].to_numpy()
        sns.boxplot(
            x=values,
            y=np.full(len(values), box.row),
            orient="h",
            native_scale=True,
            width=0.62,
            color=_tint(color),
            saturation=1,
            linecolor=color,
            linewidth=0.9,
            medianprops={"color": "black", "linewidth": 1.4, "solid_capstyle": "butt"},
            flierprops={"marker": ".", "markersize": 2, "markeredgecolor": color},
            ax=axis,
        )


def _draw_patients(
    axis: Axes, above: float, below: float, means: pd.DataFrame, metric: str
) -> None:
    """Draw a line per patient between the rows ``above`` and ``below``, and print how many are
    better with SFT-KD-Recon.
    """
    ends = (above + 0.55, below - 0.55)
    higher = METRICS[metric].higher_is_better
    better = means["sft_kd"].gt(means["std_kd"]) if higher else means["sft_kd"].lt(means["std_kd"])
    for values, is_better in zip(means.to_numpy(), better, strict=True):
        axis.plot(values, ends, **(BETTER if is_better else NOT_BETTER), gid="patient")
    for row, (recipe, marker) in zip(ends, MARKERS.items(), strict=True):
        axis.scatter(
            means[recipe],
            [row] * len(means),
            s=9,
            marker=marker,
            color=COLORS[recipe],
            edgecolor="white",
            linewidth=0.3,
            zorder=3,
        )
    axis.annotate(
        f"{_better(metric)} in\n{int(better.sum())} of {counted([len(means)], 'patient')}",
        xy=(1, (above + below) / 2),
        xycoords=("axes fraction", "data"),
        xytext=(4, 0),
        textcoords="offset points",
        va="center",
        fontsize=TINY,
    )


def _counts(slices: pd.DataFrame, metric: str) -> list[str]:
    """What a box stands for, in words, and the median of zero filling."""
    trained, not_trained = (slices[(slices["training"] == "none") == is_none] for is_none in (0, 1))
    models = trained.groupby(["model", "training"], dropna=False)
    seeds = models["seed"].nunique()
    a_seed = trained.groupby(["model", "training", "seed"], dropna=False).size()
    lines = [f"{counted(a_seed, 'slice')} of {counted(models['patient'].nunique(), 'patient')}"]
    if seeds.max() > 1:
        lines[0] += f"; {counted(seeds, 'seed')} pooled ({counted(models.size(), 'value')} per box)"
    elif seeds.max() == 1:
        lines[0] += "; one seed"
    if len(not_trained):
        median = not_trained[metric].median()
        shown = METRICS[metric]
        told = f"{median:.{min(shown.decimals, 3)}f} {shown.unit}".strip()
        lines[0] += f"; zero-filled: median {told}, not drawn"
    return lines


def _exact(trained: pd.DataFrame, metric: str) -> list[str]:
    """Slices that are reconstructed without error, whose PSNR is infinite."""
    return [
        f"{full_title(row['model'], row['training'])}, patient {row['patient']}"
        for _, row in trained[trained[metric] == math.inf].iterrows()
    ]


def _better(metric: str) -> str:
    """The word for a better value."""
    return "higher" if METRICS[metric].higher_is_better else "lower"


def _legend(metric: str) -> list[Line2D]:
    """Legend for what is drawn between the boxes of a method."""
    ends = [
        Line2D(
            [],
            [],
            color=COLORS[recipe],
            marker=marker,
            markersize=3,
            linestyle="none",
            label=f"a patient's mean, {RECIPE_TITLES[recipe]}",
        )
        for recipe, marker in MARKERS.items()
    ]
    ways = [
        Line2D([], [], **BETTER, label=f"{_better(metric)} with {RECIPE_TITLES['sft_kd']}"),
        Line2D([], [], **NOT_BETTER, label=f"not {_better(metric)}"),
    ]
    return [*ends, *ways]


def _tint(color: str) -> tuple[float, float, float]:
    """The colour mixed with white, so light that a black line is visible on it."""
    red, green, blue = (0.45 * part + 0.55 for part in to_rgb(color))
    return red, green, blue
