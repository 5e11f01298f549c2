"""The mask of a setting: read from the user's file, or drawn at random."""

from __future__ import annotations

import os
import re
import warnings
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from pipeline_src.config.study import Study
from pipeline_src.errors import InputError
from pipeline_src.files import open_regular, sha256_file
from pipeline_src.modules import PACKAGE
from pipeline_src.npz_files import NPY_HEADER_ERRORS, map_npy
from pipeline_src.sampling.masks import Mask, described_mask, drawn_mask, lines_mask
from pipeline_src.sampling.unusual_masks import unusual
from pipeline_src.tabular import read_heading


def mask_file(given: str) -> Path:
    """The mask file that a data set's `masks` names; `~` and environment variables are expanded.

    A relative path is looked up in the current folder, then in the project's folder.
    """
    path = Path(os.path.expandvars(given))
    with suppress(RuntimeError):  # there is no such user, so there is no such file
        path = path.expanduser()
    of_project = PACKAGE.parent / path
    return of_project if not path.exists() and of_project.exists() else path


def mask_from_file(
    path: Path, matrix: tuple[int, int], acceleration: int, allow_unusual: bool = False
) -> Mask:
    """Read a mask in FFT order: `.npy` of `(rows,)` or `(rows, columns)`, or `.csv`.

    A CSV has either a column `line` (one sampled phase-encode index per row), or the columns
    `acceleration` (`4x`), `matrix_size` (`150x150`) and `sampled_lines` (indices separated by
    spaces); of these, the row for this matrix and acceleration is used.

    With ``allow_unusual``, what `unusual` finds is recorded in the description; otherwise it is an
    error.

    Raises:
        InputError: the file cannot be read, or its mask has another size, is empty or unusual.
    """
    try:
        open_regular(path).close()
        if path.suffix == ".npy":
            samples = _array_from_npy(path)
        elif path.suffix == ".csv":
            samples = _lines_from_csv(path, matrix, acceleration)
        else:
            raise InputError(f"{path}: a mask is a .npy or a .csv file")
    except OSError as error:
        raise InputError(f"{path}: mask cannot be read ({error.strerror or error})") from None
    except (ValueError, EOFError, OverflowError, pd.errors.ParserWarning) as error:
        raise InputError(f"{path}: is not a mask ({error})") from None
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
    return described_mask(
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
        return map_npy(path)
    except NPY_HEADER_ERRORS as error:
        raise InputError(f"{path}: is not a mask (its header cannot be read: {error})") from None


def _lines_from_csv(path: Path, matrix: tuple[int, int], acceleration: int) -> NDArray[np.bool_]:
    # Otherwise rows with more cells than headings would shift the columns, or only give a warning.
    with open_regular(path) as stream:
        read_heading(stream)
    with warnings.catch_warnings(action="error", category=pd.errors.ParserWarning):
        table = pd.read_csv(path, comment="#", dtype=str, na_filter=False, index_col=False)
    for column in ("line", "acceleration", "matrix_size", "sampled_lines"):
        if f"{column}.1" in table:  # pandas names a second one like this
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
        raise InputError(f"{path}: is not a mask ({odd!r} is no line; whole numbers are needed)")
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


def study_mask(study: Study, dataset: str, acceleration: int) -> Mask:
    """The mask of a setting: the given file if there is one, else a drawn one.

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
