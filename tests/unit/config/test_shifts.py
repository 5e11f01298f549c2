"""The section `robustness`: which shifts it asks for, their names, and what it refuses."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any, get_args

import pytest

from pipeline_src.config import Study, check_study
from pipeline_src.config.robustness import shifts_of, tried_models
from pipeline_src.config.setting import Setting
from pipeline_src.config.shifts import FAMILIES, Family, Shift
from pipeline_src.errors import InputError
from pipeline_src.planning.places import Places
from pipeline_src.planning.reported import of_study
from pipeline_src.planning.study_models import Models

EVERYTHING: dict[str, Any] = {
    "mask_seeds": 2,
    "families": list(FAMILIES),
    "accelerations": [2, 4, 8],
    "noise": [0.01, 0.5],
    "scales": [0.5, 2],
    "datasets": ["hearts"],
}
HEADS = Setting("heads", "4x")


def study_with(tiny_study: dict[str, Any], **robustness: Any) -> Study:
    hearts = copy.deepcopy(tiny_study["datasets"]["heads"])
    hearts["source"]["anatomy"] = "cardiac"
    datasets = {**tiny_study["datasets"], "hearts": hearts}
    return check_study(tiny_study | {"datasets": datasets, "robustness": robustness})


def test_nothing_is_tried_unless_it_is_asked_for(tiny_study: dict[str, Any]) -> None:
    study = check_study(tiny_study)
    assert study.robustness is None
    assert shifts_of(study, HEADS) == tried_models(study) == Places(study).under_shifts() == []
    assert "robustness" not in of_study(study).tables + of_study(study).kinds


def test_families_are_listed_once(project_root: Path) -> None:
    schema = json.loads((project_root / "workflow/schemas/config.schema.json").read_text())
    listed = schema["$defs"]["Robustness"]["properties"]["families"]["items"]["enum"]
    assert listed == list(get_args(Family)) == list(FAMILIES)
    written = (project_root / "pipeline_src/config/shifts.py").read_text()
    assert [written.count(f'"{family}"') for family in FAMILIES] == [1] * len(FAMILIES)


def test_every_shift_has_a_name_that_leads_back_to_it(tiny_study: dict[str, Any]) -> None:
    study = study_with(tiny_study, **EVERYTHING)
    shifts = shifts_of(study, HEADS)
    assert [shift.name for shift in shifts] == [
        *("seed_1", "seed_2", "equispaced", "uniform", "gaussian", "poisson_disc"),
        # That of the training is none.
        *("acceleration_2", "acceleration_8", "noise_0.01", "noise_0.5"),
        *("scale_0.5", "scale_2", "data_hearts"),
    ]
    assert [Shift.of_name(shift.name) for shift in shifts] == shifts
    assert len({shift.title for shift in shifts}) == len(shifts)
    # Images of the training's own data set are no others.
    assert "data_hearts" not in [s.name for s in shifts_of(study, Setting("hearts", "4x"))]


@pytest.mark.parametrize(
    "name",
    [
        "",
        "seed_0",
        "seed_-1",
        "seed_1/..",
        "noise_0",
        "noise_0.0",
        "noise_x",
        "scale_1_2",
        "family_uniform",
        "data_../x",
        "acceleration_0",
        "acceleration_2.5",
        "kind",
        "seed_",
    ],
)
def test_other_names_are_refused(name: str) -> None:
    with pytest.raises(InputError, match="is not a shift; give seed_1, acceleration_6"):
        Shift.of_name(name)


def test_models_are_teacher_and_student_and_the_first_methods(tiny_study: dict[str, Any]) -> None:
    tiny_study["methods"] = {"sp": {}, "at": {}}
    study = study_with(tiny_study, mask_seeds=1)
    assert tried_models(study) == ["teacher", "student", "std_kd_sp", "sft_kd_sp"]
    study = study_with(tiny_study | {"recipes": ["std_kd"]}, mask_seeds=1)
    assert tried_models(study) == ["teacher", "student", "std_kd_sp"]
    study = study_with(tiny_study, mask_seeds=1, models=["sft_teacher"])
    assert tried_models(study) == ["sft_teacher"]


def test_there_is_a_table_a_figure_and_a_file_a_shift_and_seed(tiny_study: dict[str, Any]) -> None:
    study = study_with(tiny_study | {"seeds": [0, 5]}, noise=[0.01], datasets=["heads"])
    reported = of_study(study)
    assert "robustness" in reported.tables
    assert "robustness" in reported.kinds
    assert Places(study).under_shifts() == [
        "heads/4x/robustness/seed0/noise_0.01.csv",
        "heads/4x/robustness/seed5/noise_0.01.csv",
        "hearts/4x/robustness/seed0/noise_0.01.csv",
        "hearts/4x/robustness/seed5/noise_0.01.csv",
        "hearts/4x/robustness/seed0/data_heads.csv",
        "hearts/4x/robustness/seed5/data_heads.csv",
    ]
    assert reported.shown("robustness", "heads", "4x") == ["tables/robustness.csv"]


@pytest.mark.parametrize(
    ("section", "said"),
    [
        ({}, "robustness: names no shift; give one of mask_seeds, families"),
        ({"mask_seed": 1}, "did you mean 'robustness.mask_seeds'?"),
        ({"models": ["nobody"], "mask_seeds": 1}, "robustness.models: 'nobody' is not among"),
        (
            {"datasets": ["nowhere"]},
            "robustness.datasets: 'nowhere' is not among the study's heads",
        ),
        ({"families": ["radial"]}, "robustness.families.0"),
        ({"noise": [0]}, "robustness.noise.0"),
        ({"noise": [0.012345678]}, "too many digits"),
        ({"scales": [1]}, "1 is not a shift"),
        ({"scales": [2, 2]}, "2.0 is listed twice"),
        ({"accelerations": [1]}, "robustness.accelerations.0"),
        ({"accelerations": [12]}, "robustness: 12x leaves 1 of the 16 lines of heads"),
        ({"mask_seeds": -1}, "robustness.mask_seeds"),
    ],
)
def test_what_cannot_be_is_refused_in_a_line(
    tiny_study: dict[str, Any], section: dict[str, Any], said: str
) -> None:
    with pytest.raises(InputError) as refused:
        study_with(tiny_study, **section)
    assert said in str(refused.value)
    assert "\n" not in str(refused.value)


def test_images_that_do_not_fit_are_refused_with_the_way_out(tiny_study: dict[str, Any]) -> None:
    tiny_study["datasets"]["small"] = copy.deepcopy(tiny_study["datasets"]["heads"])
    tiny_study["datasets"]["small"]["preparation"]["matrix"] = [12, 16]
    with pytest.raises(InputError) as refused:
        study_with(tiny_study, datasets=["small"])
    assert "models of heads are for slices of 16x16, and small has 12x16; give both one" in str(
        refused.value
    )


def test_the_only_data_set_has_no_other_images(tiny_study: dict[str, Any]) -> None:
    with pytest.raises(InputError, match="heads is the study's only data set"):
        check_study(tiny_study | {"robustness": {"datasets": ["heads"]}})


def test_a_variant_cannot_try_something_else(tiny_study: dict[str, Any]) -> None:
    changed = {"set": {"robustness": {"mask_seeds": 3}}}
    ablation = {"models": ["student"], "variants": {"more": changed}}
    study = check_study(tiny_study | {"ablations": {"tried": ablation}})
    with pytest.raises(InputError, match="robustness cannot be changed within a study"):
        Models(study)
