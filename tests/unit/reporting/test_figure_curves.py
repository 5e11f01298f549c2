"""Learning curves: which epochs, which seeds, and lines that can be told apart."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from figure_helpers import (
    curves_inputs,
    cut_off,
    heading,
    history,
    legend,
    overlapping,
    words,
    written_run,
)
from matplotlib.axes import Axes
from matplotlib.collections import FillBetweenPolyCollection
from matplotlib.lines import Line2D

from pipeline_src.errors import InputError
from pipeline_src.reporting.figures.curves import Curve, draw, first_fitted_epoch, from_files

pytestmark = pytest.mark.usefixtures("styled")

TWO_STAGES = {"features": history(4, loss=7.0), "reconstruction": history(3)}


def lines(axis: Axes) -> dict[str, Line2D]:
    return {str(line.get_label()): line for line in axis.lines}


def bands(axis: Axes) -> list[FillBetweenPolyCollection]:
    return [c for c in axis.collections if isinstance(c, FillBetweenPolyCollection)]


def test_loss_and_psnr_stand_beside_each_other_with_their_units(tmp_path: Path) -> None:
    figure = from_files(curves_inputs(tmp_path), "Heart 4x")
    loss, psnr = figure.axes
    assert (loss.get_ylabel(), psnr.get_ylabel()) == (
        "validation loss (L1), log scale",
        "validation PSNR (dB)",
    )
    assert loss.get_yscale() == "log"
    assert {axis.get_xlabel() for axis in figure.axes} == {"epoch of the last stage"}
    for axis in figure.axes:
        assert list(lines(axis)) == [
            "Teacher",
            "SFT teacher",
            "Student",
            "Std-KD FitNets",
            "SFT-KD-Recon FitNets",
        ]


def test_last_stage_is_shown_and_what_went_before_is_told(tmp_path: Path) -> None:
    paths = [
        written_run(tmp_path / "teacher", "teacher", {"reconstruction": history(3)}),
        written_run(tmp_path / "at", "std_kd_at", TWO_STAGES),
    ]
    figure = from_files(paths, "Heart 4x")
    drawn = lines(figure.axes[0])["Std-KD AT"]
    assert list(drawn.get_xdata()) == [1, 2, 3]
    assert list(drawn.get_ydata()) == pytest.approx(list(history(3)["validation_loss"]))
    told = "distilled students: second stage, after 4 epochs on the feature loss (not shown)"
    assert told in heading(figure)


def test_student_trained_as_long_has_a_stage_before_too(tmp_path: Path) -> None:
    stages = {"reconstruction_first": history(5), "reconstruction": history(3)}
    figure = from_files([written_run(tmp_path / "m", "student_matched", stages)], "")
    assert "students trained as long: second stage, after 5 epochs" in heading(figure)
    assert legend(figure) == ["Student, as many epochs"]


def test_training_of_one_stage_says_nothing_of_another(tmp_path: Path) -> None:
    path = written_run(tmp_path / "s", "student", {"reconstruction": history(3)})
    assert heading(from_files([path], "Heart")) == (
        "Heart: learning curves on the validation patients\none seed"
    )


def test_several_seeds_are_a_mean_and_a_range() -> None:
    histories = [history(loss=loss) for loss in (0.1, 0.2, 0.6)]
    figure = draw([Curve("student", "standard", histories)], "Heart")
    axis = figure.axes[0]
    mean = np.mean([h["validation_loss"] for h in histories], axis=0)
    assert list(lines(axis)["Student"].get_ydata()) == pytest.approx(list(mean))
    (band,) = bands(axis)
    corners = band.get_paths()[0].vertices
    at_first = corners[corners[:, 0] == 1][:, 1]
    assert (at_first.min(), at_first.max()) == pytest.approx((0.1, 0.6))
    assert "mean and range of 3 seeds" in heading(figure)
    assert bands(draw([Curve("student", "standard", histories[:1])], "").axes[0]) == []


def test_seeds_of_different_length_are_averaged_where_they_are() -> None:
    figure = draw([Curve("student", "standard", [history(3), history(2)])], "")
    assert len(lines(figure.axes[0])["Student"].get_xdata()) == 3


def test_axes_of_a_long_training_are_fitted_to_what_follows_the_first_epochs() -> None:
    long, short = history(100, loss=50.0), history(19, loss=50.0)
    figure = draw([Curve("student", "standard", [long])], "Heart")
    low, high = figure.axes[0].get_ylim()
    assert low < 50 / 100
    assert 50 / 11 < high < 50 / 5
    assert "axes fitted to epoch 11 and later" in heading(figure)
    assert overlapping(figure) == []
    figure = draw([Curve("student", "standard", [short])], "Heart")
    assert figure.axes[0].get_ylim()[1] > 50
    assert "axes fitted" not in heading(figure)
    assert first_fitted_epoch([Curve("student", "standard", [short, long])]) == 11


@pytest.mark.parametrize("last", [0.099, 0.05, 1e-3, 1e-7, 0.1, 0.0])
def test_labels_of_the_losses_can_be_read_over_any_range(last: float) -> None:
    rows = history(5)
    rows["validation_loss"] = np.linspace(0.1, last, 5)
    figure = draw([Curve("student", "standard", [rows])], "Heart")
    low, high = figure.axes[0].get_ylim()
    assert low <= last
    assert high >= 0.1
    assert overlapping(figure) == []
    assert len(words(figure)) > 10


# Telling lines apart.


def all_models() -> list[Curve]:
    names = [("teacher", "standard"), ("teacher", "sft"), ("student", "standard")]
    names += [("student_matched", "standard"), ("student_sft_start", "sft")]
    names += [(m, r) for m in ("fitnets", "at", "cc", "fsp", "sp") for r in ("std_kd", "sft_kd")]
    return [Curve(*name, [history(6, loss=0.1 + k / 50)]) for k, name in enumerate(names)]


def test_no_two_lines_look_alike_even_in_grey() -> None:
    figure = draw(all_models(), "Heart")
    looks = {
        (str(line.get_marker()), str(line._unscaled_dash_pattern)) for line in figure.axes[0].lines
    }
    assert len(looks) == len(figure.axes[0].lines) == 15


def test_trainings_of_a_model_stand_below_each_other_in_the_legend(tmp_path: Path) -> None:
    figure = from_files(curves_inputs(tmp_path), "Heart")
    assert legend(figure) == [
        "Teacher",
        "SFT teacher",
        "Student",
        " ",
        "Std-KD FitNets",
        "SFT-KD-Recon FitNets",
    ]


def test_legend_of_many_models_fits() -> None:
    figure = draw(all_models(), "Heart")
    assert len([name for name in legend(figure) if name.strip()]) == 15
    assert overlapping(figure) == []
    assert cut_off(figure) == []


# What the loss is.


@pytest.mark.parametrize(
    ("stages", "options"),
    [
        ({"joint": history(3)}, {"protocol": "joint", "imitation_weight": 0.0}),
        (TWO_STAGES, {"protocol": "two_stage", "imitation_weight": 0.5}),
    ],
)
def test_loss_that_is_no_plain_l1_is_told(
    stages: dict[str, pd.DataFrame], options: dict[str, object], tmp_path: Path
) -> None:
    paths = [
        written_run(tmp_path / "s", "student", {"reconstruction": history(3)}),
        written_run(tmp_path / "at", "sft_kd_at", stages, {"options": options}),
    ]
    figure = from_files(paths, "Heart")
    assert figure.axes[0].get_ylabel() == "validation loss, log scale"
    assert "loss of SFT-KD-Recon AT: with terms of distillation besides L1" in heading(figure)


def test_two_stages_without_imitation_end_on_l1(tmp_path: Path) -> None:
    options = {"options": {"protocol": "two_stage", "imitation_weight": 0.0}}
    path = written_run(tmp_path / "at", "sft_kd_at", TWO_STAGES, options)
    assert from_files([path], "").axes[0].get_ylabel() == "validation loss (L1), log scale"


# Refusals.


def test_manifest_of_something_else_is_refused(tmp_path: Path) -> None:
    (tmp_path / "manifest.json").write_text('{"command": "prepare"}')
    with pytest.raises(InputError, match=r"manifest\.json: is not a manifest of a training"):
        from_files([tmp_path / "manifest.json"], "")


def test_missing_or_foreign_history_is_refused(tmp_path: Path) -> None:
    path = written_run(tmp_path / "s", "student", {"reconstruction": history(3)})
    rows = tmp_path / "s" / "history_reconstruction.csv"
    history(3).drop(columns="validation_loss").to_csv(rows, index=False)
    with pytest.raises(InputError, match="holds no history; columns missing: validation_loss"):
        from_files([path], "")
    rows.unlink()
    with pytest.raises(InputError, match="history cannot be read"):
        from_files([path], "")


@pytest.mark.parametrize("epochs", [1, 2])
def test_epochs_are_whole_numbers(epochs: int) -> None:
    figure = draw([Curve("student", "standard", [history(epochs)])], "Heart 4x")
    for axis in figure.axes:
        low, high = axis.get_xlim()
        shown = [tick for tick in axis.get_xticks() if low <= tick <= high]
        assert shown == list(range(1, epochs + 1))
