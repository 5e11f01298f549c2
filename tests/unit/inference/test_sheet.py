"""The contact sheet of a reconstruction: what its heading, rows and scales say."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import pytest
from inference_helpers import Model, trained
from matplotlib.figure import Figure
from test_error_bound import calibrate, store_of_patients

from pipeline_src.inference import sheet

Output = pytest.CaptureFixture[str]


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Figure]]:
    """The sheets as they are drawn."""
    figures: list[Figure] = []
    draw = sheet.draw

    def kept(*given: Any) -> Figure:
        figures.append(draw(*given))
        return figures[-1]

    monkeypatch.setattr(sheet, "draw", kept)
    yield figures
    plt.close("all")


def bounded(model: Model, tmp_path: Path) -> int:
    """Reconstruct a store of patients of all parts, with the bound that its patients calibrate."""
    store, bound = store_of_patients(tmp_path / "volumes.h5"), tmp_path / "bound.json"
    assert calibrate(model, store, bound) == 0
    return model.reconstruct(tmp_path / "out", store, "--error-bound", bound)


def test_numbers_say_that_patients_of_the_training_are_among_them(
    drawn: list[Figure], tmp_path: Path, capsys: Output
) -> None:
    assert bounded(trained(tmp_path), tmp_path) == 0
    whose = "patients of train, validation, test:"
    assert f"mean over 1, with {whose}" in capsys.readouterr().out
    heading = drawn[0].get_suptitle().replace("\n", " ")
    assert f" {whose} zero-filled" in heading
    assert "of pixels within the bound" in heading


def test_scales_end_in_a_point_as_values_go_on(drawn: list[Figure], tmp_path: Path) -> None:
    assert bounded(trained(tmp_path), tmp_path) == 0
    shown = [image for axis in drawn[0].axes for image in axis.images]
    assert any(image.get_array().max() > image.norm.vmax for image in shown)
    assert {image.colorbar.extend for image in shown if image.colorbar} == {"max"}
