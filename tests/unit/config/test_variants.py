"""Variants of a study: what each trains anew, and the names of its models."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from pipeline_src.cli import main
from pipeline_src.config import check_study, load_study
from pipeline_src.errors import InputError
from pipeline_src.planning.model_names import split_variant
from pipeline_src.planning.study_models import Models

CONTROLS = {"student_matched", "student_sft_start"}
MODELS = [
    "teacher",
    "sft_teacher",
    "student",
    *sorted(CONTROLS),
    "std_kd_at",
    "sft_kd_at",
    "std_kd_sp",
    "sft_kd_sp",
]
#: Without models that a start for all would leave without a counterpart.
WITHOUT: dict[str, Any] = {"controls": [], "ablations": {}}


def models_with(study: dict[str, Any], change: dict[str, Any], **values: Any) -> Models:
    """The models of a study with AT and SP and one ablation `a` of one variant `v`."""
    ablation = {"models": MODELS, "variants": {"v": {"set": change}}}
    given = {"methods": {"at": {}, "sp": {}}, "ablations": {"a": ablation}}
    return Models(check_study(study | given | values))


def trained_anew(models: Models) -> set[str]:
    """The models that variant `v` trains anew; the others stand under their own names."""
    row = models.ablated("a")["v"]
    assert list(row) == MODELS
    assert all(name in (model, f"{model}@a.v") for model, name in row.items())
    return {model for model, name in row.items() if name != model}


SFT_TEACHER_AND_ITS_STUDENTS = {"sft_teacher", "student_sft_start", "sft_kd_at", "sft_kd_sp"}
DISTILLED = {"std_kd_at", "sft_kd_at", "std_kd_sp", "sft_kd_sp"}

CHANGES: dict[str, tuple[dict[str, Any], set[str]]] = {
    "nothing": ({}, set()),
    "equal value": ({"sft": {"student_weight": 1.0}}, set()),
    "SFT weight": ({"sft": {"student_weight": 0}}, SFT_TEACHER_AND_ITS_STUDENTS),
    "branches": ({"sft": {"branches": 2}}, SFT_TEACHER_AND_ITS_STUDENTS),
    "domain": ({"sft": {"imitation_domain": "features"}}, SFT_TEACHER_AND_ITS_STUDENTS),
    "form of one method": (
        {"methods": {"at": {"form": "original"}}},
        {"std_kd_at", "sft_kd_at"},
    ),
    "protocol": ({"distillation": {"protocol": "joint"}}, DISTILLED | CONTROLS),
    "teacher": (
        {"networks": {"teacher": {"depth": 4}}},
        {"teacher", "sft_teacher", "student_sft_start"} | DISTILLED,
    ),
    "student": (
        {"networks": {"student": {"depth": 2}}},
        {"student", "sft_teacher"} | DISTILLED | CONTROLS,
    ),
    "training": ({"training": {"epochs": 2}}, set(MODELS)),
    "preset": (
        {"preset": "paper"},
        {"sft_teacher"} | DISTILLED | CONTROLS,
    ),
    "preset with padding": ({"preset": "authors"}, set(MODELS)),
}


@pytest.mark.parametrize("case", CHANGES)
def test_a_variant_trains_anew_what_it_changes_and_what_is_distilled_from_that(
    case: str, tiny_study: dict[str, Any]
) -> None:
    change, expected = CHANGES[case]
    models = models_with(tiny_study, change)
    assert trained_anew(models) == expected
    # And the student that others start from in the authors' code, where the variant has it.
    started = {n for n in models.names() if n.startswith("student_sft@")}
    assert bool(started) == (change.get("preset") == "authors")
    assert set(models.names()) == set(MODELS) | {f"{model}@a.v" for model in expected} | started


@pytest.mark.parametrize(
    ("start", "expected"),
    [
        ("random", {"sft_kd_at", "sft_kd_sp"}),
        ("sft", {"std_kd_at", "std_kd_sp"}),
        ("recipe", set()),
    ],
)
def test_a_start_trains_only_those_anew_that_started_elsewhere(
    start: str, expected: set[str], tiny_study: dict[str, Any]
) -> None:
    models = models_with(tiny_study, {"distillation": {"start": start}})
    assert trained_anew(models) == expected


def test_a_student_is_trained_anew_for_its_teacher_although_its_plan_is_equal(
    tiny_study: dict[str, Any],
) -> None:
    models = models_with(tiny_study, {"sft": {"student_weight": 0}})
    assert models.plan("sft_kd_at@a.v", 3) == models.plan("sft_kd_at", 3)
    assert models.plan("sft_teacher@a.v", 3) != models.plan("sft_teacher", 3)
    assert models.resolve("sft_kd_at@a.v") == "sft_kd_at@a.v"
    assert models.teacher("sft_kd_at@a.v") == models.warm_start("sft_kd_at@a.v")
    assert models.teacher("sft_kd_at@a.v") == "sft_teacher@a.v"
    assert models.teacher("std_kd_at@a.v") == "teacher"


@pytest.mark.parametrize("start", ["recipe", "random", "sft"])
@pytest.mark.parametrize("recipe", ["std_kd", "sft_kd"])
@pytest.mark.parametrize("place", ["study", "variant"])
def test_teacher_follows_the_recipe_and_the_warm_start_follows_the_option(
    start: str, recipe: str, place: str, tiny_study: dict[str, Any]
) -> None:
    option = {"distillation": {"start": start}}
    if place == "study":
        models, name = models_with(tiny_study, {}, **WITHOUT, **option), f"{recipe}_at"
    else:
        models, name = models_with(tiny_study, option), f"{recipe}_at@a.v"
    warm = start == "sft" or (start == "recipe" and recipe == "sft_kd")
    assert models.teacher(name) == ("teacher" if recipe == "std_kd" else "sft_teacher")
    assert models.warm_start(name) == ("sft_teacher" if warm else None)
    assert models.plan(name, 0).warm_start == ("sft_blocks" if warm else None)


@pytest.mark.parametrize(
    ("start", "changed", "message"),
    [
        ("random", {}, "controls: student_sft_start starts otherwise than every distilled"),
        ("sft", {}, "controls: student_matched starts otherwise than every distilled"),
        ("random", {**WITHOUT, "recipes": ["sft_kd", "sft_teacher_only"]}, "recipes: sft_te"),
        (
            "sft",
            {**WITHOUT, "recipes": ["std_kd", "sft_start_only"]},
            "recipes: sft_start",
        ),
    ],
)
def test_a_start_for_all_leaves_no_control_or_recipe_that_differs_in_the_start(
    start: str, changed: dict[str, Any], message: str, tiny_study: dict[str, Any]
) -> None:
    with pytest.raises(InputError, match=f"^{message}"):
        models_with(tiny_study, {}, distillation={"start": start}, **changed)
    # A row of an ablation compares neither.
    models_with(tiny_study, {"distillation": {"start": start}})


@pytest.mark.parametrize("model", ["teacher", "sft_teacher", "student", "student_matched"])
def test_models_that_are_not_distilled_have_neither_teacher_nor_warm_start(
    model: str, tiny_study: dict[str, Any]
) -> None:
    models = models_with(tiny_study, {"training": {"epochs": 3}})
    for name in (model, f"{model}@a.v"):
        assert models.teacher(name) is None
        assert models.warm_start(name) is None


def test_a_variant_changes_the_given_keys_and_keeps_the_others(tiny_study: dict[str, Any]) -> None:
    models = models_with(
        tiny_study,
        {"sft": {"branches": 2}, "methods": {"sp": {"cascades": [1]}}},
        sft={"imitation_weight": 3.0},
        networks={"teacher": {"depth": 6}, "student": {"features": 32}},
    )
    study = models.study_of("student@a.v")
    assert (study.sft.branches, study.sft.imitation_weight) == (2, 3.0)
    assert (study.networks.teacher.depth, study.networks.student.depth) == (6, 3)
    assert study.methods["sp"].cascades == [1]
    assert study.methods["at"].cascades is None
    assert models.study_of("student") is models.study
    assert models.study.sft.branches is None


def test_a_study_with_masks_and_ranges_is_the_same_in_a_variant(
    tiny_study: dict[str, Any],
) -> None:
    tiny_study["datasets"]["heads"] |= {"masks": {4: "mask.npy"}}
    tiny_study["datasets"]["heads"]["preparation"]["slices"] = {"start": 0, "step": 2}
    models = models_with(tiny_study, {"sft": {"branches": 1}})
    assert models.study_of("student@a.v").datasets == models.study.datasets
    assert models.study.datasets["heads"].masks == {4: "mask.npy"}


# Presets in studies and variants.


def test_a_preset_in_a_variant_sets_its_options_over_the_studys(
    tiny_study: dict[str, Any],
) -> None:
    padded = {"teacher": {"padding": 3}, "student": {"padding": 3}}
    models = models_with(tiny_study, {"preset": "paper"}, networks=padded)
    study = models.study_of("teacher@a.v")
    assert {method.form for method in study.methods.values()} == {"original"}
    assert list(study.methods) == ["at", "sp"]
    assert study.distillation.protocol == "joint"
    assert study.sft.imitation_normalisation == "mean"
    assert (study.networks.teacher.padding, study.networks.student.padding) == (0, 0)
    assert study.networks.teacher.depth == 5
    assert trained_anew(models) == set(MODELS)


@pytest.mark.parametrize(
    ("of_study", "of_variant"), [("authors", "paper"), ("paper", "authors"), (None, "paper")]
)
def test_a_variant_may_have_another_preset_than_the_study(
    of_study: str | None, of_variant: str, tiny_study: dict[str, Any]
) -> None:
    models = models_with(tiny_study, {"preset": of_variant}, preset=of_study)
    found = models.study_of("student@a.v")
    wanted = check_study(
        tiny_study | {"methods": {"at": {}, "sp": {}}, "preset": of_variant}
    ).model_dump()
    for section in ("networks", "sft", "methods", "distillation", "training"):
        assert found.model_dump()[section] == wanted[section]


def test_a_variant_may_change_what_the_studys_preset_set(tiny_study: dict[str, Any]) -> None:
    change = {"sft": {"imitation_normalisation": "mean"}}
    models = models_with(tiny_study, change, preset="authors")
    study = models.study_of("student@a.v")
    assert study.sft.imitation_normalisation == "mean"
    assert study.networks.student.padding == 5
    assert trained_anew(models) == SFT_TEACHER_AND_ITS_STUDENTS


# Names.


def test_names_of_the_shipped_ablations(project_root: Path) -> None:
    models = Models(load_study(project_root / "config" / "ablations.yaml"))
    names = models.names()
    own = list(models.study.model_names())
    assert names[: len(own)] == own
    for variant in (
        "sft_terms.teacher_only",
        "sft_terms.teacher_student",
        "sft_terms.teacher_imitation",
        "imitation_weight.mean_01",
        "imitation_weight.mean_1",
        "imitation_weight.mean_10",
        "domain.image",
        "domain.features",
        "branches.one",
        "branches.two",
        "branches.three",
    ):
        found = {name for name in names if name.endswith(f"@{variant}")}
        assert found == {f"sft_teacher@{variant}", f"sft_kd_fitnets@{variant}"}
    methods = ("fitnets", "at", "cc", "fsp", "sp")
    distilled = {f"{recipe}_{m}" for m in methods for recipe in ("std_kd", "sft_kd")}
    expected = {
        "padding": {"teacher", "sft_teacher"} | distilled,
        "joint": distilled,
        "last": distilled,
        "imitation_mean": {"sft_teacher"} | {f"sft_kd_{m}" for m in methods},
        "original": distilled,
        "paper": {"sft_teacher"} | distilled,
    }
    for variant, changed in expected.items():
        ending = f"@reading.{variant}"
        found = {name.removesuffix(ending) for name in names if name.endswith(ending)}
        assert found == changed


def test_names_of_the_shipped_ablation_of_teacher_and_start(project_root: Path) -> None:
    names = Models(load_study(project_root / "config" / "ablations.yaml")).names()
    found = {name for name in names if "@teacher_or_start." in name}
    assert found == {
        "sft_kd_fitnets@teacher_or_start.random",
        "sft_kd_at@teacher_or_start.random",
        "std_kd_fitnets@teacher_or_start.sft",
        "std_kd_at@teacher_or_start.sft",
    }


@pytest.mark.parametrize("case", ["shipped", *CHANGES])
def test_every_listed_model_has_what_it_is_trained_from_listed_too(
    case: str, tiny_study: dict[str, Any], project_root: Path
) -> None:
    if case == "shipped":
        models = Models(load_study(project_root / "config" / "ablations.yaml"))
    else:
        # Students alone are asked for; what they need must come by itself.
        change = CHANGES[case][0]
        ablation = {"models": ["std_kd_at", "sft_kd_sp"], "variants": {"v": {"set": change}}}
        models = models_with(tiny_study, change, ablations={"a": ablation})
    names = models.names()
    assert len(names) == len(set(names))
    for name in names:
        for needed in (models.teacher(name), models.warm_start(name)):
            assert needed is None or needed in names
        # Each is trained under its shortest name, and has a plan.
        assert models.resolve(name) == name
        assert models.plan(name, 1).seed == 1
        assert models.plan(name, 1).model == split_variant(name)[0]


def test_a_study_without_ablations_lists_its_own_models(tiny_study: dict[str, Any]) -> None:
    study = check_study(tiny_study)
    assert Models(study).names() == study.model_names()


def test_the_same_change_in_two_variants_is_trained_for_each(tiny_study: dict[str, Any]) -> None:
    change = {"set": {"sft": {"branches": 1}}}
    ablation = {"models": ["sft_teacher"], "variants": {"v": change, "w": change}}
    names = models_with(tiny_study, {}, ablations={"a": ablation}).names()
    assert [n for n in names if "@" in n] == ["sft_teacher@a.v", "sft_teacher@a.w"]


def test_unknown_models_and_variants_are_refused_in_one_line(tiny_study: dict[str, Any]) -> None:
    models = models_with(tiny_study, {})
    for name, said in (
        ("sft_kd_crd", "'sft_kd_crd' is not in the study"),
        ("sft_kd_crd@a.v", "'sft_kd_crd' is not in the study"),
        ("student@a.w", "no variant 'a.w'; variants: a.v"),
        ("student@b.v", "no variant 'b.v'; variants: a.v"),
    ):
        with pytest.raises(InputError, match=said.replace(".", r"\.")):
            models.plan(name, 0)
    with pytest.raises(InputError, match=r"variants: none$"):
        Models(check_study(tiny_study)).plan("student@a.v", 0)


def test_check_counts_the_trainings_of_ablations(
    tiny_study: dict[str, Any], write_config: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    variants = {"one": {"set": {"sft": {"branches": 1}}}, "same": {"set": {}}}
    tiny_study |= {"methods": {"at": {}}, "seeds": [0, 1]}
    tiny_study["ablations"] = {"a": {"models": ["sft_kd_at"], "variants": variants}}
    assert main(["check", "--config", str(write_config(tiny_study))]) == 0
    # Three networks, two controls, AT from either teacher, and the SFT teacher and its student with
    # one branch.
    assert "models per setting: 9, seeds: 2; 18 trainings" in capsys.readouterr().out
