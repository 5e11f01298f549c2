"""Draws the input data: slices of every patient on one page."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from pipeline_src.data.store import Store, read_store
from pipeline_src.reporting.display_names import counted
from pipeline_src.reporting.figure_style import PAGE_WIDTH, TINY, head, upright
from pipeline_src.text import one_line

COLUMNS = 10
#: Inches: height of a page, its part without tiles, and the label above a tile.
HIGHEST, AROUND, LABEL = 9.2, 0.7, 0.14
#: Characters of a label that fit above a tile.
LABEL_LENGTH = 13


@dataclass(frozen=True)
class Frame:
    """How tiles of one part of the split are framed; the dashes identify it without colour."""

    color: str
    dashes: Any


FRAMES = {
    "train": Frame("#0072b2", "-"),
    "validation": Frame("#e69f00", (0, (3, 1))),
    "test": Frame("#009e73", (0, (1, 1))),
}


def from_files(inputs: Sequence[Path], title: str) -> Figure:
    """Draw the figure from one store.

    Raises:
        InputError: it cannot be read.
    """
    return draw(read_store(inputs[0]), title)


def draw(store: Store, title: str) -> Figure:
    """Draw the middle slice of each volume, framed by its part of the split; only some of the
    volumes if they do not fit on a page.
    """
    tiles = []
    for _, members in store.slices.groupby("volume", sort=True):
        tiles.append(members.index[len(members) // 2])
    tall = PAGE_WIDTH / COLUMNS * _shape(store)[0] / _shape(store)[1] + LABEL
    most = COLUMNS * max(1, int((HIGHEST - AROUND) / tall))
    shown = tiles
    if len(tiles) > most:
        shown = [tiles[i] for i in np.linspace(0, len(tiles) - 1, most).astype(int)]
    rows = -(-len(shown) // COLUMNS)
    figure, axes = plt.subplots(
        rows, COLUMNS, figsize=(PAGE_WIDTH, tall * rows + AROUND), squeeze=False
    )
    figure.set_layout_engine("constrained", w_pad=0.025, h_pad=0.02, hspace=0, wspace=0)
    for axis in axes.flat:
        axis.set_axis_off()
    for axis, at in zip(axes.flat, shown, strict=False):
        _draw_tile(axis, store, at)
    above = " (patient and frame above)" if store.slices["frame"].any() else ""
    left_out = f", {len(shown)} of {len(tiles)} volumes" if len(shown) < len(tiles) else ""
    synthetic = "synthetic, " if store.description.get("synthetic") else ""
    size = "x".join(map(str, store.images.shape[1:]))
    head(
        figure,
        f"{title}: {synthetic}{size} pixels, middle slice of each volume{above}{left_out}",
        _counts(store),
    )
    handles = [
        Line2D([], [], color=frame.color, linestyle=frame.dashes, linewidth=2, label=part)
        for part, frame in FRAMES.items()
        if (store.slices["part"] == part).any()
    ]
    figure.legend(handles=handles, loc="outside lower center", ncols=3, handlelength=3)
    return figure


def shortened(label: str) -> str:
    """The end of a label that is too long for its tile, since ids differ at the end."""
    if len(label) <= LABEL_LENGTH:
        return label
    return "\N{HORIZONTAL ELLIPSIS}" + label[1 - LABEL_LENGTH :]


def _shape(store: Store) -> tuple[int, int]:
    """Rows and columns of a slice as it is shown."""
    rows, columns = store.images.shape[1:]
    turned = store.description.get("display_quarter_turns", 0) % 2
    return (columns, rows) if turned else (rows, columns)


def _draw_tile(axis: Axes, store: Store, at: int) -> None:
    row = store.slices.loc[at]
    turns = store.description.get("display_quarter_turns", 0)
    axis.imshow(upright(store.images[at], turns), cmap="gray", vmin=0, vmax=1)
    axis.set_axis_on()
    axis.set(xticks=[], yticks=[])
    axis.grid(visible=False)
    frame = FRAMES[str(row["part"])]
    for spine in axis.spines.values():
        spine.set(color=frame.color, linewidth=1.6, linestyle=frame.dashes, capstyle="butt")
    label = one_line(f"{row['patient']} {row['frame']}")
    axis.set_title(shortened(label), fontsize=TINY, pad=3)


def _counts(store: Store) -> str:
    """Patients and slices of each part, in words."""
    said = []
    for part in FRAMES:
        members = store.slices[store.slices["part"] == part]
        if len(members):
            patients = counted([members["patient"].nunique()], "patient")
            said.append(f"{part} {patients} ({counted([len(members)], 'slice')})")
    return ", ".join(said)
