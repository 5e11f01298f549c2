"""Helpers that several files of unit tests share."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from numpy.typing import NDArray

# The vectors that the authors' code made.
VECTORS = Path(__file__).resolve().parents[2].parent / "shared/reference/parity_vectors.npz"
needs_vectors = pytest.mark.skipif(
    not VECTORS.is_file(), reason=f"the authors' vectors are not at {VECTORS}"
)

# A volume of two slices, as files of tests hold it.
GOOD: NDArray[np.float32] = np.linspace(0, 1, 8 * 8 * 2, dtype=np.float32).reshape(8, 8, 2)


Prepare = Callable[[dict[str, Any]], tuple[int, str]]


def read_vectors() -> dict[str, NDArray[Any]]:
    with np.load(VECTORS) as file:
        return {name: file[name] for name in file.files}


def one_line(captured_error: str) -> str:
    """The error itself, once it is seen to be one line."""
    assert captured_error.startswith("error: ")
    assert captured_error.endswith("\n")
    assert captured_error.count("\n") == 1
    return captured_error


def assert_refused(result: tuple[int, str], out: Path, *fragments: str) -> None:
    """Status 2, one line with every fragment, and an empty output folder."""
    status, error = result
    assert status == 2
    for fragment in fragments:
        assert fragment in one_line(error)
    assert list(out.rglob("*")) == []


class Bomb:
    """Makes a folder when it is unpickled the ordinary way."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.mkdir, (str(self.path),)


def with_pixel(value: float) -> NDArray[np.float32]:
    """The good volume with another value at one place."""
    image = GOOD.copy()
    image[3, 4, 1] = value
    return image


def rewrite(path: Path, **keys: Any) -> None:
    """An HDF5 file of these keys alone."""
    with h5py.File(path, "w") as file:
        for key, value in keys.items():
            file[key] = value


def put(study: dict[str, Any], path: str, value: Any) -> None:
    """Replace or add the value at a dotted path."""
    *sections, key = path.split(".")
    for section in sections:
        study = study.setdefault(section, {})
    study[key] = value
