"""Box plots: one box per model, and one line per patient between the recipes of a method."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pandas as pd
import pytest
from figure_helpers import cut_off, heading, overlapping, words
from matplotlib.collections import PathCollection
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import PathPatch
from reporting_helpers import METHODS, SFT_AT, STD_AT, VOLUMES, Model

from pipeline_src.errors import InputError
from pipeline_src.reporting.figures.boxplot import draw, patient_means, places

pytestmark = pytest.mark.usefixtures("styled")

HEART = VOLUMES[(VOLUMES["dataset"] == "heart") & (VOLUMES["acceleration"] == "4x")]


def rows_of(model: Model, values: dict[tuple[str, str, int], list[float]]) -> pd.DataFrame:
    """Slices of one model: SSIM by patient, frame and seed."""
    return pd.DataFrame(
        {
            "dataset": "heart",
            "acceleration": "4x",
            "model": model[0],
            "training": model[1],
            "variant": "",
            "seed": seed,
            "patient": patient,
            "frame": frame,
            "ssim": ssim,
            "psnr_db": 30 * ssim,
        }
        for (patient, frame, seed), found in values.items()
        for ssim in found
    )


def patient_lines(figure: Figure) -> list[Line2D]:
    return [line for line in figure.axes[0].lines if line.get_gid() == "patient"]


def boxes(figure: Figure) -> list[PathPatch]:
    return [patch for patch in figure.axes[0].patches if isinstance(patch, PathPatch)]


def labels(figure: Figure) -> list[str]:
    return [label.get_text() for label in figure.axes[0].get_yticklabels()]


def test_a_box_a_model_in_the_papers_order_from_the_top() -> None:
    figure = draw(HEART, "Heart 4x", "ssim")
    titles = {"fitnets": "FitNets", "at": "AT", "cc": "CC", "fsp": "FSP", "sp": "SP"}
    assert labels(figure) == [
        "Teacher",
        "SFT teacher",
        "Student",
        "Student, as many epochs",
        "Student from SFT blocks",
        *(f"{r} {titles[m]}" for m in METHODS for r in ("Std-KD", "SFT-KD-Recon")),
    ]
    axis = figure.axes[0]
    assert len(boxes(figure)) == 15
    assert list(axis.get_yticks()) == [box.row for box in places(HEART[HEART["seed"] == 0])]
    # The first row is the highest: the axis points down.
    bottom, top = axis.get_ylim()
    assert bottom > axis.get_yticks()[-1] > axis.get_yticks()[0] > top
    assert overlapping(figure) == []


def test_boxes_hold_the_quartiles_of_all_seeds_together() -> None:
    figure = draw(HEART, "Heart 4x", "psnr_db")
    teacher = HEART[(HEART["model"] == "teacher") & (HEART["training"] == "standard")]
    assert teacher["seed"].nunique() == 2
    ends = boxes(figure)[0].get_path().get_extents()
    quartiles = np.quantile(teacher["psnr_db"], [0.25, 0.75])
    assert [ends.x0, ends.x1] == pytest.approx(quartiles)
    assert "2 seeds pooled (6 values per box)" in heading(figure)
    assert "3 slices of 2 patients" in heading(figure)


def test_slices_without_error_that_no_box_shows_are_named() -> None:
    exact = HEART.copy()
    of_teacher = exact.index[(exact["model"] == "teacher") & (exact["training"] == "standard")]
    exact.loc[of_teacher[0], "psnr_db"] = np.inf
    whose = exact.loc[of_teacher[0], "patient"]
    told = f"Not drawn, as they are without error: 1 (Teacher, patient {whose})."
    assert told in heading(draw(exact, "Heart 4x", "psnr_db"))
    assert "without error" not in heading(draw(exact, "Heart 4x", "ssim"))


@pytest.mark.parametrize(("metric", "label"), [("ssim", "SSIM"), ("psnr_db", "PSNR (dB)")])
def test_axis_names_the_metric_and_its_unit(metric: str, label: str) -> None:
    figure = draw(HEART, "Heart 4x", metric)
    assert figure.axes[0].get_xlabel() == f"{label} of a slice"
    zero_filled = HEART.loc[HEART["training"] == "none", metric].median()
    told = f"{zero_filled:.2f} dB" if metric == "psnr_db" else f"{zero_filled:.3f}"
    assert f"zero-filled: median {told}, not drawn" in heading(figure)


def test_recipes_of_a_method_stand_below_each_other_with_room_between() -> None:
    found = {(box.model, box.training): box.row for box in places(HEART[HEART["seed"] == 0])}
    for method in METHODS:
        assert found[method, "sft_kd"] - found[method, "std_kd"] == 2
    assert found["teacher", "sft"] - found["teacher", "standard"] == 1


# Patients.

MEANS: dict[str, Any] = {
    # Frames count alike though one has more slices, and seeds though one has fewer frames.
    "std": {
        ("p1", "ED", 0): [0.5, 0.5, 0.5, 0.5],
        ("p1", "ES", 0): [0.7],
        ("p1", "ED", 1): [0.9],
        ("p2", "", 0): [0.8],
        ("p2", "", 1): [0.8],
    },
    "sft": {
        ("p1", "ED", 0): [0.8],
        ("p1", "ES", 0): [0.8],
        ("p1", "ED", 1): [0.8],
        ("p2", "", 0): [0.7],
        ("p2", "", 1): [0.7],
        ("p3", "", 0): [0.6],
    },
}
BOTH = pd.concat([rows_of(STD_AT, MEANS["std"]), rows_of(SFT_AT, MEANS["sft"])])


def test_patients_mean_is_over_slices_then_volumes_then_seeds() -> None:
    means = patient_means(BOTH, "ssim")
    assert list(means.columns) == ["std_kd", "sft_kd"]
    assert list(means.index) == ["p1", "p2", "p3"]
    assert means.loc["p1"].to_list() == pytest.approx([((0.5 + 0.7) / 2 + 0.9) / 2, 0.8])
    assert means.loc["p2"].to_list() == pytest.approx([0.8, 0.7])
    # p3 has no pair.
    assert means.loc["p3"].to_list() == pytest.approx([math.nan, 0.6], nan_ok=True)


def test_a_patient_of_one_recipe_alone_is_named() -> None:
    figure = draw(BOTH, "Heart 4x", "ssim")
    assert len(patient_lines(figure)) == 2
    assert "Patients of one recipe alone, not joined: 1 (p3 (AT))." in heading(figure)
    pairs = draw(BOTH[BOTH["patient"] != "p3"], "Heart 4x", "ssim")
    assert "recipe alone" not in heading(pairs)


def test_a_training_of_unknown_seed_has_a_box() -> None:
    """Such as weights of others, which come without a manifest."""
    said = heading(draw(rows_of(STD_AT, MEANS["std"]).assign(seed=math.nan), "Heart 4x", "ssim"))
    assert "8 slices of 2 patients" in said
    assert "seed" not in said


def test_frame_that_is_left_empty_is_a_volume_too() -> None:
    means = patient_means(BOTH.assign(frame=BOTH["frame"].replace("", np.nan)), "ssim")
    pd.testing.assert_frame_equal(means, patient_means(BOTH, "ssim"))


def test_a_line_a_patient_joins_its_means_and_tells_which_way_it_goes() -> None:
    figure = draw(BOTH, "Heart 4x", "ssim")
    first, second = patient_lines(figure)
    assert list(first.get_xdata()) == pytest.approx([0.75, 0.8])
    assert list(second.get_xdata()) == pytest.approx([0.8, 0.7])
    # Between the boxes, from the upper one to the lower one, touching neither.
    upper, lower = figure.axes[0].get_yticks()
    above, below = first.get_ydata()
    assert upper + 0.31 < above < below < lower - 0.31
    assert first.get_linestyle() == "-"
    assert second.get_linestyle() == "--"
    assert "higher in\n1 of 2 patients" in words(figure)
    markers = [c for c in figure.axes[0].collections if isinstance(c, PathCollection)]
    assert [len(c.get_offsets()) for c in markers] == [2, 2]


def test_of_a_metric_whose_lower_values_are_better_a_lower_mean_is_marked() -> None:
    figure = draw(BOTH.assign(nmse=1 - BOTH["ssim"]), "Heart 4x", "nmse")
    first, second = patient_lines(figure)
    assert list(first.get_xdata()) == pytest.approx([0.25, 0.2])
    assert (first.get_linestyle(), second.get_linestyle()) == ("-", "--")
    assert "lower in\n1 of 2 patients" in words(figure)
    [legend] = figure.legends
    told = [text.get_text() for text in legend.get_texts()]
    assert told[2:] == ["lower with SFT-KD-Recon", "not lower"]


def test_every_method_has_its_lines() -> None:
    figure = draw(HEART, "Heart 4x", "ssim")
    assert len(patient_lines(figure)) == len(METHODS) * 2
    assert sum("higher in" in word for word in words(figure)) == len(METHODS)


def test_one_recipe_alone_has_boxes_and_no_lines() -> None:
    figure = draw(HEART[HEART["training"] != "std_kd"], "Heart 4x", "ssim")
    assert len(boxes(figure)) == 10
    assert patient_lines(figure) == []
    assert figure.legends == []


def test_many_patients_and_a_method_of_ones_own_fit() -> None:
    rng = np.random.default_rng(0)
    tables = []
    for model in (STD_AT, SFT_AT, ("my_own_distillation", "std_kd")):
        values = {(f"p{p}", "", 0): list(rng.normal(0.9, 0.02, 4)) for p in range(60)}
        tables.append(rows_of(model, values))
    figure = draw(pd.concat(tables), "A data set with quite a long name 10x", "ssim")
    assert len(patient_lines(figure)) == 60
    assert "one seed" in heading(figure)
    assert labels(figure)[-1] == "Std-KD my_own_distillation"
    assert overlapping(figure) == []
    assert cut_off(figure) == []


# What is left out.


def test_variants_are_not_mixed_with_the_study_as_configured() -> None:
    variant = HEART.assign(variant="terms.teacher_only", ssim=0.1)
    figure = draw(pd.concat([HEART, variant]), "Heart 4x", "ssim")
    assert "(6 values per box)" in heading(figure)
    assert figure.axes[0].dataLim.x0 > 0.5


@pytest.mark.parametrize("rows", [HEART.iloc[:0], HEART[HEART["training"] == "none"]])
def test_without_a_trained_model_there_is_no_figure(rows: pd.DataFrame) -> None:
    with pytest.raises(InputError, match="no trained model"):
        draw(rows, "Heart 4x", "ssim")
