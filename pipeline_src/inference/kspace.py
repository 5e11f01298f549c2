"""Handles measured k-space: its order, whether its image is real, and its zero-filled image."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from pipeline_src.errors import InputError

Order = Literal["fft", "shifted", "centred"]
#: Share of the amplitude that may be imaginary: enough for rounding and noise, but not for the
#: phase of a measurement.
TOLERATED = 0.01
#: Share of the energy that a line without samples may have, by the rounding of single precision.
EMPTY = 1e-12
#: Magnitude that single precision holds.
LARGEST = float(np.finfo(np.float32).max)
_AXES = (-2, -1)

KSpace = NDArray[np.complexfloating[Any, Any]]


def mask_in_fft_order(samples: NDArray[np.bool_], order: Order) -> NDArray[np.bool_]:
    """Convert a mask `(rows, columns)` from the order of its k-space to FFT order; same shape."""
    return samples if order == "fft" else np.fft.ifftshift(samples)


def in_fft_order(kspace: KSpace, order: Order) -> KSpace:
    """Convert k-space `(..., rows, columns)` to FFT order; the shape stays the same.

    In FFT order the zero frequency is at index 0, and so is the image's first pixel. With ``order``
    `fft` nothing is changed; `shifted`: the zero frequency is in the middle, as in
    `fftshift(fft2(image))`; `centred`: the centre of the image is in the middle too, as in
    `fftshift(fft2(ifftshift(image)))`.
    """
    if order == "fft":
        return kspace
    unshifted = np.fft.ifftshift(kspace, axes=_AXES)
    if order == "shifted":
        return unshifted
    image = np.fft.fftshift(np.fft.ifft2(unshifted, norm="ortho"), axes=_AXES)
    turned: KSpace = np.fft.fft2(image, norm="ortho")
    return turned


def zero_filled(kspace: KSpace, samples: NDArray[np.bool_]) -> NDArray[np.float32]:
    """Real part of the image of the sampled k-space, by the orthonormal inverse transform.

    Args:
        kspace: `(..., rows, columns)` in FFT order.
        samples: the mask, `(rows, columns)`.

    Returns:
        Images of the same shape as ``kspace``.
    """
    return np.fft.ifft2(kspace * samples, norm="ortho").real.astype(np.float32)


def survey(
    blocks: Iterator[KSpace], samples: NDArray[np.bool_], label: str, order: Order = "fft"
) -> tuple[float, float]:
    """The maximum of the zero-filled volume, and the share of its amplitude that is imaginary.

    Args:
        blocks: of slices `(slices, rows, columns)` in FFT order.
        samples: the mask, `(rows, columns)`.
        label: names the k-space in messages.
        order: that it was said to be in before.

    Raises:
        InputError: it holds NaN, nothing, or zeros where samples were taken; it is in another
            order; or its image has a phase.
    """
    partners = np.roll(samples[::-1, ::-1], 1, axis=(0, 1))
    both = samples & partners
    energy = np.zeros(samples.shape)
    odd, even, maximum, minimum = 0.0, 0.0, 0.0, 0.0
    for block in blocks:
        if bad := int(block.size - (np.abs(block) <= LARGEST).sum()):
            raise InputError(
                f"{label}: holds {bad} NaN or infinite values; finite ones within single "
                "precision (3.4e38) are needed"
            )
        magnitudes = np.abs(block).astype(np.float64) ** 2
        energy += magnitudes.sum(axis=0)
        opposite = np.roll(block[:, ::-1, ::-1], 1, axis=(1, 2)).conj()
        odd += float((np.abs(block - opposite)[:, both].astype(np.float64) ** 2).sum()) / 4
        even += float(magnitudes[:, both].sum())
        image = zero_filled(block, samples)
        maximum, minimum = max(maximum, float(image.max())), min(minimum, float(image.min()))
    _refuse_order(energy, samples, label, order)
    if not both.any() or even == 0:
        raise InputError(
            f"{label}: its mask samples no frequency together with its opposite, so it is unknown "
            "whether the image is real; sample the lowest frequencies on both sides"
        )
    imaginary = float(np.sqrt(odd / even))
    if imaginary > TOLERATED:
        degrees = float(np.degrees(np.arcsin(min(1.0, imaginary))))
        raise InputError(
            f"{label}: its image has a phase or noise, of {degrees:.1f} degrees on average "
            f"({imaginary:.1%} of the amplitude is imaginary, {TOLERATED:.0%} is allowed), as "
            "measured data has; these networks are for real images, and their result would only "
            "look plausible; if k-space is fully sampled, give the magnitude of its image instead"
        )
    if -minimum > maximum:
        raise InputError(
            f"{label}: its image is negative, as of k-space with the opposite sign; multiply it by "
            "-1, since these networks are for magnitudes"
        )
    if maximum <= 0:
        raise InputError(f"{label}: its zero-filled image has no positive value")
    return maximum, imaginary


def _refuse_order(
    energy: NDArray[np.float64], samples: NDArray[np.bool_], label: str, order: Order
) -> None:
    if not (energy * samples).any():
        raise InputError(f"{label}: is zero wherever its mask says that samples were taken")
    rows, columns = energy.shape

    def around(row: int, column: int) -> float:
        near = energy[
            np.ix_(
                [(row + i) % rows for i in (-1, 0, 1)], [(column + j) % columns for j in (-1, 0, 1)]
            )
        ]
        return float(near.sum())

    if around(rows // 2, columns // 2) > around(0, 0) and order != "fft":
        raise InputError(
            f"{label}: its lowest frequencies are at index 0, not in the middle; leave "
            f"--kspace-order {order} out"
        )
    if around(rows // 2, columns // 2) > around(0, 0):
        raise InputError(
            f"{label}: its lowest frequencies are in the middle, not at index 0; give "
            "--kspace-order shifted (numpy.fft.fftshift of the k-space), or centred (of the image "
            "too, as fastMRI has it)"
        )
    nothing = EMPTY * energy.sum()
    taken, bare = samples.any(axis=1), energy.sum(axis=0) <= nothing
    if rows == columns and samples.all(axis=1).any() and np.array_equal(bare, ~taken):
        raise InputError(
            f"{label}: was sampled along the other axis: its columns are zero where its mask has "
            "rows that were not sampled; transpose it, or give the mask that it was sampled with"
        )
    empty = [int(row) for row in np.flatnonzero(taken & (energy.sum(axis=1) <= nothing))]
    if empty:
        raise InputError(
            f"{label}: its mask says that line {empty[0]} was sampled, but k-space is zero there "
            f"({len(empty)} such lines); give the mask that it was sampled with"
        )
