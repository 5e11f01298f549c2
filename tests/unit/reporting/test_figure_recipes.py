"""The scheme of the recipes: stages, starts and teachers as the trainings' plans have them."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from figure_helpers import configuration, cut_off, overlapping
from matplotlib.figure import Figure
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch
from reporting_helpers import METHODS, study_with

from pipeline_src.config.recipes import RECIPES
from pipeline_src.errors import InputError
from pipeline_src.reporting.figures.recipes import Shown, draw, from_files, shown_recipes

pytestmark = pytest.mark.usefixtures("styled")

ALL = list(RECIPES)


def shown(**values: Any) -> dict[str, Shown]:
    return {one.recipe: one for one in shown_recipes(study_with(**values))}


def drawn(figure: Figure) -> Counter[str]:
    """Boxes and arrows by what they are."""
    (axis,) = figure.axes
    found = [p for p in axis.patches if isinstance(p, FancyArrowPatch | FancyBboxPatch)]
    return Counter(str(patch.get_gid()) for patch in found if patch.get_gid())


def test_the_papers_two_recipes() -> None:
    std, sft = shown().values()
    assert (std.recipe, sft.recipe) == ("std_kd", "sft_kd")
    assert std.trainings == {
        "standard": [
            "Teacher D5C5",
            "141,765 parameters",
            "trained on reconstruction",
            "150 epochs",
        ]
    }
    assert std.start == ["Start", "random weights"]
    assert (std.starts_from, sft.starts_from) == ("", "sft")
    assert list(sft.trainings) == ["sft"]
    assert "with 4 branches of student D3C5:" in sft.trainings["sft"]
    assert sft.start[1] == "blocks 2 to 5 from the SFT branches, block 1 random"
    assert sft.used[:2] == ["Student D3C5", "49,285 parameters"]
    features, reconstruction = std.stages
    assert features == (
        ["Stage 1", "feature loss of FitNets", "alone", "150 epochs", "best weights kept"],
        True,
    )
    # The teacher has no part in it.
    assert reconstruction == (
        ["Stage 2", "reconstruction", "150 epochs", "best weights kept"],
        False,
    )


def test_where_start_and_teacher_differ_both_trainings_are_drawn() -> None:
    recipes = shown(recipes=ALL)
    assert list(recipes) == ALL
    assert list(recipes["sft_start_only"].trainings) == ["standard", "sft"]
    assert list(recipes["sft_teacher_only"].trainings) == ["sft"]
    assert recipes["sft_teacher_only"].starts_from == ""
    figure = draw(list(recipes.values()), "Heart")
    assert drawn(figure) == {
        "training standard": 2,
        "training sft": 3,
        "start": 4,
        "stage": 8,
        "used": 4,
        "teaches": 4,
        "starts": 2,
    }


@pytest.mark.parametrize(
    ("start", "from_sft"),
    [("recipe", [False, True]), ("random", [False, False]), ("sft", [True, True])],
)
def test_the_start_is_the_configured_one(start: str, from_sft: list[bool]) -> None:
    found = shown(distillation={"start": start}, controls=[]).values()
    assert [bool(one.starts_from) for one in found] == from_sft
    # A student of the standard teacher that starts from SFT hangs on both trainings.
    assert [len(one.trainings) for one in found] == [2 if start == "sft" else 1, 1]


def test_the_authors_warm_start_is_a_stage_of_its_own() -> None:
    sft = shown(preset="authors", training={"epochs": 7})["sft_kd"]
    assert sft.start[2:] == ["then a stage on reconstruction, all blocks", "7 epochs"]


def test_the_joint_protocol_has_one_stage_with_its_weights() -> None:
    chosen = {"panel_methods": ["at", "sp", "cc"]}
    methods = {"at": {"weight": 0.5}, "sp": {}, "cc": {}}
    distillation = {"protocol": "joint", "gradient_ratio": 2.0, "imitation_weight": 0.1}
    one = shown(evaluation=chosen, methods=methods, distillation=distillation)["std_kd"]
    ((texts, needs),) = one.stages
    assert needs
    times = "\N{MULTIPLICATION SIGN}"
    assert texts[:3] == [
        "One stage",
        f"reconstruction + feature loss of AT, SP, CC + 0.1 {times} imitation of the teacher",
        f"AT: weight 0.5; SP, CC: feature gradient 2 {times} reconstruction's at the start",
    ]


def test_imitation_in_the_second_stage_needs_the_teacher_too() -> None:
    one = shown(distillation={"imitation_weight": 0.5, "feature_stage_selection": "last"})
    stages = one["std_kd"].stages
    assert [needs for _, needs in stages] == [True, True]
    assert [texts[-1] for texts, _ in stages] == ["last weights kept", "best weights kept"]


def test_methods_stand_with_the_recipes_that_they_have() -> None:
    methods = {"at": {"recipes": ["sft_kd", "sft_start_only"]}, "sp": {}}
    found = shown(methods=methods, evaluation={"panel_methods": ["at", "sp"]})
    assert {recipe: one.methods for recipe, one in found.items()} == {
        "std_kd": ["sp"],
        "sft_kd": ["at", "sp"],
        "sft_start_only": ["at"],
    }


@pytest.mark.parametrize("preset", ["paper", "authors"])
@pytest.mark.parametrize("cascades", [2, 10])
def test_nothing_overlaps_with_every_recipe_and_method(preset: str, cascades: int) -> None:
    own = "a_method_of_ones_own_with_a_name_that_no_box_of_the_figure_holds"
    methods = {name: {} for name in METHODS}
    methods[own] = {"module": "pipeline_src.distillation.losses.at"}
    size = {role: {"depth": 10, "cascades": cascades} for role in ("teacher", "student")}
    study = study_with(
        preset=preset,
        recipes=ALL,
        methods=methods,
        networks=size,
        evaluation={"panel_methods": [own, *METHODS]},
        distillation={"imitation_weight": 0.1},
    )
    figure = draw(shown_recipes(study), "A long title of a study of many words " * 5)
    assert overlapping(figure) == []
    assert cut_off(figure) == []


def test_a_study_that_distils_nothing_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"config\.yaml: distils no student"):
        from_files(configuration(tmp_path, methods={}), "Heart")
