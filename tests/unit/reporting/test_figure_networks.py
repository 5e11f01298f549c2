"""The scheme of the networks: what is drawn follows the configuration."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
from figure_helpers import cut_off, heading, overlapping, words
from matplotlib.figure import Figure
from matplotlib.patches import FancyBboxPatch
from reporting_helpers import study_with

from pipeline_src.reporting.figure_style import PAGE_WIDTH
from pipeline_src.reporting.figures.network_rows import rows_of
from pipeline_src.reporting.figures.networks import draw, loss_in_words

pytestmark = pytest.mark.usefixtures("styled")

LONG = "Knowledge distillation in magnetic resonance imaging of the heart and brain " * 3


def networks(cascades: int, teacher: int = 5, student: int = 3, **both: Any) -> dict[str, Any]:
    return {
        "teacher": {"depth": teacher, "cascades": cascades, **both},
        "student": {"depth": student, "cascades": cascades, **both},
    }


def scheme(title: str = "Heart", **values: Any) -> Figure:
    return draw(study_with(**values), title)


def blocks(figure: Figure) -> Counter[str]:
    """How many blocks each row has, and how many steps of data fidelity."""
    boxes = figure.findobj(FancyBboxPatch)
    return Counter(str(box.get_gid()) for box in boxes if box.get_gid())


def bars(figure: Figure) -> int:
    """Convolutions that are drawn: short upright lines, besides the three of the key."""
    (axis,) = figure.axes
    lines = [line for line in axis.lines if len(line.get_xdata()) == 2]
    upright = [line for line in lines if len(set(line.get_xdata())) == 1]
    return sum(abs(line.get_ydata()[1] - line.get_ydata()[0]) < 0.2 for line in upright) - 3


def test_branches_go_on_through_the_student_after_each_cascade_but_the_last() -> None:
    figure = scheme()
    expected = {"teacher": 5, "branch4": 1, "branch3": 2, "branch2": 3, "branch1": 4, "student": 5}
    assert blocks(figure) == {
        f"{row} {part}": count for row, count in expected.items() for part in ("block", "fidelity")
    }
    # 5 a cascade of the teacher's, 3 a cascade of the student's.
    assert bars(figure) == 5 * 5 + 3 * (1 + 2 + 3 + 4 + 5)
    assert "Teacher D5C5: 5 cascades of 5 convolutions, 32 features" in words(figure)


def test_no_branch_crosses_another() -> None:
    rows = rows_of(study_with(networks=networks(7), sft={"branches": 4}))
    assert [row.branch for row in rows] == [0, 4, 3, 2, 1, 0]
    assert [len(row.cascades) for row in rows] == [7, 3, 4, 5, 6, 7]


@pytest.mark.parametrize(
    ("cascades", "depth", "domain"),
    [
        (2, 2, "image"),
        (2, 10, "features"),
        (3, 2, "features"),
        (6, 4, "image"),
        (10, 10, "image"),
        (10, 10, "features"),
    ],
)
def test_nothing_overlaps_from_small_to_large(cascades: int, depth: int, domain: str) -> None:
    size = networks(cascades, depth, depth)
    figure = scheme(LONG, networks=size, sft={"imitation_domain": domain})
    assert overlapping(figure) == []
    assert cut_off(figure) == []
    assert figure.get_figwidth() <= PAGE_WIDTH
    assert figure.get_figheight() < 9
    assert blocks(figure)["branch1 block"] == cascades - 1


def test_of_many_cascades_the_first_and_last_are_drawn_and_the_others_told() -> None:
    figure = scheme(networks=networks(40, student=20, padding=5, features=64))
    assert "cascades 6 to 37 are not drawn, nor 32 of 39 branches" in heading(figure).replace(
        "\n", " "
    )
    assert blocks(figure)["teacher block"] == 8
    # Too many convolutions for bars are a number.
    assert "20" in words(figure)
    assert any("64 features, inputs padded by 5 pixels" in text for text in words(figure))
    assert overlapping(figure) == []


def test_what_has_no_weight_is_not_drawn() -> None:
    figure = scheme(sft={"imitation_weight": 0, "student_weight": 0.5})
    assert not any("imit" in text for text in words(figure))
    assert "0.5 \N{MULTIPLICATION SIGN} error of the branches" in heading(figure)
    assert "distance" not in heading(figure)


@pytest.mark.parametrize(
    ("sft", "said"),
    [
        ({}, "teacher's reconstruction (divided once more by the number of elements)"),
        ({"imitation_normalisation": "mean"}, "teacher's reconstruction (plain mean)"),
        ({"imitation_domain": "features"}, "teacher's middle features (divided"),
    ],
)
def test_the_loss_is_told_as_configured(sft: dict[str, Any], said: str) -> None:
    assert said in loss_in_words(study_with(sft=sft).sft)


def test_imitation_of_features_marks_the_middle_convolution() -> None:
    def bold(figure: Figure) -> int:
        return sum(line.get_linewidth() > 2 for line in figure.axes[0].lines)

    assert bold(scheme()) == 0
    # Of the teacher's cascades 2 to 5, and of every block of a branch.
    assert bold(scheme(sft={"imitation_domain": "features"})) == 4 + (1 + 2 + 3 + 4)


def test_another_kind_of_network_is_drawn_as_plain_boxes_beside_the_bars_of_a_dc_cnn() -> None:
    other = {"kind": "unet_cascade", "cascades": 3, "options": {"features": 4}}
    figure = scheme(networks={"teacher": other, "student": {"depth": 3, "cascades": 3}})
    assert blocks(figure)["teacher block"] == blocks(figure)["teacher fidelity"] == 3
    # Three a cascade of the student and of the branches, none of the teacher.
    assert bars(figure) == 3 * (3 + 2 + 1)
    assert "unet_cascade C3 (features 4)" in " ".join(words(figure))
    assert not overlapping(figure)
    both = scheme(networks={"teacher": other, "student": other})
    assert "3 x 3 convolutions" not in words(both)


def test_networks_without_blocks_are_a_box_each_and_have_no_branches() -> None:
    other = {"kind": "whole", "module": "of_ones_own"}
    figure = scheme(
        networks={"teacher": other, "student": other},
        recipes=["std_kd"],
        controls=["student_matched"],
    )
    assert blocks(figure) == {"teacher block": 1, "student block": 1}
    assert heading(figure).startswith("Heart: networks\n")
