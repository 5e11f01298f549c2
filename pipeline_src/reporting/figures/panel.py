"""One slice as every model sees it: images with an inset, and residual maps on one scale."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from textwrap import wrap

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from matplotlib.patches import Rectangle
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray
from scipy.ndimage import uniform_filter

from pipeline_src.errors import InputError
from pipeline_src.npz_files import reading_npz
from pipeline_src.reporting.names import full_title, value_text
from pipeline_src.reporting.style import PAGE_WIDTH, SMALL, TINY, head, upright

Image = NDArray[np.float32]

#: Images beside each other; more go into a further band of images and residuals.
MOST_COLUMNS = 8
#: Widest an image gets, in inches.
WIDEST = 1.5
FRAME = "#e69f00"
#: Width in inches of a character of an image's title.
CHARACTER = 0.06


@dataclass(frozen=True)
class Picture:
    """One model's reconstruction of the shown slice; images are `(rows, columns)`, in shares of
    the volume's maximum."""

    title: str
    trained: bool
    target: Image
    image: Image
    psnr_db: float
    ssim: float
    caption: str

    @classmethod
    def read(cls, path: Path) -> Picture:
        """From the evaluation's `panel.npz`.

        Raises:
            InputError: the file is missing or is no such file.
        """
        with reading_npz(path, "panel cannot be read") as file:
            turns = int(file["quarter_turns"])
            return cls(
                full_title(str(file["model"]), str(file["training"])),
                str(file["training"]) != "none",
                upright(file["target"], turns),
                upright(file["image"], turns),
                float(file["psnr_db"]),
                float(file["ssim"]),
                f"subject {file['patient']}, slice {file['slice']}",
            )


def from_files(inputs: Sequence[Path], title: str) -> Figure:
    """From the evaluation's `panel.npz` files, in the order in which they are shown.

    Raises:
        InputError: a file cannot be read, or shows another slice than the first.
    """
    pictures = [Picture.read(path) for path in inputs]
    for path, picture in zip(inputs, pictures, strict=True):
        if not np.array_equal(picture.target, pictures[0].target):
            raise InputError(f"{path}: shows another slice than {inputs[0]}")
    return draw(pictures, title)


def draw(pictures: list[Picture], title: str) -> Figure:
    """Target and reconstructions above, |residual| below, PSNR and SSIM under each."""
    target = pictures[0].target
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
    limit = residual_limit(pictures)

    _show(axes[0, 0], target, white, box)
    axes[0, 0].set_title("Target", fontsize=SMALL)
    axes[0, 0].set_xlabel("PSNR (dB)\nSSIM", fontsize=TINY)
    shown = None
    for place, picture in enumerate(pictures, start=1):
        above, below = axes[2 * (place // columns) :, place % columns][:2]
        _show(above, picture.image, white, box)
        above.set_title(titles[place - 1], fontsize=SMALL)
        psnr, ssim = value_text(picture.psnr_db, "psnr_db"), value_text(picture.ssim, "ssim")
        above.set_xlabel(f"{psnr}\n{ssim}", fontsize=TINY)
        shown = _show_residual(below, np.abs(picture.image - target), limit)
    if shown is not None:
        _scale(figure, axes[1, 0], shown)
    head(figure, f"{title}: {pictures[0].caption}")
    return figure


def layout(tiles: int) -> tuple[int, int]:
    """Bands and columns for so many images, the target among them.

    Of several bands, each has an even number of columns: the two recipes of a method follow each
    other and stay in one band.
    """
    bands = -(-tiles // MOST_COLUMNS)
    columns = -(-tiles // bands)
    return bands, columns + (columns % 2 if bands > 1 else 0)


def residual_limit(pictures: list[Picture]) -> float:
    """The end of the one scale of all residuals, in shares of the volume's maximum, set by the
    trained models: zero filling would hide their differences."""
    scaling = [p for p in pictures if p.trained] or pictures
    return max(float(np.percentile(np.abs(p.image - p.target), 99.5)) for p in scaling)


def inset_box(target: Image) -> tuple[int, int, int]:
    """First row, first column and side of the square with the most edges, a quarter of the slice
    a side; found from the target alone."""
    side = max(8, min(target.shape) // 4)
    gradient = np.hypot(*np.gradient(target))
    energy = uniform_filter(gradient, side, mode="constant")
    half = side // 2
    inner = energy[half : target.shape[0] - half, half : target.shape[1] - half]
    row, column = np.unravel_index(int(inner.argmax()), inner.shape)
    return int(row), int(column), side


def _broken(title: str, wide: float) -> str:
    """A title broken into lines that fit above an image so many inches wide."""
    pieces = title.replace("Recon ", "Recon\n").split("\n")
    longest = int(wide / CHARACTER)
    return "\n".join(line for piece in pieces for line in wrap(piece, longest))


def _frame(axis: Axes) -> None:
    """Axes as a bare frame for an image."""
    axis.set_axis_on()
    axis.set(xticks=[], yticks=[])
    axis.grid(visible=False)


def _show_residual(axis: Axes, residual: Image, limit: float) -> AxesImage:
    _frame(axis)
    return axis.imshow(residual, cmap="magma", vmin=0, vmax=limit)


def _scale(figure: Figure, axis: Axes, shown: AxesImage) -> None:
    """The colour bar, in the empty place below the target, so that it takes no width from the
    images."""
    place = axis.inset_axes((0.72, 0.06, 0.1, 0.86))
    bar = figure.colorbar(shown, cax=place, extend="max", ticks=MaxNLocator(5))
    place.yaxis.set_ticks_position("left")
    place.yaxis.set_label_position("left")
    bar.set_label("|residual| / maximum\nof the volume", fontsize=TINY)
    bar.ax.tick_params(labelsize=TINY)


def _show(axis: Axes, image: Image, white: float, box: tuple[int, int, int]) -> None:
    _frame(axis)
    row, column, side = box
    axis.imshow(image, cmap="gray", vmin=0, vmax=white)
    # The inset goes to the corner that is farthest from what it enlarges.
    right = column + side / 2 < image.shape[1] / 2
    top = row + side / 2 > image.shape[0] / 2
    inset = axis.inset_axes((0.54 if right else 0.0, 0.54 if top else 0.0, 0.46, 0.46))
    inset.imshow(image[row : row + side, column : column + side], cmap="gray", vmin=0, vmax=white)
    inset.set(xticks=[], yticks=[], anchor=("N" if top else "S") + ("E" if right else "W"))
    inset.grid(visible=False)
    for spine in inset.spines.values():
        spine.set(color=FRAME, linewidth=1)
    axis.add_patch(
        Rectangle((column - 0.5, row - 0.5), side, side, fill=False, edgecolor=FRAME, lw=0.8)
    )
