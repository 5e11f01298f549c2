"""Validation curves of the last stage of each training."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import matplotlib.pyplot as plt
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator

from pipeline_src.config.plans import split_model_name
from pipeline_src.errors import InputError
from pipeline_src.files import read_json
from pipeline_src.reporting.names import full_title
from pipeline_src.reporting.style import COLORS, PAGE_WIDTH

LINE_STYLES = {"teacher": "-", "student": "--"}


@dataclass(frozen=True)
class Curve:
    """One model's histories, one a seed."""

    model: str
    training: str
    histories: list[pd.DataFrame]


def from_files(inputs: Sequence[Path], title: str) -> Figure:
    """From the manifests of trainings, beside their histories; one model's are its seeds.

    Raises:
        InputError: a manifest or its history cannot be read.
    """
    runs: dict[str, list[pd.DataFrame]] = {}
    for manifest in inputs:
        made = read_json(manifest)
        path = manifest.parent / made["histories"][-1]
        try:
            history = pd.read_csv(path)
        except (OSError, ValueError) as error:
            raise InputError(f"{path}: history cannot be read ({error})") from None
        runs.setdefault(made["plan"]["model"], []).append(history)
    return draw([Curve(*split_model_name(name), found) for name, found in runs.items()], title)


def draw(curves: list[Curve], title: str) -> Figure:
    """Validation loss and PSNR by epoch; the mean over seeds, with the range where several."""
    figure, axes = plt.subplots(1, 2, figsize=(PAGE_WIDTH, 2.9))
    for column, axis in zip(("validation_loss", "validation_psnr_db"), axes, strict=True):
        for curve in curves:
            runs = pd.concat([h.set_index("epoch")[column] for h in curve.histories], axis=1)
            color = COLORS[curve.training]
            axis.plot(
                runs.index,
                runs.mean(axis=1),
                LINE_STYLES.get(curve.model, "-."),
                color=color,
                linewidth=1.3,
                label=full_title(curve.model, curve.training),
            )
            if runs.shape[1] > 1:
                axis.fill_between(
                    runs.index, runs.min(axis=1), runs.max(axis=1), color=color, alpha=0.15
                )
        axis.set_xlabel("epoch of the last stage")
        axis.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes[0].set(ylabel="validation loss (L1)", yscale="log")
    for which in (axes[0].yaxis.set_major_formatter, axes[0].yaxis.set_minor_formatter):
        which(FuncFormatter(lambda value, _: f"{value:.3g}"))
    axes[1].set(ylabel="validation PSNR (dB)")
    figure.suptitle(title, fontsize=9)
    handles, labels = axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=5, frameon=False, fontsize=7)
    return figure
