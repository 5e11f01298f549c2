"""Fits slices of another size than the network was trained on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from pipeline_src.data.preparation import center_crop_or_pad
from pipeline_src.errors import InputError
from pipeline_src.evaluation.metrics import SSIM_WINDOW
from pipeline_src.inference.trained import Trained
from pipeline_src.inference.volumes import Volume

OtherSize = Literal["crop", "redraw"]


@dataclass(frozen=True)
class Fit:
    """How slices of `size` are converted to `matrix` and back."""

    size: tuple[int, int]
    matrix: tuple[int, int]
    kind: Literal["same", "crop", "redraw"]

    def to_network(self, planes: NDArray[np.float32]) -> NDArray[np.float32]:
        """Crop or pad slices `(slices, rows, columns)` about the centre, from the shape `size` to
        `matrix`.
        """
        if self.size == self.matrix:
            return planes
        return np.stack([center_crop_or_pad(plane, self.matrix) for plane in planes])

    @property
    def seen(self) -> tuple[int, int]:
        """Rows and columns about the centre that a slice and the network's have in common."""
        rows, columns = map(min, self.size, self.matrix)
        return rows, columns

    def common(self, plane: NDArray[np.float32]) -> NDArray[np.float32]:
        """The part `seen` of a slice `(rows, columns)`, from the shape `matrix`."""
        return plane if self.seen == self.matrix else center_crop_or_pad(plane, self.seen)

    def back(self, planes: NDArray[np.float32]) -> NDArray[np.float32]:
        """The reverse: `(slices, rows, columns)` from the shape `matrix` to `size`, with zeros
        where nothing was reconstructed.
        """
        if self.size == self.matrix:
            return planes
        return np.stack([center_crop_or_pad(plane, self.size) for plane in planes])


def fit(volume: Volume, trained: Trained, other_size: OtherSize | None) -> Fit:
    """How a volume's slices are fitted to the network.

    Raises:
        InputError: they have another size and there is no option for that, or k-space would have to
            be cropped.
    """
    rows, columns, _ = volume.size
    size, matrix = (rows, columns), trained.matrix
    if min(size) < SSIM_WINDOW:
        raise InputError(
            f"{volume.path}: slices of {rows}x{columns} are too small; {SSIM_WINDOW}x{SSIM_WINDOW} "
            "is the least"
        )
    if size == matrix:
        return Fit(size, matrix, "same")
    if other_size == "redraw":
        return Fit(size, size, "redraw")
    if other_size == "crop" and volume.domain == "kspace":
        raise InputError(
            f"{volume.path}: k-space of {rows}x{columns} cannot be cropped to {matrix[0]}x"
            f"{matrix[1]} and stay what was measured; give --other-size redraw"
        )
    if other_size == "crop":
        return Fit(size, matrix, "crop")
    if volume.domain == "kspace":
        raise InputError(
            f"{volume.path}: k-space of {rows}x{columns}, but the model was trained on "
            f"{matrix[0]}x{matrix[1]}{_downscaled(trained)}; {_turn(volume, matrix)}give "
            "--other-size redraw to reconstruct it as it is, with its own mask"
        )
    raise InputError(
        f"{volume.path}: slices of {rows}x{columns}, but the model was trained on {matrix[0]}x"
        f"{matrix[1]}{_downscaled(trained)}; {_turn(volume, matrix)}give --other-size crop "
        "(crop or pad to that size, with its mask) or --other-size redraw (as they are, with a "
        "mask drawn for them)"
    )


def _downscaled(trained: Trained) -> str:
    factor = trained.config.origin.downscale
    return f" after averaging {factor}x{factor} pixels" if factor > 1 else ""


def _turn(volume: Volume, matrix: tuple[int, int]) -> str:
    """A hint at the slice axis along which slices would have the size of the training."""
    if len(volume.shape) < 3:
        return ""
    for axis in range(3):
        rest = tuple(size for at, size in enumerate(volume.shape[:3]) if at != axis)
        if rest == matrix:
            return f"along axis {axis} they are of that size: give --slice-axis {axis}; or "
    return ""
