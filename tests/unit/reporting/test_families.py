"""Which models are compared with which."""

from __future__ import annotations

import pytest
from reporting_helpers import (
    MATCHED,
    MEAN_SFT,
    MEAN_STD,
    METHODS,
    PRIMARY,
    SFT_AT,
    SFT_SP,
    SFT_START,
    SFT_TEACHER,
    STD_AT,
    STD_SP,
    STUDENT,
    TEACHER,
    ZERO,
    Model,
)

from pipeline_src.config.recipes import RECIPES
from pipeline_src.reporting.tables.differences import FAMILIES
from pipeline_src.reporting.tables.families import AS_LONG, pairs_of

#: As metrics may happen to list them.
FULL = [SFT_SP, STD_SP, SFT_START, ZERO, SFT_AT, STD_AT, MATCHED, STUDENT, SFT_TEACHER, TEACHER]


def pairs(models: list[Model]) -> dict[str, list[tuple[Model, Model]]]:
    return {family: list(pairs_of(family, models)) for family in FAMILIES}


def test_pairs_of_a_full_set_of_models() -> None:
    distilled = [STD_AT, SFT_AT, STD_SP, SFT_SP]
    assert pairs(FULL) == {
        "gap": [(TEACHER, STUDENT)],
        "primary": [PRIMARY],
        "controls": [],
        "distillation": [(MEAN_STD, MATCHED), (MEAN_SFT, SFT_START)],
        "gap_left": [(first, TEACHER) for first in (MEAN_SFT, MEAN_STD, SFT_START, MATCHED)],
        "recipe": [(SFT_AT, STD_AT), (SFT_SP, STD_SP)],
        "methods": [],
        "student": [(first, STUDENT) for first in (MATCHED, SFT_START, *distilled)],
        "matched": [(first, MATCHED) for first in (SFT_START, *distilled)],
        "as_long": [],
        "sft_start": [(SFT_AT, SFT_START), (SFT_SP, SFT_START)],
        # A distilled student is compared with the teacher that it had.
        "teacher": [
            (SFT_TEACHER, TEACHER),
            (STD_AT, TEACHER),
            (STD_SP, TEACHER),
            (SFT_AT, SFT_TEACHER),
            (SFT_SP, SFT_TEACHER),
        ],
    }


def test_sizes_of_the_families_of_the_papers_models() -> None:
    own = [TEACHER, SFT_TEACHER, STUDENT, MATCHED, SFT_START, AS_LONG]
    found = pairs([*own, *((m, recipe) for m in METHODS for recipe in RECIPES)])
    sizes = {family: len(compared) for family, compared in found.items()}
    assert sizes == {
        "gap": 1,
        "primary": 1,
        "controls": 3,
        "distillation": 2,
        "gap_left": 5,
        "recipe": 5,
        "methods": 0,
        "student": 12,
        "matched": 11,
        "as_long": 5,
        "sft_start": 5,
        "teacher": 11,
    }
    # No comparison stands in two families.
    together = [pair for compared in found.values() for pair in compared]
    assert len(set(together)) == sum(sizes.values())


PARTIAL: dict[str, tuple[list[Model], dict[str, list[tuple[Model, Model]]]]] = {
    "no SFT": (
        [TEACHER, STUDENT, MATCHED, STD_AT, STD_SP],
        {
            "gap": [(TEACHER, STUDENT)],
            "distillation": [(MEAN_STD, MATCHED)],
            "gap_left": [(MEAN_STD, TEACHER), (MATCHED, TEACHER)],
            "student": [(MATCHED, STUDENT), (STD_AT, STUDENT), (STD_SP, STUDENT)],
            "matched": [(STD_AT, MATCHED), (STD_SP, MATCHED)],
            "teacher": [(STD_AT, TEACHER), (STD_SP, TEACHER)],
        },
    ),
    "one method, no controls": (
        [TEACHER, SFT_TEACHER, STUDENT, STD_AT, SFT_AT],
        {
            "gap": [(TEACHER, STUDENT)],
            "primary": [PRIMARY],
            "gap_left": [(MEAN_SFT, TEACHER), (MEAN_STD, TEACHER)],
            "recipe": [(SFT_AT, STD_AT)],
            "student": [(STD_AT, STUDENT), (SFT_AT, STUDENT)],
            "teacher": [(SFT_TEACHER, TEACHER), (STD_AT, TEACHER), (SFT_AT, SFT_TEACHER)],
        },
    ),
    "no student": (
        [TEACHER, SFT_TEACHER, SFT_START, SFT_AT],
        {
            "distillation": [(MEAN_SFT, SFT_START)],
            "gap_left": [(MEAN_SFT, TEACHER), (SFT_START, TEACHER)],
            "sft_start": [(SFT_AT, SFT_START)],
            "teacher": [(SFT_TEACHER, TEACHER), (SFT_AT, SFT_TEACHER)],
        },
    ),
    "nothing to compare": ([SFT_AT, STD_SP, ZERO], {}),
    "nothing": ([], {}),
}


@pytest.mark.parametrize("case", PARTIAL)
def test_pairs_of_some_of_the_models(case: str) -> None:
    models, expected = PARTIAL[case]
    assert {family: found for family, found in pairs(models).items() if found} == expected


def test_methods_that_are_to_be_compared_meet_every_other_one_once() -> None:
    own_std, own_sft = ("own", "std_kd"), ("own", "sft_kd")
    models = [*FULL, own_std, own_sft]
    assert list(pairs_of("methods", models, ["own"])) == [
        (own_sft, SFT_AT),
        (own_sft, SFT_SP),
        (own_std, STD_AT),
        (own_std, STD_SP),
    ]
    both = list(pairs_of("methods", models, ["own", "at"]))
    assert both[:3] == [(own_sft, SFT_AT), (own_sft, SFT_SP), (SFT_AT, SFT_SP)]
    assert len(both) == 6
    # What a model lacks is not compared.
    assert list(pairs_of("methods", [own_std, STD_AT, SFT_AT], ["own"])) == [(own_std, STD_AT)]
