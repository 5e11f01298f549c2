"""Variants of a part of a study: what they need besides, and what their presets leave alone."""

from __future__ import annotations

from typing import Any

from pipeline_src.config import check_study
from pipeline_src.config.setting import Setting
from pipeline_src.planning.study_models import Models

OWN, PLAIN = {"module": "own_loss"}, {"kind": "dc_cnn"}


def models_of(study: dict[str, Any], change: dict[str, Any], model: str, **values: Any) -> Models:
    """One model in one ablation `a` of one variant `v`."""
    ablation = {"models": [model], "variants": {"v": {"set": change}}}
    given = {"methods": {"at": {}}, "ablations": {"a": ablation | values.pop("ablation", {})}}
    return Models(check_study(study | given | values))


def test_a_student_is_trained_anew_for_its_teacher_alone(tiny_study: dict[str, Any]) -> None:
    """It starts at random, so that nothing else of it is another."""
    recipes = {"recipes": ["std_kd", "sft_teacher_only"]}
    change = {"sft": {"student_weight": 0}}
    models = models_of(tiny_study, change, "sft_teacher_only_at", **recipes)
    assert models.warm_start("sft_teacher_only_at@a.v") is None
    assert models.resolve("sft_teacher_only_at@a.v") == "sft_teacher_only_at@a.v"
    assert models.resolve("std_kd_at@a.v") == "std_kd_at"


def test_what_a_variants_start_was_trained_from_is_trained_before_it(
    tiny_study: dict[str, Any],
) -> None:
    """Of three trainings in a row the ablation has the last alone."""
    change = {"sft": {"student_weight": 0}, "distillation": {"start": "sft_trained"}}
    names = models_of(tiny_study, change, "student_sft_start").names()
    row = ["sft_teacher@a.v", "student_sft@a.v", "student_sft_start@a.v"]
    assert [name for name in names if "@" in name] == row


def test_a_variant_is_trained_in_the_settings_of_its_ablation_alone(
    tiny_study: dict[str, Any],
) -> None:
    models = models_of(
        tiny_study,
        {"training": {"epochs": 5}},
        "student",
        accelerations=[2, 4],
        ablation={"accelerations": [4]},
    )
    anew = {a: "student@a.v" in models.names(Setting("heads", a)) for a in ("2x", "4x")}
    assert anew == {"2x": False, "4x": True}
    assert all("student" in models.names(Setting("heads", a)) for a in ("2x", "4x"))


def test_modules_that_a_variant_alone_names_are_known(tiny_study: dict[str, Any]) -> None:
    models = models_of(tiny_study, {"methods": {"at": OWN}}, "std_kd_at")
    found = [(one.kind, one.name, one.module, one.key) for one in models.named_modules()]
    assert found == [("method", "at", "own_loss", "methods.at.module")]


def test_a_variants_preset_is_for_the_papers_methods(
    tiny_study: dict[str, Any],
) -> None:
    methods = {"methods": {"at": {}, "own": OWN}}
    models = models_of(tiny_study, {"preset": "paper"}, "student", **methods)
    found = models.study_of("student@a.v").methods
    assert (found["at"].form, found["own"].form) == ("original", None)


def test_a_variants_preset_is_for_the_networks_of_the_variant(tiny_study: dict[str, Any]) -> None:
    """It sets the padding, which networks of another kind do not have."""
    unet = {"kind": "unet_cascade", "cascades": 5, "options": {"features": 2, "levels": 1}}
    unets, dc_cnns = (dict.fromkeys(("teacher", "student"), one) for one in (unet, PLAIN))
    change = {"preset": "authors", "networks": unets}
    networks = models_of(tiny_study, change, "student").study_of("student@a.v").networks
    assert networks.student.model_dump(exclude_none=True) == unet
    change = {"preset": "paper", "networks": dc_cnns}
    models = models_of(tiny_study, change, "student", networks=unets)
    networks = models.study_of("student@a.v").networks
    assert networks.student.model_dump()["padding"] == 0
