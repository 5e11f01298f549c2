"""What went in: slices of every patient at a glance."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from pipeline_src.data.store import Store, read_store
from pipeline_src.reporting.style import PAGE_WIDTH, upright

COLUMNS = 10
MAX_TILES = 100
PART_COLORS = {"train": "#0072b2", "validation": "#e69f00", "test": "#009e73"}


def from_files(inputs: Sequence[Path], title: str) -> Figure:
    """From one store."""
    return draw(read_store(inputs[0]), title)


def draw(store: Store, title: str) -> Figure:
    """The middle slice of each volume, framed by its part of the split (at most 100 volumes)."""
    tiles = []
    for _, members in store.slices.groupby("volume", sort=True):
        tiles.append(members.index[len(members) // 2])
    shown = tiles
    if len(tiles) > MAX_TILES:
        shown = [tiles[i] for i in np.linspace(0, len(tiles) - 1, MAX_TILES).astype(int)]
    rows = -(-len(shown) // COLUMNS)
    figure, axes = plt.subplots(
        rows, COLUMNS, figsize=(PAGE_WIDTH, 0.86 * rows + 0.7), squeeze=False
    )
    turns = store.description["display_quarter_turns"]
    for axis in axes.flat:
        axis.set_axis_off()
    for axis, at in zip(axes.flat, shown, strict=False):
        row = store.slices.loc[at]
        axis.imshow(upright(store.images[at], turns), cmap="gray", vmin=0, vmax=1)
        axis.set_axis_on()
        axis.set_xticks([])
        axis.set_yticks([])
        axis.grid(visible=False)
        for spine in axis.spines.values():
            spine.set(color=PART_COLORS[row["part"]], linewidth=2)
        label = f"{row['patient']} {row['frame']}".strip()
        axis.set_title(label, fontsize=4.5, pad=2)
    counts = store.slices.groupby("part").agg(
        patients=("patient", "nunique"), slices=("slice", "size")
    )
    described = ", ".join(
        f"{row.patients} {row.Index} ({row.slices} slices)"
        for row in counts.loc[[part for part in PART_COLORS if part in counts.index]].itertuples()
    )
    synthetic = ", synthetic" if store.description["synthetic"] else ""
    size = "x".join(map(str, store.images.shape[1:]))
    figure.suptitle(f"{title}{synthetic}, {size}; patients: {described}", fontsize=8)
    handles = [
        Line2D([], [], color=color, linewidth=3, label=part)
        for part, color in PART_COLORS.items()
        if part in counts.index
    ]
    figure.legend(handles=handles, loc="outside lower center", ncols=3, frameon=False, fontsize=7)
    return figure
