"""Decides how a volume is reconstructed before its numbers are read: at which size and mask."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from pipeline_src.data.preparation import center_crop_or_pad
from pipeline_src.errors import InputError
from pipeline_src.evaluation.evaluate import BATCH
from pipeline_src.evaluation.metrics import SSIM_WINDOW
from pipeline_src.inference import kspace
from pipeline_src.inference.masks import Chosen, as_samples, judged, mask_of_file, redrawn
from pipeline_src.inference.trained import Trained
from pipeline_src.inference.volumes import Volume
from pipeline_src.sampling.effective import effective_acceleration

OtherSize = Literal["crop", "redraw"]


@dataclass(frozen=True)
class Options:
    """How volumes are reconstructed; None: as the model or the volume says.

    Attributes:
        mask: file of another mask than the model's or the volume's own.
        scale: number by which a volume is divided; None: its maximum.
        anyway: also reconstruct under a mask that the network was not trained for.
        batch: number of slices in memory at once.
        error_bound: file of the calibrated bound of each pixel's error, where one is wanted.
    """

    other_size: OtherSize | None = None
    mask: Path | None = None
    order: kspace.Order = "fft"
    scale: float | None = None
    anyway: bool = False
    batch: int = BATCH
    error_bound: Path | None = None


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


@dataclass(frozen=True)
class Plan:
    """A volume with all decisions that are made before its numbers are read."""

    volume: Volume
    fit: Fit
    chosen: Chosen

    @property
    def mode(self) -> Literal["retrospective", "prospective"]:
        """Whether a full image is undersampled here, or k-space was undersampled when it was
        measured.
        """
        return "retrospective" if self.volume.domain == "image" else "prospective"

    @property
    def over(self) -> str:
        """What quality is measured over, besides that slices without content do not count."""
        (rows, columns), size = self.fit.seen, self.fit.size
        part = f"the middle {rows}x{columns} of {size[0]}x{size[1]} pixels"
        slices = " of ".join(filter(None, ("all slices", self.whose)))
        return slices if (rows, columns) == size else f"{slices}, {part}"

    @property
    def whose(self) -> str:
        """The parts whose patients are in it, such as those that a network was trained on; empty
        where the input does not tell.
        """
        return f"patients of {', '.join(self.volume.parts)}" if self.volume.parts else ""

    def facts(self, folder: Path, sha256: str) -> dict[str, Any]:
        """What is recorded of the file with the digest ``sha256``, its mask and its size; the path
        is told from ``folder``.
        """
        volume, mask = self.volume, self.chosen.mask
        return {
            "input": {
                "path": os.path.relpath(volume.path.resolve(), folder.resolve()),
                "sha256": sha256,
                "shape": list(volume.shape),
                "rows_columns_slices": list(volume.size),
                "slices_along": dict(zip(("axis", "orientation"), volume.slicing, strict=True)),
                "is": volume.domain,
            },
            "mode": self.mode,
            "mask": {
                "whose": self.chosen.whose,
                "remark": self.chosen.remark,
                "sha256": mask.digest,
                "sampled_fraction": float(mask.samples.mean()),
                "effective_acceleration": effective_acceleration(mask),
                "description": mask.description,
            },
            "size": {
                "slices": list(self.fit.size),
                "network": list(self.fit.matrix),
                "how": self.fit.kind,
            },
        }


def plan(volume: Volume, trained: Trained, options: Options) -> Plan:
    """Decide on size and mask.

    Raises:
        InputError: the volume or its mask does not fit the network, or its bound of errors.
    """
    planned = _plan(volume, trained, options)
    if options.error_bound is None:
        return planned
    same = np.array_equal(planned.chosen.mask.samples, trained.mask.samples)
    if planned.fit.kind != "same" or not same:
        what = "mask" if planned.fit.kind == "same" else "size"
        raise InputError(
            f"{volume.path}: is of another {what} than the bound of errors was calibrated for; "
            "leave --error-bound out"
        )
    if volume.domain == "image" or options.scale is not None:
        return planned
    remark = (
        "the bound of errors was calibrated at the maximum of the image, and this is divided by "
        "that of the zero-filled image; give --scale where you know it"
    )
    told = "; ".join(filter(None, [planned.chosen.remark, remark]))
    return replace(planned, chosen=replace(planned.chosen, remark=told))


def _plan(volume: Volume, trained: Trained, options: Options) -> Plan:
    fitted = fit(volume, trained, options.other_size)
    found, whose = volume.mask, f"{volume.path}: mask"
    if options.mask is not None:
        found, whose = mask_of_file(options.mask), str(options.mask)
    if found is not None:
        samples = as_samples(found, fitted.matrix, whose)
        if volume.domain == "kspace":
            samples = kspace.mask_in_fft_order(samples, options.order)
            hint = "; or say with --kspace-order that k-space and mask are not in FFT order"
        else:
            hint = ""
        chosen = judged(samples, trained, whose, anyway=options.anyway, hint=hint)
        if fitted.kind == "redraw":
            rows, columns = fitted.size
            size = f"slices are of {rows}x{columns}, another size than the model's"
            told = "; ".join(filter(None, [size, chosen.remark]))
            chosen = replace(chosen, remark=told)
        return Plan(volume, fitted, chosen)
    if volume.domain == "kspace":
        raise InputError(
            f"{volume.path}: is k-space without a mask; add the samples that were taken as `mask` "
            "to an .npz or HDF5 file, or give --mask FILE (.npy of 0 and 1)"
        )
    if fitted.kind == "redraw":
        mask = redrawn(trained, fitted.matrix, str(volume.path))
        return Plan(volume, fitted, Chosen(mask, "redrawn for this size", _other_size(fitted)))
    remark = _other_size(fitted) if fitted.kind == "crop" else ""
    return Plan(volume, fitted, Chosen(trained.mask, "the model's", remark))


def _other_size(fitted: Fit) -> str:
    rows, columns = fitted.size
    done = {"redraw": "the mask was drawn for it", "crop": "it was cropped or padded"}
    return f"slices are of {rows}x{columns}, another size than the model's; {done[fitted.kind]}"


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
