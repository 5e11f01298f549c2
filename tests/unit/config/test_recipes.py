"""Recipes and starts: which teacher a student has, where it starts, and how long controls train."""

from __future__ import annotations

from typing import Any, get_args

import pytest

from pipeline_src.config import check_study
from pipeline_src.config.recipes import RECIPES, RecipeName
from pipeline_src.errors import InputError
from pipeline_src.planning.model_names import split_model_name
from pipeline_src.planning.plans import training_plan
from pipeline_src.planning.study_models import Models

CONTROLS = ["student_matched", "student_sft_start", "student_as_long"]
ALL = {"methods": {"at": {}}, "recipes": list(RECIPES), "controls": CONTROLS}


def models_of(tiny_study: dict[str, Any], **distillation: Any) -> Models:
    """All recipes and controls, one method."""
    return Models(check_study(tiny_study | ALL | {"distillation": distillation}))


def test_every_recipe_can_be_asked_for() -> None:
    assert set(get_args(RecipeName)) == set(RECIPES)


def test_the_four_recipes_are_the_four_combinations_of_teacher_and_start(
    tiny_study: dict[str, Any],
) -> None:
    models = models_of(tiny_study)
    found = {
        recipe: (models.teacher(f"{recipe}_at"), models.warm_start(f"{recipe}_at"))
        for recipe in RECIPES
    }
    assert found == {
        "std_kd": ("teacher", None),
        "sft_kd": ("sft_teacher", "sft_teacher"),
        "sft_teacher_only": ("sft_teacher", None),
        "sft_start_only": ("teacher", "sft_teacher"),
    }


@pytest.mark.parametrize("recipe", RECIPES)
def test_a_model_name_says_its_method_and_recipe(recipe: str) -> None:
    assert split_model_name(f"{recipe}_my_method") == ("my_method", recipe)


@pytest.mark.parametrize(
    ("start", "expected"),
    [
        ("recipe", {"sft_kd": "sft_blocks", "sft_start_only": "sft_blocks"}),
        ("sft_trained", {"sft_kd": "student", "sft_start_only": "student"}),
        ("random", {}),
        ("sft", dict.fromkeys(RECIPES, "sft_blocks")),
    ],
)
def test_start_says_what_each_recipe_starts_from(
    start: str, expected: dict[str, str], tiny_study: dict[str, Any]
) -> None:
    # Not by `Models`, which refuses recipes that a start for all leaves alike.
    study = check_study(tiny_study | ALL | {"distillation": {"start": start}})
    found = {recipe: training_plan(study, f"{recipe}_at", 0).warm_start for recipe in RECIPES}
    assert {recipe: kind for recipe, kind in found.items() if kind} == expected


def test_authors_start_is_one_student_trained_from_the_blocks_for_all_methods(
    tiny_study: dict[str, Any],
) -> None:
    models = models_of(tiny_study, start="sft_trained")
    assert "student_sft" in models.names()
    plan = models.plan("student_sft", 0)
    assert (plan.stages, plan.warm_start) == (["reconstruction"], "sft_blocks")
    assert models.warm_start("student_sft") == "sft_teacher"
    assert models.warm_start("sft_kd_at") == "student_sft"
    # The control that tells what distillation adds starts where the distilled students start.
    assert models.warm_start("student_sft_start") == "student_sft"
    # Of the training that yields two networks, it is the student; of a student, the one there is.
    assert models.warm_start_file("student_sft") == "student_weights.safetensors"
    assert models.warm_start_file("sft_kd_at") == "weights.safetensors"
    assert models.warm_start_file("student") is None
    assert "student_sft" not in models_of(tiny_study).names()


def test_a_variant_with_the_authors_start_trains_that_student_too(
    tiny_study: dict[str, Any],
) -> None:
    variant = {"v": {"set": {"distillation": {"start": "sft_trained"}}}}
    ablation = {"a": {"models": ["std_kd_at", "sft_kd_at"], "variants": variant}}
    models = Models(check_study(tiny_study | {"methods": {"at": {}}, "ablations": ablation}))
    assert models.ablated("a")["v"] == {"std_kd_at": "std_kd_at", "sft_kd_at": "sft_kd_at@a.v"}
    names = models.names()
    assert models.warm_start("sft_kd_at@a.v") == "student_sft"
    assert names.index("student_sft") < names.index("sft_kd_at@a.v")
    assert "student_sft" not in models.study.model_names()


@pytest.mark.parametrize(
    ("options", "stages"),
    [
        ({}, 3),
        ({"protocol": "joint"}, 2),
        ({"start": "sft_trained"}, 4),
        ({"protocol": "joint", "start": "sft_trained"}, 3),
    ],
)
def test_student_as_long_trains_for_as_many_stages_as_sft_and_its_students_together(
    options: dict[str, Any], stages: int, tiny_study: dict[str, Any]
) -> None:
    models = models_of(tiny_study, **options)
    plan = models.plan("student_as_long", 0)
    assert (len(plan.stages), plan.warm_start) == (stages, None)
    assert plan.stages[-1] == "reconstruction"

    def stages_behind(name: str | None) -> int:
        return len(models.plan(name, 0).stages) if name else 0

    start = models.warm_start("sft_kd_at")
    before = stages_behind(start) + stages_behind(start and models.warm_start(start))
    assert before + stages_behind("sft_kd_at") == stages


def test_a_weight_that_weighs_nothing_is_refused_with_the_way_out(
    tiny_study: dict[str, Any],
) -> None:
    methods = {"methods": {"at": {"weight": 3}}}
    with pytest.raises(InputError, match=r"methods\.at\.weight: 3 .* use the joint protocol"):
        check_study(tiny_study | methods)
    study = check_study(tiny_study | methods | {"distillation": {"protocol": "joint"}})
    plan = Models(study).plan("std_kd_at", 0)
    assert plan.distillation is not None
    assert plan.distillation.loss.weight == 3


def test_gradient_ratio_defines_nothing_where_nothing_is_balanced(
    tiny_study: dict[str, Any],
) -> None:
    def plan(ratio: float, protocol: str) -> object:
        return models_of(tiny_study, protocol=protocol, gradient_ratio=ratio).plan("std_kd_at", 0)

    assert plan(2, "two_stage") == plan(1, "two_stage")
    assert plan(2, "joint") != plan(1, "joint")


def test_a_plan_has_the_studys_teacher_and_selects_after_features_as_asked(
    tiny_study: dict[str, Any],
) -> None:
    models = models_of(tiny_study, feature_stage_selection="last")
    plan = models.plan("sft_kd_at", 0)
    assert plan.distillation is not None
    assert plan.distillation.teacher == models.study.networks.teacher != plan.network
    assert plan.selections == {"features": "last", "reconstruction": "best"}


def test_a_method_may_have_recipes_of_its_own(tiny_study: dict[str, Any]) -> None:
    methods = {"methods": {"at": {"recipes": ["std_kd", "sft_start_only"]}, "cc": {}}}
    study = check_study(tiny_study | methods)
    assert study.distilled_names() == ["std_kd_at", "sft_start_only_at", "std_kd_cc", "sft_kd_cc"]
    plain = check_study(tiny_study | {"methods": {"at": {}}})
    assert Models(study).plan("std_kd_at", 0) == Models(plain).plan("std_kd_at", 0)
    with pytest.raises(InputError, match=r"methods\.at\.recipes: std_kd is listed twice"):
        check_study(tiny_study | {"methods": {"at": {"recipes": ["std_kd", "std_kd"]}}})
