"""The documented losses train a student by the teacher, and follow their formulas."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from torch import Tensor
from training_helpers import Files, std_inputs, study_with, train

from pipeline_src.config.study import Study
from pipeline_src.distillation.base import DistillationLoss, build_loss

pytest_plugins = ["shared_fixtures"]
NAMES = {"rkd": "Relational", "ickd": "Inter-channel"}


@pytest.fixture(autouse=True)
def modules(project_root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """As `rkd_loss` and `ickd_loss`, outside the package."""
    page = (project_root / "docs/add-a-method.md").read_text()
    for name, start in NAMES.items():
        [code] = re.findall(rf"```python\n(\"\"\"{start}.*?)```", page, re.DOTALL)
        (tmp_path / f"{name}_loss.py").write_text(code)
    monkeypatch.syspath_prepend(tmp_path)
    yield
    for name in NAMES:
        sys.modules.pop(f"{name}_loss", None)


def study(name: str) -> Study:
    return study_with(
        methods={name: {"module": f"{name}_loss"}}, training={"epochs": 2, "batch_size": 2}
    )


def loss(name: str) -> DistillationLoss:
    return build_loss(name, study(name).methods[name], study(name).networks)


@pytest.mark.parametrize("name", NAMES)
def test_a_student_is_trained_by_it(
    name: str, files: Files, runs: dict[str, Path], tmp_path: Path
) -> None:
    output = train(study(name), f"std_kd_{name}", std_inputs(files, runs), tmp_path / "out")
    assert (output / "weights.safetensors").exists()


def rows(*numbers: float) -> Tensor:
    """One number per slice, as pooled features."""
    return torch.tensor(numbers).view(-1, 1, 1, 1)


def test_distances_are_over_their_mean() -> None:
    relational = loss("rkd")
    same = (rows(0, 1, 3),) * 3
    stretched = (rows(5, 7, 11),) * 3
    assert relational.compare(same, stretched).item() == pytest.approx(0, abs=1e-12)
    # Distances 1, 1, 2 and 2, 1, 1 over their mean 4/3: two differ by 3/4, half its square each.
    other = (rows(0, 2, 1),) * 3
    plain = (rows(0, 1, 2),) * 3
    found = relational.compare(plain, other).item()
    expected = sum(
        0.5 * (a / (4 / 3) - b / (4 / 3)) ** 2 for a, b in zip((1, 2, 1), (2, 1, 1), strict=True)
    )
    assert found == pytest.approx(expected / 3, rel=1e-5)
    assert relational.compare((rows(1),) * 3, (rows(2),) * 3).item() == 0


def test_correlations_do_not_depend_on_the_length_of_channels() -> None:
    correlation = loss("ickd")
    taps = correlation.taps()
    parts = correlation.make_parts(dict.fromkeys(taps, 2), dict.fromkeys(taps, 2))
    assert parts is not None
    for convolution in parts.children():
        assert isinstance(convolution, torch.nn.Conv2d)
        torch.nn.init.dirac_(convolution.weight)
        torch.nn.init.zeros_(convolution.bias)  # type: ignore[arg-type]
    correlation.parts = parts
    aligned = torch.tensor([[[[1.0, 0.0]], [[1.0, 0.0]]]])
    apart = torch.tensor([[[[1.0, 0.0]], [[0.0, 1.0]]]])
    student, teacher = (aligned,) * len(taps), (5 * apart,) * len(taps)
    # Products 1 1 1 1 against 1 0 0 1.
    assert correlation.compare(student, teacher).item() == pytest.approx(0.5)
    assert correlation.compare(teacher, teacher).item() == pytest.approx(0)
