"""Fixtures that several unit tests use; a test file takes them by `pytest_plugins`.

A conftest.py here would hide that of tests/workflow, which its tests import by this name.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from preparation_helpers import make_dataset
from torch import Tensor
from training_helpers import (
    SIZE,
    Files,
    prepared_data,
    sft_inputs,
    study_with,
    train,
)
from unit_helpers import GOOD, Prepare

from pipeline_src.cli import main
from pipeline_src.config.datasets import Dataset
from pipeline_src.data.store import write_store
from pipeline_src.sampling.data_fidelity import LineDataFidelity
from pipeline_src.sampling.masks import drawn_mask, write_mask


@pytest.fixture(scope="session")
def files(tmp_path_factory: pytest.TempPathFactory) -> Files:
    folder = tmp_path_factory.mktemp("data")
    write_store(folder / "volumes.h5", prepared_data(), {"dataset": "tiny"})
    write_mask(folder / "mask.npz", drawn_mask((SIZE, SIZE), 4, 0, 2))
    return Files(folder / "volumes.h5", folder / "mask.npz")


@pytest.fixture(scope="session")
def runs(files: Files, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Every kind of training, distillation in both protocols."""
    folder = tmp_path_factory.mktemp("runs")
    study = study_with()
    made = {
        model: train(study, model, files.inputs(), folder / model)
        for model in ("teacher", "sft_teacher", "student")
    }
    for protocol in ("two_stage", "joint"):
        study = study_with(distillation={"protocol": protocol})
        made[f"std_kd_at {protocol}"] = train(
            study,
            "std_kd_at",
            files.inputs(made["teacher"] / "weights.safetensors"),
            folder / f"std_kd_{protocol}",
        )
        made[f"sft_kd_at {protocol}"] = train(
            study, "sft_kd_at", sft_inputs(files, made), folder / f"sft_kd_{protocol}"
        )
    return made


@pytest.fixture
def dataset(tmp_path: Path, write_nifti: Any) -> Dataset:
    """Patients a, b, c and d of two frames each: 6 x 6 x 3 volumes of different maxima."""
    rng = np.random.default_rng(0)
    for number, patient in enumerate("abcd", start=1):
        for run in (1, 2):
            image = rng.random((6, 6, 3), dtype=np.float32)
            # The maximum lies where the crop does not reach.
            image[0, 0, 0] = 10 * number + run
            write_nifti(tmp_path / f"sub-{patient}_run-{run}.nii", image)
    return make_dataset()


@pytest.fixture
def nifti_study(tmp_path: Path, tiny_study: dict[str, Any], write_nifti: Any) -> dict[str, Any]:
    """A study of three good NIfTI files `sub-a`, `sub-b` and `sub-c` in the folder `data`."""
    for number, patient in enumerate("abc", start=1):
        write_nifti(tmp_path / "data" / f"sub-{patient}.nii", GOOD**number)
    tiny_study["data_root"] = str(tmp_path)
    tiny_study["datasets"]["heads"] |= {
        "source": {"kind": "nifti", "path": "data", "pattern": "sub-*.nii*"},
        "preparation": {"matrix": [8, 8]},
        "split": {"train": 1, "validation": 1, "test": 1},
    }
    tiny_study["sampling"]["center_lines"] = 1
    return tiny_study


@pytest.fixture
def prepare(tmp_path: Path, write_config: Any, capsys: pytest.CaptureFixture[str]) -> Prepare:
    """Runs the prepare command into the folder `out`; returns its status and its stderr."""

    def run(study: dict[str, Any]) -> tuple[int, str]:
        (tmp_path / "out").mkdir(exist_ok=True)
        output = tmp_path / "out" / "heads" / "volumes.h5"
        arguments = ["--config", str(write_config(study)), "--dataset", "heads"]
        status = main(["prepare", *arguments, "--output", str(output)])
        return status, capsys.readouterr().err

    return run


@pytest.fixture
def fidelity() -> LineDataFidelity:
    lines = np.zeros(SIZE, dtype=np.bool_)
    lines[[0, 1, 2, 7, 14]] = True
    return LineDataFidelity(lines)


@pytest.fixture
def zero_filled(fidelity: LineDataFidelity) -> Tensor:
    return fidelity.zero_filled(torch.rand(2, 1, SIZE, SIZE))
