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
from training_helpers import prepared_data

from pipeline_src.data.store import write_store
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


def test_a_row_says_whose_frame_and_slice_it_is(drawn: list[Figure], tmp_path: Path) -> None:
    prepared = prepared_data()
    for row in prepared.slices[:3]:
        row["frame"] = "ED"
    write_store(tmp_path / "volumes.h5", prepared, {})
    assert trained(tmp_path).reconstruct(tmp_path / "out", tmp_path / "volumes.h5") == 0
    labels = [axis.get_ylabel() for axis in drawn[0].axes if axis.get_ylabel()]
    assert labels[0] == "a\nframe ED, slice 2"
    assert labels[-1] == "c\nslice 0"
