"""Decides how a volume is reconstructed before its numbers are read: at which size and mask."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np

from pipeline_src.errors import InputError
from pipeline_src.evaluation.evaluate import BATCH
from pipeline_src.inference import kspace
from pipeline_src.inference.fitting import Fit, OtherSize, fit
from pipeline_src.inference.masks import Chosen, as_samples, judged, mask_of_file, redrawn
from pipeline_src.inference.trained import Trained
from pipeline_src.inference.volumes import Volume


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
        parts = "all slices" if self.volume.groups is None else "all slices of all parts"
        return parts if (rows, columns) == size else f"{parts}, {part}"


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
