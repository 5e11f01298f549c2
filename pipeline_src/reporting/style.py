"""The look that all figures share, and how they are saved."""

from __future__ import annotations

from pathlib import Path

import matplotlib as mpl

mpl.use("Agg")

import numpy as np
import seaborn as sns
from matplotlib.figure import Figure
from numpy.typing import NDArray

from pipeline_src.files import atomic_path

#: Okabe & Ito's colours, told apart by colour-blind readers and, by lightness, in grey.
COLORS = {
    "none": "#8c8c8c",
    "standard": "#0072b2",
    "std_kd": "#56b4e9",
    "sft": "#d55e00",
    "sft_kd": "#e69f00",
}
#: Width in inches of a figure over a page's full text width.
PAGE_WIDTH = 7.2


def apply_style() -> None:
    """Small, legible type on white; embedded fonts in PDF."""
    sns.set_theme(
        context="paper",
        style="whitegrid",
        rc={
            "axes.edgecolor": "0.3",
            "axes.titlesize": 9,
            "figure.constrained_layout.use": True,
            "font.size": 8,
            "grid.color": "0.9",
            "pdf.fonttype": 42,
            "savefig.dpi": 200,
        },
    )


def save(figure: Figure, path: Path) -> None:
    """Write a figure as PNG and PDF beside each other, bytes depending only on its content."""
    for suffix in (".png", ".pdf"):
        metadata = {"CreationDate": None} if suffix == ".pdf" else {}
        with atomic_path(path.with_suffix(suffix)) as temporary:
            figure.savefig(temporary, metadata=metadata)


def upright(image: NDArray[np.float32], quarter_turns: int) -> NDArray[np.float32]:
    """A slice as it is shown."""
    return np.rot90(image, quarter_turns)
