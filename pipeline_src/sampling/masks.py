"""Cartesian sampling masks: drawn with the kt-FOCUSS density, or read from a file."""

from __future__ import annotations

import json
import os
import re
import tokenize
import warnings
import zipfile
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from pipeline_src.config.study import Study
from pipeline_src.errors import InputError
from pipeline_src.files import atomic_path, sha256_file
from pipeline_src.provenance import PACKAGE
from pipeline_src.sampling.unusual_masks import unusual

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
    def lines(self) -> NDArray[np.bool_] | None:
        """`(rows,)`, the sampled phase-encode lines; None for a mask not made of whole lines."""
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
    """The centred indices of the lowest frequencies that are always sampled."""
    start = lines // 2 - center_lines // 2
    return slice(start, start + center_lines)


def draw_lines(
    lines: int, acceleration: int, rng: np.random.Generator, center_lines: int = 10
) -> NDArray[np.bool_]:
    """Draw int(N / R) phase-encode lines, the lowest frequencies always among them.

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
    """Whole lines as a mask `(rows, columns)`."""
    return np.repeat(lines[:, None], columns, axis=1)


def drawn_mask(matrix: tuple[int, int], acceleration: int, seed: int, center_lines: int) -> Mask:
    """A drawn mask; size, acceleration and seed alone decide it."""
    # The seed names the purpose too, so no other draw of the pipeline shares its stream.
    rng = np.random.default_rng([seed, matrix[0], acceleration])
    lines = draw_lines(matrix[0], acceleration, rng, center_lines)
    description = {
        "kind": "drawn",
        "acceleration": acceleration,
        "seed": seed,
        "center_lines": center_lines,
    }
    return _mask(lines_mask(lines, matrix[1]), description)


def _mask(samples: NDArray[np.bool_], description: dict[str, Any]) -> Mask:
    return Mask(samples, description | {"sampled_fraction": float(samples.mean())})


def mask_file(given: str) -> Path:
    """The file that a data set's `masks` name: `~` and environment variables are expanded.

    A relative one is looked for where the pipeline runs, then in the project's folder.
    """
    path = Path(os.path.expandvars(given))
    with suppress(RuntimeError):  # there is no such user, and so no such file
        path = path.expanduser()
    of_project = PACKAGE.parent / path
    return of_project if not path.exists() and of_project.exists() else path


def mask_from_file(
    path: Path, matrix: tuple[int, int], acceleration: int, allow_unusual: bool = False
) -> Mask:
    """A given mask in FFT order: `.npy` of `(rows,)` or `(rows, columns)`, or `.csv`.

    A CSV has either a column `line` (a sampled phase-encode index a row), or the columns
    `acceleration` (`4x`), `matrix_size` (`150x150`) and `sampled_lines` (indices separated by
    spaces), of which the row for this matrix and acceleration is taken.

    With ``allow_unusual`` the description tells what `unusual` finds; else it is refused.

    Raises:
        InputError: the file cannot be read, or its mask is of another size, empty or unusual.
    """
    try:
        if path.suffix == ".npy":
            samples = _array_from_npy(path)
        elif path.suffix == ".csv":
            samples = _lines_from_csv(path, matrix, acceleration)
        else:
            raise InputError(f"{path}: a mask is a .npy or a .csv file")
    except OSError as error:
        raise InputError(f"{path}: mask cannot be read ({error.strerror or error})") from None
    except (ValueError, EOFError, OverflowError, pd.errors.ParserWarning) as error:
        raise InputError(f"{path}: is no mask ({error})") from None
    if samples.dtype.kind not in "biuf":
        raise InputError(f"{path}: holds values of type {samples.dtype}; a mask has 0 and 1 alone")
    if samples.shape not in (matrix, matrix[:1]):
        transposed = "its transpose" if samples.shape == matrix[::-1] else "a mask of that size"
        raise InputError(
            f"{path}: mask of {'x'.join(map(str, samples.shape))}, but preparation.matrix is "
            f"{matrix[0]}x{matrix[1]}; give {transposed}"
        )
    if samples.dtype != np.bool_ and not np.isin(samples, (0, 1)).all():
        raise InputError(
            f"{path}: holds values other than 0 and 1 (the indices of sampled lines belong in a "
            ".csv file)"
        )
    samples = np.array(samples, dtype=np.bool_)
    if samples.ndim == 1:
        samples = lines_mask(samples, matrix[1])
    if not samples.any():
        raise InputError(f"{path}: mask samples nothing")
    found = unusual(samples, acceleration)
    if found and not allow_unusual:
        raise InputError(
            f"{path}: mask {'; it '.join(found)}; if it is meant to be so, set the data set's "
            "allow_unusual_masks: true"
        )
    return _mask(
        samples,
        {
            "kind": "given",
            "file": path.name,
            "sha256": sha256_file(path),
            "acceleration": acceleration,
        }
        | ({"unusual": found} if found else {}),
    )


def _array_from_npy(path: Path) -> NDArray[Any]:
    try:
        # Headers that Python 2 wrote are read with a warning.
        with warnings.catch_warnings(action="ignore", category=UserWarning):
            # Mapped, so that an array that is larger than its file or than the memory is refused.
            return np.lib.format.open_memmap(path, mode="r")
    except (TypeError, RecursionError, MemoryError, SyntaxError, tokenize.TokenError) as error:
        # The header is Python's text.
        raise InputError(f"{path}: is no mask (its header cannot be read: {error})") from None


def _lines_from_csv(path: Path, matrix: tuple[int, int], acceleration: int) -> NDArray[np.bool_]:
    # Rows of more cells than there are headings would else give other columns, or a warning.
    with warnings.catch_warnings(action="error", category=pd.errors.ParserWarning):
        table = pd.read_csv(path, comment="#", dtype=str, na_filter=False, index_col=False)
    for column in ("line", "acceleration", "matrix_size", "sampled_lines"):
        if f"{column}.1" in table:  # so pandas names a second one
            raise InputError(f"{path}: has two columns {column!r}; leave one of them out")
    if "line" in table:
        texts = table["line"].tolist()
    elif {"acceleration", "matrix_size", "sampled_lines"} <= set(table.columns):
        size = f"{matrix[0]}x{matrix[1]}"
        rows = table[(table["acceleration"] == f"{acceleration}x") & (table["matrix_size"] == size)]
        if len(rows) != 1:
            raise InputError(
                f"{path}: {len(rows)} masks of {size} at {acceleration}x; exactly one is needed"
            )
        texts = rows["sampled_lines"].iloc[0].split()
    else:
        raise InputError(
            f"{path}: needs a column 'line', or 'acceleration', 'matrix_size' and 'sampled_lines'"
        )
    if not texts:
        raise InputError(f"{path}: mask samples nothing")
    odd = next((text for text in texts if not re.fullmatch(r"\s*[-+]?[0-9]{1,9}\s*", text)), None)
    if odd is not None:
        raise InputError(f"{path}: is no mask ({odd!r} is no line; whole numbers are needed)")
    indices = np.array([int(text) for text in texts])
    outside = indices[(indices < 0) | (indices >= matrix[0])]
    if len(outside) and indices.min() == 1 and indices.max() == matrix[0]:
        raise InputError(
            f"{path}: line {matrix[0]} is outside the {matrix[0]} lines of preparation.matrix; "
            "lines count from 0: subtract 1 from each"
        )
    if len(outside):
        raise InputError(
            f"{path}: line {int(outside[0])} is outside the {matrix[0]} lines of "
            "preparation.matrix; give a mask of that size"
        )
    lines = np.zeros(matrix[0], dtype=np.bool_)
    lines[indices] = True
    return lines


def write_mask(path: Path, mask: Mask) -> None:
    """Write a mask as `.npz` with its description."""
    with atomic_path(path) as temporary, temporary.open("wb") as stream:
        np.savez(stream, samples=mask.samples, description=json.dumps(mask.description))


def read_mask(path: Path) -> Mask:
    """Read what `write_mask` wrote.

    Raises:
        InputError: the file is missing or is no mask.
    """
    try:
        with path.open("rb") as stream, np.load(stream) as file:
            return Mask(file["samples"], json.loads(str(file["description"])))
    except FileNotFoundError:
        raise InputError(f"{path}: does not exist; make it with the mask command") from None
    except (OSError, EOFError, KeyError, TypeError, ValueError, zipfile.BadZipFile) as error:
        raise InputError(f"{path}: is damaged or no mask ({error})") from None


def require_size(mask: Mask, origin: Path, matrix: tuple[int, ...], store: Path) -> None:
    """Refuse a mask whose size is not that of a store's slices.

    Raises:
        InputError: they differ; ``origin`` and ``store`` name the files.
    """
    if mask.samples.shape != matrix:
        raise InputError(
            f"{origin}: mask of {mask.samples.shape[0]}x{mask.samples.shape[1]} for slices "
            f"of {matrix[0]}x{matrix[1]} in {store}; give the mask that was made for this store"
        )


def require_labels(labels: Mapping[str, Any], store: Store, mask: Mask, files: list[Path]) -> None:
    """Refuse a data set's name and an acceleration that are not those of the files.

    Args:
        labels: `dataset` and `acceleration` (`4x`), as far as they are asked for.
        files: the store's and the mask's, for the message.

    Raises:
        InputError: a file says that it is of another data set or acceleration.
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


def study_mask(study: Study, dataset: str, acceleration: int) -> Mask:
    """The mask of a setting: the given file where there is one, else a drawn one.

    Raises:
        InputError: the given file is unusable.
    """
    section = study.datasets[dataset]
    matrix = section.preparation.matrix
    given = section.masks.get(acceleration)
    if given is not None:
        mask = mask_from_file(mask_file(given), matrix, acceleration, section.allow_unusual_masks)
    else:
        mask = drawn_mask(matrix, acceleration, study.sampling.seed, study.sampling.center_lines)
    return replace(mask, description=mask.description | {"dataset": dataset})
