"""Which models the pictures show."""

from __future__ import annotations

from typing import Any

import pytest
from reporting_helpers import study_with

from pipeline_src.planning.shown import (
    curves_models,
    domain_ablation,
    domain_models,
    shown_methods,
    shown_models,
)

OTHERS = ["teacher", "sft_teacher", "student"]
FEATURES = {"set": {"sft": {"imitation_domain": "features"}}}


def ablation(models: list[str], **variants: Any) -> dict[str, Any]:
    return {"models": models, "variants": variants}


def test_panels_show_the_first_method_and_curves_attention_transfer_as_the_paper() -> None:
    study = study_with()
    assert shown_models(study) == [*OTHERS, "std_kd_fitnets", "sft_kd_fitnets"]
    assert curves_models(study) == [*OTHERS, "std_kd_at", "sft_kd_at"]


def test_curves_of_a_study_without_attention_transfer_show_the_first_method() -> None:
    study = study_with(methods={"cc": {}, "sp": {}})
    assert curves_models(study) == shown_models(study) == [*OTHERS, "std_kd_cc", "sft_kd_cc"]


def test_methods_that_are_chosen_are_shown_in_both() -> None:
    study = study_with(evaluation={"panel_methods": ["sp", "cc"]})
    students = ["std_kd_sp", "sft_kd_sp", "std_kd_cc", "sft_kd_cc"]
    assert curves_models(study) == shown_models(study) == [*OTHERS, *students]


def test_recipes_beyond_the_papers_are_shown_where_a_method_has_no_other() -> None:
    recipes = ["std_kd", "sft_start_only"]
    own = {"at": {"recipes": ["sft_teacher_only"]}, "sp": {}}
    study = study_with(recipes=recipes, methods=own, evaluation={"panel_methods": ["at", "sp"]})
    assert shown_models(study) == [*OTHERS, "sft_teacher_only_at", "std_kd_sp"]


@pytest.mark.parametrize(
    "values", [{"methods": {}}, {"recipes": []}, {"methods": {}, "evaluation": {}}]
)
def test_a_study_that_distils_nothing_has_no_student_to_show(values: dict[str, Any]) -> None:
    study = study_with(**values)
    assert shown_models(study) == curves_models(study) == OTHERS
    assert not shown_methods(study)


def test_a_method_without_students_is_passed_over() -> None:
    study = study_with(recipes=[], methods={"cc": {}, "sp": {"recipes": ["sft_kd"]}})
    assert shown_methods(study) == ["sp"]


def test_the_ablation_of_domains_is_found_by_what_it_changes() -> None:
    study = study_with(
        ablations={
            "other": ablation(["sft_teacher"], one={"set": {"sft": {"branches": 1}}}),
            "where": ablation(["sft_teacher", "sft_kd_at", "std_kd_at"], inside=FEATURES),
        }
    )
    assert domain_ablation(study) == "where"
    assert domain_models(study, "where") == [
        "sft_teacher",
        "sft_teacher@where.inside",
        "sft_kd_at",
        "sft_kd_at@where.inside",
        # Untouched by the change, and so trained once.
        "std_kd_at",
    ]


def test_an_ablation_whose_models_do_not_change_with_the_domain_shows_nothing() -> None:
    assert domain_ablation(study_with()) is None
    assert domain_ablation(study_with(ablations={"a": ablation(["student"], b=FEATURES)})) is None
