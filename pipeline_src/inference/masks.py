"""Chooses the mask of a reconstruction, and compares it with the one of the training."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline_src.errors import InputError
from pipeline_src.inference.trained import Trained
from pipeline_src.npz_files import NPY_HEADER_ERRORS, map_npy
from pipeline_src.sampling.masks import Mask, described_mask, drawn_mask, lines_mask, read_mask
from pipeline_src.sampling.unusual_masks import unusual

#: Relative deviation of the sampled share from that of the training that is tolerated.
NEAR = 0.1


@dataclass(frozen=True)
class Chosen:
    """A mask, and how it relates to the training.

    Attributes:
        whose: `the model's`, `redrawn`, or where it was read.
        remark: how it differs from that of the training; empty if it is the same.
    """

    mask: Mask
    whose: str
    remark: str = ""


def mask_of_file(path: Path) -> NDArray[Any]:
    """Read the samples of a `.npz` written by the mask command, or of an `.npy`, in FFT order.

    They have the shape `(rows,)` or `(rows, columns)`.

    Raises:
        InputError: the file cannot be read.
    """
    if path.suffix == ".npz":
        return read_mask(path).samples
    if path.suffix != ".npy":
        raise InputError(f"{path}: a mask is a .npz of the mask command or a .npy file")
    try:
        return np.array(map_npy(path))
    except OSError as error:
        raise InputError(f"{path}: mask cannot be read ({error.strerror or error})") from None
    except (ValueError, EOFError, *NPY_HEADER_ERRORS) as error:
        raise InputError(f"{path}: is not a mask ({error})") from None


def as_samples(found: NDArray[Any], matrix: tuple[int, int], label: str) -> NDArray[np.bool_]:
    """Expand a mask of lines `(rows,)`, or of samples, to `(rows, columns)`.

    Raises:
        InputError: it has another size, holds values other than 0 and 1, or samples nothing.
    """
    if found.shape not in (matrix, matrix[:1], (matrix[0], 1)):
        transposed = "; give its transpose" if found.shape == matrix[::-1] else ""
        raise InputError(
            f"{label}: mask of {'x'.join(map(str, found.shape))} for slices of "
            f"{matrix[0]}x{matrix[1]}; one of {matrix[0]} lines or {matrix[0]}x{matrix[1]} samples "
            f"is needed{transposed}"
        )
    if found.dtype.kind not in "biuf" or not np.isin(found, (0, 1)).all():
        raise InputError(f"{label}: mask holds other values than 0 and 1")
    samples = found.astype(np.bool_)
    if not samples.any():
        raise InputError(f"{label}: mask samples nothing")
    if samples.shape != matrix:
        samples = lines_mask(samples.reshape(-1), matrix[1])
    return samples


def redrawn(trained: Trained, matrix: tuple[int, int], label: str) -> Mask:
    """The mask that the pipeline would draw for slices of this size, with the training's
    acceleration, seed and lowest frequencies. ``label`` names the slices in messages.

    Raises:
        InputError: the training's mask was given as a file, so that no similar one can be drawn, or
            the slices are too small for one.
    """
    told = trained.mask.description
    try:
        acceleration, seed, center = (told[k] for k in ("acceleration", "seed", "center_lines"))
        for name, value, least in (
            ("acceleration", acceleration, 2),
            ("seed", seed, 0),
            ("center_lines", center if center is not None else 0, 0),
        ):
            if type(value) is not int or not least <= value < 1 << 63:
                raise InputError(
                    f"{trained.folder}: the mask of its training tells of {name} {value!r:.40}, "
                    "which none is drawn with; give a mask with --mask, or --other-size crop"
                )
    except KeyError:
        raise InputError(
            f"--other-size redraw: the mask of {trained.folder} was not drawn but given, so none "
            "can be drawn like it; give one with --mask, or --other-size crop"
        ) from None
    if center is not None and matrix[0] // acceleration < center:
        raise InputError(
            f"{label}: of {matrix[0]} lines {acceleration}x leaves {matrix[0] // acceleration}, "
            f"and the model's mask has its {center} lowest; give --other-size crop, or another "
            "--slice-axis"
        )
    return drawn_mask(matrix, acceleration, seed, center)


def judged(
    mask: NDArray[np.bool_], trained: Trained, whose: str, *, anyway: bool = False, hint: str = ""
) -> Chosen:
    """Compare a mask `(rows, columns)` with the training's.

    ``hint`` is what else may be the cause if its order is unusual.

    Raises:
        InputError: it is of another kind or acceleration than the network was trained for, and
            ``anyway`` is not set.
    """
    own = trained.mask
    if np.array_equal(mask, own.samples):
        return Chosen(own, "the model's")
    described = described_mask(mask, {"kind": "given", "file": whose})
    share, trained_share = float(mask.mean()), float(own.samples.mean())
    beyond = []
    if described.lines is None and own.lines is not None:
        beyond.append("is not made of whole lines along the rows, as that of the training is")
    if abs(share / trained_share - 1) > NEAR:
        beyond.append(
            f"samples {share:.1%} of k-space ({1 / share:.3g}x), and the training's "
            f"{trained_share:.1%} ({1 / trained_share:.3g}x)"
        )
    # With the mask's own acceleration, so that only order and direction can be unusual.
    odd = [found for found in unusual(mask, max(2, round(1 / share))) if "under the" not in found]
    beyond += odd
    if beyond and not anyway:
        raise InputError(
            f"{whose}: its mask {'; it '.join(beyond)}; the model was not trained for that: give "
            f"--anyway to reconstruct it anyway, or a model that was{hint if odd else ''}"
        )
    remark = "; it ".join(beyond) or (
        f"has other lines than that of the training ({share:.1%} of k-space, and "
        f"{trained_share:.1%})"
    )
    return Chosen(described, whose, f"the mask {remark}")
