"""Box plots of a metric over the slices of the reported patients, every model of a setting."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import matplotlib.pyplot as plt
import pandas as pd
import seaborn as sns
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from pipeline_src.evaluation.results import read_metrics
from pipeline_src.reporting.names import full_title, model_order
from pipeline_src.reporting.style import COLORS, PAGE_WIDTH

AXIS_TITLES = {"ssim": "SSIM", "psnr_db": "PSNR (dB)"}
TRAINING_TITLES = {
    "standard": "standard training",
    "sft": "student-friendly teacher",
    "std_kd": "Std-KD",
    "sft_kd": "SFT-KD-Recon",
}


def from_files(inputs: Sequence[Path], title: str) -> Figure:
    """From the `slices.csv` files of a setting."""
    return draw(read_metrics(inputs), title)


def draw(slices: pd.DataFrame, title: str, metric: str = "ssim") -> Figure:
    """One box a trained model; ``slices`` has the columns of the evaluation's `slices.csv`.

    Zero filling lies far below and would flatten the boxes; its median is written instead.
    """
    trained = slices[slices["training"] != "none"].copy()
    order = [
        (model, training)
        for model in model_order(list(trained["model"].unique()))
        for training in TRAINING_TITLES
        if ((trained["model"] == model) & (trained["training"] == training)).any()
    ]
    trained["title"] = [
        full_title(m, t) for m, t in zip(trained["model"], trained["training"], strict=True)
    ]
    figure, axis = plt.subplots(figsize=(PAGE_WIDTH, 0.27 * len(order) + 1.2))
    sns.boxplot(
        trained,
        x=metric,
        y="title",
        order=[full_title(m, t) for m, t in order],
        hue="training",
        palette={k: COLORS[k] for k in TRAINING_TITLES},
        hue_order=list(TRAINING_TITLES),
        dodge=False,
        saturation=1,
        width=0.65,
        linewidth=0.8,
        fliersize=1.5,
        medianprops={"color": "black", "linewidth": 1.4},
        legend=False,
        ax=axis,
    )
    axis.set(xlabel=AXIS_TITLES[metric] + " of a slice", ylabel="")
    for edge in range(1, len(order)):
        if order[edge][0] != order[edge - 1][0]:
            axis.axhline(edge - 0.5, color="0.8", linewidth=0.6)
    zero_filled = slices[slices["training"] == "none"][metric]
    count = f"{trained.groupby('title').size().iloc[0]} slices a box"
    below = (
        f"; zero-filled median {zero_filled.median():.3f} (not drawn)" if len(zero_filled) else ""
    )
    axis.set_title(f"{title}: {count}{below}", loc="left")
    handles = [
        Rectangle((0, 0), 1, 1, facecolor=COLORS[t], edgecolor="0.3", label=name)
        for t, name in TRAINING_TITLES.items()
        if (trained["training"] == t).any()
    ]
    figure.legend(handles=handles, loc="outside lower center", ncols=4, frameon=False)
    return figure
