"""Helpers that several test files share."""

from __future__ import annotations

import copy
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest
import torch
import yaml
from numpy.typing import ArrayLike
from tiny_study import TINY_STUDY

# Their assertions are to explain themselves like those of the tests.
pytest.register_assert_rewrite(
    "cluster_helpers",
    "hostile_configurations",
    "hostile_headers",
    "hostile_masks",
    "hostile_running",
    "hostile_stores",
    "hostile_studies",
    "loss_helpers",
    "snakemake_helpers",
    "status_helpers",
    "system_fixtures",
    "training_helpers",
    "unit_helpers",
)

ROOT = Path(__file__).resolve().parent.parent

if not torch.cuda.is_available():
    # The GPU's kernels are run by Triton's interpreter, which must be chosen before its import.
    os.environ.setdefault("TRITON_INTERPRET", "1")

WriteNifti = Callable[[Path, ArrayLike], Path]
WriteConfig = Callable[[dict[str, Any]], Path]


@pytest.fixture(autouse=True, scope="module")
def one_thread() -> Iterator[None]:
    """The tests' tensors are too small for threads, which would only wait for each other."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def project_root() -> Path:
    """The folder that holds pyproject.toml."""
    return ROOT


@pytest.fixture
def tiny_study() -> dict[str, Any]:
    """A valid configuration of one set of 16 x 16 phantoms, for the test to change."""
    return copy.deepcopy(TINY_STUDY)


@pytest.fixture
def write_config(tmp_path: Path) -> WriteConfig:
    """Writes a configuration as YAML and returns its path."""

    def write(study: dict[str, Any]) -> Path:
        path = tmp_path / "study.yaml"
        path.write_text(yaml.safe_dump(study, sort_keys=False), encoding="utf-8")
        return path

    return write


@pytest.fixture
def write_nifti() -> WriteNifti:
    """Writes an array as NIfTI, folders included, and returns its path."""

    def write(path: Path, array: ArrayLike) -> Path:
        path.parent.mkdir(parents=True, exist_ok=True)
        nibabel.save(nibabel.Nifti1Image(np.asarray(array), np.eye(4)), path)
        return path

    return write


@pytest.fixture
def shared_data() -> Path:
    """The folder of real data beside the project."""
    folder = ROOT.parent / "shared" / "data"
    if not folder.is_dir():
        pytest.skip("real data is not here: no folder ../shared/data beside the project")
    return folder
