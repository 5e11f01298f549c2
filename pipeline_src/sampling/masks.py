"""Cartesian sampling masks, drawn with the kt-FOCUSS density, and their files."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from pipeline_src.errors import InputError
from pipeline_src.files import atomic_path
from pipeline_src.npz_files import reading_npz

if TYPE_CHECKING:  # drawing a mask needs no data
    from pipeline_src.data.store import Store


@dataclass(frozen=True)
class Mask:
    """A sampling mask.

    Attributes:
        samples: `(rows, columns)` bool in FFT order (zero frequency at index 0); axis 0 is the
            phase-encode axis.
        description: how it was made, JSON-serialisable.
    """

    samples: NDArray[np.bool_]
    description: dict[str, Any]

    @property
    def digest(self) -> str:
        """SHA-256 of the samples and their shape."""
        digest = hashlib.sha256(str(self.samples.shape).encode())
        digest.update(np.packbits(self.samples).tobytes())
        return digest.hexdigest()

    @property
    def lines(self) -> NDArray[np.bool_] | None:
        """`(rows,)`, the sampled phase-encode lines; None if the mask does not consist of whole
        lines.
        """
        first = self.samples[:, 0]
        return first if (self.samples == first[:, None]).all() else None


def line_density(lines: int, acceleration: int) -> NDArray[np.float64]:
    """Relative probability of each centred line (index `lines // 2` is zero frequency).

    exp(-0.5 ((k - N/2) / (N/10))^2) + 1 / (2 R), as in kt-FOCUSS and DC-CNN (Schlemper et al.,
    IEEE TMI 2018).

    Returns:
        `(lines,)`, not normalised.
    """
    k = np.arange(lines)
    density: NDArray[np.float64] = np.exp(-0.5 * ((k - lines / 2) / (lines / 10)) ** 2)
    return density + 1 / (2 * acceleration)


def center_block(lines: int, center_lines: int) -> slice:
    """The lowest frequencies, which are always sampled, as a slice of centred indices."""
    start = lines // 2 - center_lines // 2
    return slice(start, start + center_lines)


def draw_lines(
    lines: int, acceleration: int, rng: np.random.Generator, center_lines: int = 10
) -> NDArray[np.bool_]:
    """Draw int(N / R) phase-encode lines, always including the lowest frequencies.

    Returns:
        `(lines,)` bool in FFT order.

    Raises:
        InputError: fewer lines than ``center_lines`` would be sampled.
    """
    count = lines // acceleration
    if count < center_lines:
        raise InputError(
            f"sampling.center_lines: {center_lines} is more than the {count} lines that "
            f"{acceleration}x of {lines} leaves"
        )
    density = line_density(lines, acceleration)
    center = center_block(lines, center_lines)
    density[center] = 0
    drawn = rng.choice(lines, size=count - center_lines, replace=False, p=density / density.sum())
    chosen = np.zeros(lines, dtype=np.bool_)
    chosen[center] = True
    chosen[drawn] = True
    return np.fft.ifftshift(chosen)


def lines_mask(lines: NDArray[np.bool_], columns: int) -> NDArray[np.bool_]:
    """Expand sampled lines `(rows,)` to a mask `(rows, columns)`."""
    return np.repeat(lines[:, None], columns, axis=1)


def drawn_mask(matrix: tuple[int, int], acceleration: int, seed: int, center_lines: int) -> Mask:
    """Draw a mask, which depends only on size, acceleration and seed."""
    # Size and acceleration are part of the seed, so that no other draw uses the same stream.
    rng = np.random.default_rng([seed, matrix[0], acceleration])
    lines = draw_lines(matrix[0], acceleration, rng, center_lines)
    description = {
        "kind": "drawn",
        "acceleration": acceleration,
        "seed": seed,
        "center_lines": center_lines,
    }
    return described_mask(lines_mask(lines, matrix[1]), description)


def described_mask(samples: NDArray[np.bool_], description: dict[str, Any]) -> Mask:
    """A mask `(rows, columns)` whose description includes the fraction of k-space that it
    samples.
    """
    return Mask(samples, description | {"sampled_fraction": float(samples.mean())})


def write_mask(path: Path, mask: Mask) -> None:
    """Write a mask as `.npz` with its description."""
    with atomic_path(path) as temporary, temporary.open("wb") as stream:
        np.savez(stream, samples=mask.samples, description=json.dumps(mask.description))


def read_mask(path: Path) -> Mask:
    """Read a mask written by `write_mask`.

    Raises:
        InputError: the file is missing or is not a mask.
    """
    if not path.exists():
        raise InputError(f"{path}: does not exist; make it with the mask command")
    with reading_npz(path, "is damaged or not a mask") as file:
        samples, description = file["samples"], json.loads(str(file["description"]))
        # Values other than 0 and 1 would weight samples and silently give other images.
        if samples.dtype != np.bool_ or samples.ndim != 2 or not samples.any():
            raise ValueError(
                f"its samples are {samples.dtype} of shape {samples.shape}, or none is taken; a "
                "mask has bool values in rows and columns, some of them true"
            )
        if not isinstance(description, dict):
            raise ValueError("its description is no mapping")
        for name, kind in (("center_lines", int), ("unusual", list)):
            if not isinstance(description.get(name, kind()), kind):
                raise ValueError(f"{name} in its description is {description[name]!r:.40}")
        return Mask(samples, description)


def require_size(mask: Mask, origin: Path, matrix: tuple[int, ...], store: Path) -> None:
    """Check that a mask has the size of a store's slices.

    Raises:
        InputError: they differ; ``origin`` and ``store`` name the files.
    """
    if mask.samples.shape != matrix:
        raise InputError(
            f"{origin}: mask of {mask.samples.shape[0]}x{mask.samples.shape[1]} for slices "
            f"of {matrix[0]}x{matrix[1]} in {store}; give the mask that was made for this store"
        )


def require_labels(labels: Mapping[str, Any], store: Store, mask: Mask, files: list[Path]) -> None:
    """Check that the requested data set and acceleration are those of the files.

    Args:
        labels: `dataset` and `acceleration` (`4x`), as far as they are asked for.
        store: store that may name its data set.
        mask: mask that may name its acceleration.
        files: paths of the store and the mask, for the message.

    Raises:
        InputError: a file belongs to another data set or acceleration.
    """
    told = {
        "dataset": (store.description.get("dataset"), files[0]),
        "acceleration": (mask.description.get("acceleration"), files[1]),
    }
    for key, (own, path) in told.items():
        own = f"{own}x" if key == "acceleration" and own is not None else own
        if own is not None and labels.get(key, own) != own:
            raise InputError(
                f"--{key} {labels[key]}: {path} is of {key} {own}; give the file of {labels[key]}, "
                f"or --{key} {own}"
            )
