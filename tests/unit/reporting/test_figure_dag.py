"""The steps of a study: what waits for what, and boxes that hold their text."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from figure_helpers import overlapping, words
from matplotlib.figure import Figure
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch
from numpy.typing import NDArray
from reporting_helpers import study_with

from pipeline_src.config.recipes import RECIPES
from pipeline_src.planning.study_models import Models
from pipeline_src.reporting.figures.dag import Node, draw, nodes_of

pytestmark = pytest.mark.usefixtures("styled")

CONTROLS = ["student_matched", "student_sft_start", "student_as_long"]


def nodes(**values: Any) -> list[Node]:
    return nodes_of(Models(study_with(controls=CONTROLS, **values)))


def column(found: list[Node], name: str) -> list[str]:
    return [node.key for node in found if node.column == name]


def text_beyond_its_box(figure: Figure) -> list[str]:
    figure.draw_without_rendering()
    (axis,) = figure.axes
    boxes = [p.get_window_extent() for p in axis.patches if isinstance(p, FancyBboxPatch)]
    places = {text.get_text(): text.get_window_extent() for text in axis.texts}
    return [
        text
        for text, place in places.items()
        if not any(box.x0 <= place.x0 and place.x1 <= box.x1 for box in boxes)
    ]


def test_a_student_that_others_start_from_follows_its_source() -> None:
    found = nodes(preset="authors")
    assert column(found, "first")[:3] == ["teacher", "sft_teacher", "student_sft"]
    assert "student_sft_start" in column(found, "second")


def test_students_of_the_same_sources_stand_together() -> None:
    found = nodes(recipes=list(RECIPES), methods={"at": {}, "sp": {}})
    second = column(found, "second")
    for recipe in RECIPES:
        places = [k for k, name in enumerate(second) if name.startswith(f"{recipe}_")]
        assert places == [places[0], places[0] + 1]
    # From those that wait for the teacher alone to those that wait for the SFT teacher alone.
    assert second.index("std_kd_sp") < second.index("sft_start_only_at") < second.index("sft_kd_at")


@pytest.mark.parametrize("preset", [None, "authors"])
def test_every_box_holds_its_text(preset: str | None) -> None:
    own = "a_method_of_ones_own_with_a_name_that_no_box_of_the_figure_holds"
    methods = {"at": {}, own: {"module": "pipeline_src.distillation.losses.at"}}
    figure = draw(nodes(preset=preset, recipes=list(RECIPES), methods=methods), "Steps")
    assert text_beyond_its_box(figure) == []
    assert overlapping(figure) == []
    assert any(text.endswith("\N{HORIZONTAL ELLIPSIS}") for text in words(figure))


def points_of(line: Any, steps: int = 200) -> NDArray[np.float64]:
    """Points along a line or an arrow, in pixels."""
    found = []
    in_pixels = line.get_path().transformed(line.axes.transData)
    for corners in in_pixels.to_polygons(closed_only=False):
        along = np.linspace(0, len(corners) - 1, steps * (len(corners) - 1))
        found += [np.interp(along, np.arange(len(corners)), side) for side in corners.T]
    return np.stack([np.concatenate(found[0::2]), np.concatenate(found[1::2])], 1)


def lines_over_boxes(figure: Figure) -> list[str]:
    """Lines that touch a box other than those at their ends."""
    figure.draw_without_rendering()
    (axis,) = figure.axes
    boxes = [p for p in axis.patches if isinstance(p, FancyBboxPatch)]
    arrows = [p for p in axis.patches if isinstance(p, FancyArrowPatch)]
    places = {str(box.get_gid()): box.get_window_extent().get_points() for box in boxes}
    # One that has corners is drawn as a line and an arrow.
    lines = [(str(line.get_gid()), points_of(line)) for line in (*arrows, *axis.lines)]
    assert {key for ends, _ in lines for key in ends.split()} == set(places)
    return [
        f"{ends} over {key}"
        for ends, points in lines
        for key, (low, high) in places.items()
        if key not in ends.split() and ((low < points) & (points < high)).all(axis=1).any()
    ]


@pytest.mark.parametrize("preset", [None, "paper", "authors"])
@pytest.mark.parametrize("recipes", [["std_kd", "sft_kd"], list(RECIPES)])
def test_no_line_touches_a_box_that_it_does_not_belong_to(
    preset: str | None, recipes: list[str]
) -> None:
    doubled = {"title": "twice", "set": {"sft": {"imitation_weight": 2}}}
    own = {"models": ["sft_teacher"], "variants": {"twice": doubled}}
    for methods in ({"at": {}}, {"at": {}, "cc": {}, "fitnets": {}, "fsp": {}, "sp": {}}):
        for ablations in ({}, {"weight": own}):
            values = {"preset": preset, "recipes": recipes, "methods": methods}
            assert lines_over_boxes(draw(nodes(**values, ablations=ablations), "Steps")) == []


def test_lines_are_what_steps_wait_for() -> None:
    """Models of ablations wait for what they are made from; all models end in the evaluation."""
    doubled = {"title": "twice", "set": {"sft": {"imitation_weight": 2}}}
    own = {"models": ["sft_teacher"], "variants": {"twice": doubled}}
    found = {node.key: node for node in nodes(ablations={"weight": own})}
    assert found["variants"].needs == ("prepare", "mask")
    assert found["variants"].column == "first"
    slower = {"title": "slower", "set": {"distillation": {"protocol": "joint"}}}
    own = {"models": ["std_kd_at"], "variants": {"joint": slower}}
    found = {node.key: node for node in nodes(ablations={"protocol": own})}
    assert found["variants"].needs == ("teacher",)
    # What nothing else waits for is waited for by the evaluation.
    waited = {key for node in found.values() for key in node.needs}
    assert set(found) - waited == {"page"}
