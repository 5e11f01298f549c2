"""One slice as every model sees it: images with an inset, and residual maps on one scale."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from numpy.typing import NDArray
from scipy.ndimage import uniform_filter

from pipeline_src.errors import InputError
from pipeline_src.reporting.names import full_title
from pipeline_src.reporting.style import PAGE_WIDTH, upright

Image = NDArray[np.float32]


@dataclass(frozen=True)
class Picture:
    """One model's reconstruction of the shown slice."""

    title: str
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
        try:
            file = np.load(path)
        except (OSError, ValueError) as error:
            raise InputError(f"{path}: panel cannot be read ({error})") from None
        with file:
            turns = int(file["quarter_turns"])
            return cls(
                full_title(str(file["model"]), str(file["training"])),
                upright(file["target"], turns),
                upright(file["image"], turns),
                float(file["psnr_db"]),
                float(file["ssim"]),
                f"subject {file['patient']}, slice {file['slice']}",
            )


def from_files(inputs: Sequence[Path], title: str) -> Figure:
    """From the evaluation's `panel.npz` files, in the order in which they are shown."""
    return draw([Picture.read(path) for path in inputs], title)


def draw(pictures: list[Picture], title: str) -> Figure:
    """Target and reconstructions above, |residual| below, PSNR and SSIM under each."""
    target = pictures[0].target
    columns = len(pictures) + 1
    width = PAGE_WIDTH / columns
    tall = width * target.shape[0] / target.shape[1]
    figure, axes = plt.subplots(2, columns, figsize=(PAGE_WIDTH, 2 * tall + 0.75))
    figure.set_layout_engine("constrained", w_pad=0.02, h_pad=0.02, hspace=0, wspace=0)
    for axis in axes.flat:
        axis.set(xticks=[], yticks=[])
        axis.grid(visible=False)
    white = float(np.percentile(target, 99.8))
    box = inset_box(target)
    residuals = [np.abs(p.image - target) for p in pictures]
    # One scale for all, set by the trained models: zero filling would hide their differences.
    limit = max(float(np.percentile(r, 99.5)) for r in residuals[1:] or residuals)

    _show(axes[0, 0], target, white, box)
    axes[0, 0].set_title("Target", fontsize=7)
    axes[0, 0].set_xlabel("PSNR (dB)\nSSIM", fontsize=6)
    axes[1, 0].set_axis_off()
    shown = None
    for column, (picture, residual) in enumerate(zip(pictures, residuals, strict=True), start=1):
        _show(axes[0, column], picture.image, white, box)
        axes[0, column].set_title(picture.title.replace("Recon ", "Recon\n"), fontsize=7)
        axes[0, column].set_xlabel(f"{picture.psnr_db:.2f}\n{picture.ssim:.4f}", fontsize=6)
        shown = axes[1, column].imshow(residual, cmap="magma", vmin=0, vmax=limit)
    if shown is not None:
        # In the empty place below the target, so that it takes no width from the images.
        place = axes[1, 0].inset_axes((0.62, 0.1, 0.1, 0.8))
        bar = figure.colorbar(shown, cax=place, extend="max")
        place.yaxis.set_ticks_position("left")
        place.yaxis.set_label_position("left")
        bar.set_label("|residual|", fontsize=7)
        bar.ax.tick_params(labelsize=6)
    figure.suptitle(f"{title}: {pictures[0].caption}", fontsize=8)
    return figure


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


def _show(axis: Axes, image: Image, white: float, box: tuple[int, int, int]) -> None:
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
        spine.set(color="#e69f00", linewidth=1)
    axis.add_patch(
        Rectangle((column - 0.5, row - 0.5), side, side, fill=False, edgecolor="#e69f00", lw=0.8)
    )
