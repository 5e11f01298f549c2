"""Draws one slice as reconstructed by each model: images with an inset, and residual maps on one
scale.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from textwrap import wrap
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from matplotlib.patches import Rectangle
from matplotlib.patheffects import withStroke
from matplotlib.ticker import MaxNLocator

from pipeline_src.errors import InputError
from pipeline_src.npz_files import reading_npz
from pipeline_src.reporting.display_names import full_title, value_text
from pipeline_src.reporting.figure_style import PAGE_WIDTH, SMALL, TINY, head, upright
from pipeline_src.reporting.figures.panel_inset import (
    INSET,
    Box,
    Corner,
    Image,
    Shape,
    inset_box,
    inset_corner,
    square_of_most,
)

#: Most images beside each other; more are drawn in another band of images and residuals.
MOST_COLUMNS = 8
#: Largest width of an image, in inches.
WIDEST = 1.5
FRAME = "#e69f00"
#: White on black, which is visible on any grey and any residual.
MARK, RIM = "white", [withStroke(linewidth=2.4, foreground="black")]
#: Width in inches of a character of an image's title.
CHARACTER = 0.06


@dataclass(frozen=True)
class Picture:
    """One model's reconstruction of the shown slice; images are `(rows, columns)`, as fractions of
    the volume's maximum.
    """

    title: str
    trained: bool
    target: Image
    image: Image
    psnr_db: float
    ssim: float
    caption: str

    @classmethod
    def read(cls, path: Path) -> Picture:
        """Read the evaluation's `panel.npz`.

        Raises:
            InputError: the file is missing or is not of that kind.
        """
        with reading_npz(path, "panel cannot be read") as file:
            turns = int(file["quarter_turns"])
            # Panels of older versions do not tell the frame.
            frame = str(file.get("frame", ""))
            shown = f"frame {frame}, slice" if frame else "slice"
            return cls(
                _title(*(str(file.get(key, "")) for key in ("model", "training", "variant"))),
                str(file["training"]) != "none",
                upright(file["target"], turns),
                upright(file["image"], turns),
                float(file["psnr_db"]),
                float(file["ssim"]),
                f"subject {file['patient']}, {shown} {file['slice']}",
            )


def from_files(inputs: Sequence[Path], title: str) -> Figure:
    """Draw the figure from the evaluation's `panel.npz` files, shown in the given order.

    Raises:
        InputError: a file cannot be read, or shows another slice than the first.
    """
    pictures = [Picture.read(path) for path in inputs]
    for path, picture in zip(inputs, pictures, strict=True):
        if not np.array_equal(picture.target, pictures[0].target):
            raise InputError(f"{path}: shows another slice than {inputs[0]}")
    return draw(pictures, title)


def draw(pictures: list[Picture], title: str) -> Figure:
    """Draw target and reconstructions above, |residual| below, and print PSNR and SSIM under
    each.
    """
    target = pictures[0].target
    marked = difference_box(pictures)
    bands, columns = layout(len(pictures) + 1)
    wide = min(WIDEST, PAGE_WIDTH / columns)
    tall = wide * target.shape[0] / target.shape[1]
    titles = [_broken(picture.title, wide) for picture in pictures]
    lines = max(title.count("\n") + 1 for title in titles)
    size = (wide * columns, bands * (2 * tall + 0.4 + 0.12 * lines) + 0.28)
    figure, axes = plt.subplots(2 * bands, columns, figsize=size, squeeze=False)
    figure.set_layout_engine("constrained", w_pad=0.02, h_pad=0.03, hspace=0, wspace=0)
    for axis in axes.flat:
        axis.set_axis_off()
    white = float(np.percentile(target, 99.8))
    box = inset_box(target)
    corner = inset_corner(target, box, marked)
    limit = residual_limit(pictures)

    _show(axes[0, 0], target, white, box, corner, marked)
    axes[0, 0].set_title("Target", fontsize=SMALL)
    axes[0, 0].set_xlabel("PSNR (dB)\nSSIM", fontsize=TINY)
    shown = None
    for place, picture in enumerate(pictures, start=1):
        above, below = axes[2 * (place // columns) :, place % columns][:2]
        _show(above, picture.image, white, box, corner, marked)
        above.set_title(titles[place - 1], fontsize=SMALL)
        psnr, ssim = value_text(picture.psnr_db, "psnr_db"), value_text(picture.ssim, "ssim")
        above.set_xlabel(f"{psnr}\n{ssim}", fontsize=TINY)
        shown = _show_residual(below, np.abs(picture.image - target), limit, marked)
    if shown is not None:
        _scale(figure, axes[1, 0], shown)
    signs = "orange square: enlarged"
    if marked:
        signs += "; white arrow and box: where the residuals of the trained models differ most"
    head(figure, f"{title}: {pictures[0].caption}", signs)
    return figure


def layout(tiles: int) -> tuple[int, int]:
    """Bands and columns for ``tiles`` images, including the target.

    With several bands, each has an even number of columns, so that the two recipes of a method,
    which follow each other, stay in one band.
    """
    bands = -(-tiles // MOST_COLUMNS)
    columns = -(-tiles // bands)
    return bands, columns + (columns % 2 if bands > 1 else 0)


def residual_limit(pictures: list[Picture]) -> float:
    """The upper end of the common scale of residuals, as a fraction of the volume's maximum.

    It is set by the trained models: zero filling would hide their differences.
    """
    scaling = [p for p in pictures if p.trained] or pictures
    return max(float(np.percentile(np.abs(p.image - p.target), 99.5)) for p in scaling)


def difference_box(pictures: list[Picture]) -> Box | None:
    """First row, first column and side of the square in which the residuals of trained models
    differ most.

    Its side is an eighth of the slice's; compared are the means of the absolute residuals over its
    pixels, largest minus smallest. None if fewer than two models differ.
    """
    residuals = np.stack([np.abs(p.image - p.target) for p in pictures if p.trained] or [[[0.0]]])
    spread = residuals.max(axis=0) - residuals.min(axis=0)
    if not spread.any():
        return None
    return square_of_most(spread, max(6, min(spread.shape) // 8))


def _title(model: str, training: str, variant: str) -> str:
    """A model's title, with the change by which it differs from the study's own model."""
    change = variant.rpartition(".")[2].replace("_", " ")
    return full_title(model, training) + (f" ({change})" if change else "")


def _broken(title: str, wide: float) -> str:
    """A title broken into lines that fit above an image of that width in inches."""
    pieces = title.replace("Recon ", "Recon\n").split("\n")
    longest = int(wide / CHARACTER)
    return "\n".join(line for piece in pieces for line in wrap(piece, longest))


def _frame(axis: Axes) -> None:
    """Turn axes into a bare frame for an image."""
    axis.set_axis_on()
    axis.set(xticks=[], yticks=[])
    axis.grid(visible=False)


def _show_residual(axis: Axes, residual: Image, limit: float, marked: Box | None) -> AxesImage:
    _frame(axis)
    if marked:
        row, column, side = marked
        look: dict[str, Any] = {"fill": False, "edgecolor": MARK, "linewidth": 1.0}
        look |= {"path_effects": RIM, "gid": "difference"}
        axis.add_patch(Rectangle((column - 0.5, row - 0.5), side, side, **look))
    return axis.imshow(residual, cmap="magma", vmin=0, vmax=limit)


def _scale(figure: Figure, axis: Axes, shown: AxesImage) -> None:
    """Draw the colour bar in the empty place below the target, so that it takes no width from the
    images.
    """
    place = axis.inset_axes((0.72, 0.06, 0.1, 0.86))
    bar = figure.colorbar(shown, cax=place, extend="max", ticks=MaxNLocator(5))
    place.yaxis.set_ticks_position("left")
    place.yaxis.set_label_position("left")
    bar.set_label("|residual| / maximum\nof the volume", fontsize=TINY)
    bar.ax.tick_params(labelsize=TINY)


def _show(
    axis: Axes, image: Image, white: float, box: Box, corner: Corner, marked: Box | None
) -> None:
    _frame(axis)
    row, column, side = box
    axis.imshow(image, cmap="gray", vmin=0, vmax=white)
    top, right = corner
    inset = axis.inset_axes((1 - INSET if right else 0.0, 1 - INSET if top else 0.0, INSET, INSET))
    inset.imshow(image[row : row + side, column : column + side], cmap="gray", vmin=0, vmax=white)
    inset.set(xticks=[], yticks=[], anchor=("N" if top else "S") + ("E" if right else "W"))
    inset.grid(visible=False)
    for spine in inset.spines.values():
        spine.set(color=FRAME, linewidth=1)
    axis.add_patch(
        Rectangle((column - 0.5, row - 0.5), side, side, fill=False, edgecolor=FRAME, lw=0.8)
    )
    if marked:
        _point_at(axis, marked, box, (image.shape[0], image.shape[1]), corner)


def _point_at(axis: Axes, marked: Box, box: Box, shape: Shape, corner: Corner) -> None:
    """Draw an arrow to a square's edge, from where it covers neither inset nor enlarged square."""
    y, x, half = marked[0] + marked[2] / 2, marked[1] + marked[2] / 2, marked[2] / 2
    ends = half, half + 0.13 * min(shape)
    avoided = [(box[0] + box[2] / 2, box[1] + box[2] / 2)]
    middle = [(1 - INSET / 2) * size for size in shape]
    avoided.append(
        (
            shape[0] - middle[0] if corner[0] else middle[0],
            middle[1] if corner[1] else shape[1] - middle[1],
        )
    )

    def room(way: tuple[int, int]) -> tuple[bool, float]:
        tail = y + way[0] * ends[1], x + way[1] * ends[1]
        inside = all(0 <= t < size for t, size in zip(tail, shape, strict=True))
        return inside, min(float(np.hypot(tail[0] - a, tail[1] - b)) for a, b in avoided)

    ways = [(v, h) for v in (-1, 0, 1) for h in (-1, 0, 1) if v or h]
    down, across = max(ways, key=room)
    tip, tail = ((x + across * end, y + down * end) for end in ends)
    style = "simple,head_length=0.5,head_width=0.5,tail_width=0.18"
    look = {"arrowstyle": style, "mutation_scale": 8, "shrinkA": 0, "shrinkB": 0}
    look |= {"facecolor": MARK, "edgecolor": "black", "linewidth": 0.5}
    axis.annotate("", xy=tip, xytext=tail, arrowprops=look, gid="difference")
