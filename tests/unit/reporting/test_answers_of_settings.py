"""Which tests answer a question, by a table of differences that is given."""

from __future__ import annotations

from itertools import permutations
from typing import Any

import pandas as pd
import pytest
from reporting_helpers import (
    MATCHED,
    MEAN_SFT,
    MEAN_STD,
    ONE_SETTING,
    SFT_AT,
    SFT_SP,
    SFT_START,
    STD_AT,
    STUDENT,
    TEACHER,
    Model,
)

from pipeline_src.reporting.tables.answers import (
    CANNOT,
    NOT_SHOWN,
    REFUTED,
    SHOWN,
    answer_layout,
    answer_notes,
    answer_table,
    answer_text,
    word_of,
)
from pipeline_src.reporting.tables.families import AS_LONG
from pipeline_src.reporting.tables.labels import DatasetLabel, Labels

TWO = Labels({"heart": DatasetLabel("Heart")}, ("4x", "5x"))
START_ONLY, TEACHER_ONLY = ("*", "sft_start_only"), ("*", "sft_teacher_only")
NO_GAP = "no gap that distillation could close"


def difference(family: str, first: Model, second: Model, **values: Any) -> dict[str, Any]:
    """A row of the table of differences."""
    return {
        "dataset": "heart",
        "acceleration": "4x",
        "metric": "psnr_db",
        "family": family,
        **dict(zip(("first", "first_training"), first, strict=True)),
        **dict(zip(("second", "second_training"), second, strict=True)),
        **{"effect": 0.5, "low": 0.4, "high": 0.6, "margin": 0.05, "detectable": 0.1},
        **{"patients": 12, "scope": "patients and seeds", "methods": "", "reason": ""},
        **{"verdict": "better", "p_below": 1.0, **values},
    }


def test_each_part_of_a_question_is_answered_by_the_two_models_that_it_names() -> None:
    """Whatever else is compared with whatever, in whichever family and metric."""
    whole = [TEACHER, ("teacher", "sft"), STUDENT, MATCHED, ("student_matched", "sft"), SFT_START]
    whole += [("student_sft_start", "standard"), AS_LONG, MEAN_SFT, MEAN_STD]
    rows = [
        difference(family, *pair, metric=metric)
        for metric in ("ssim", "psnr_db")
        for family in ("methods", "gap", "primary", "controls", "distillation")
        for pair in permutations([*whole, START_ONLY, TEACHER_ONLY, SFT_AT, SFT_SP], 2)
        if family != "methods" or pair == (SFT_SP, SFT_AT)
    ]
    table = pd.DataFrame(rows).assign(effect=range(len(rows)))
    found = answer_table(table, ONE_SETTING).set_index("asks")
    named = {
        "SFT-KD-Recon SP over SFT-KD-Recon AT": ("methods", SFT_SP, SFT_AT),
        "Teacher over student": ("gap", TEACHER, STUDENT),
        "SFT-KD-Recon over Std-KD": ("primary", MEAN_SFT, MEAN_STD),
        "The teacher: SFT-KD-Recon over the SFT start alone": ("controls", MEAN_SFT, START_ONLY),
        "The start: SFT-KD-Recon over the SFT teacher alone": ("controls", MEAN_SFT, TEACHER_ONLY),
        "More than epochs: SFT-KD-Recon over a student trained as long as SFT and distillation": (
            "controls",
            MEAN_SFT,
            AS_LONG,
        ),
        "Std-KD over a student trained for as many epochs": ("distillation", MEAN_STD, MATCHED),
        "SFT-KD-Recon over a student of the same start, trained for as many epochs": (
            "distillation",
            MEAN_SFT,
            SFT_START,
        ),
    }
    columns = ["metric", "family", "first", "first_training", "second", "second_training"]
    effects = table.set_index(columns)["effect"]
    for asks, (family, first, second) in named.items():
        assert found.loc[asks, "effect"] == effects["psnr_db", family, *first, *second], asks
    assert sorted(found.index) == sorted(named)


def test_each_setting_is_answered_and_noted_by_its_own_tests() -> None:
    worse = {"acceleration": "5x", "verdict": "worse", "low": -0.6, "high": -0.4, "effect": -0.5}
    table = pd.DataFrame(
        [
            difference("gap", TEACHER, STUDENT, detectable=0.7),
            difference("primary", MEAN_SFT, MEAN_STD, detectable=0.2),
            difference("methods", SFT_AT, SFT_SP),
            difference("gap", TEACHER, STUDENT, **worse, detectable=0.8),
            difference("primary", MEAN_SFT, MEAN_STD, **worse, detectable=0.3),
            difference("methods", SFT_AT, SFT_SP, **worse),
        ]
    )
    answers = answer_table(table, TWO)
    assert not answers.duplicated(["acceleration", "question", "asks"]).any()
    layout = answer_layout(answers, TWO)
    told = layout[layout["Heart 4x"] != "\N{EN DASH} cannot be asked here"]
    assert len(told) == 3
    assert set(told["Heart 4x"]) == {"+ shown: +0.50 dB (+0.40 to +0.60)"}
    refuted = "\N{MINUS SIGN} refuted (worse): -0.50 dB (-0.60 to -0.40)"
    assert set(told["Heart 5x"]) == {refuted}
    notes = answer_notes(answers, TWO)
    least = [note.split(" dB")[0] for note in notes if "in 80 %" in note]
    of_a_study = "a study like this one shows effects of"
    assert least == [f"Heart 4x: {of_a_study} 0.20", f"Heart 5x: {of_a_study} 0.30"]
    assert [note[:8] for note in notes if NO_GAP in note] == ["Heart 5x"]


@pytest.mark.parametrize(
    ("values", "noted"),
    [
        ({"verdict": "better"}, False),
        ({"verdict": "worse"}, True),
        ({"verdict": "no difference shown", "low": -0.1}, True),
        # What cannot be asked is no finding.
        ({"verdict": "cannot tell"}, False),
    ],
)
def test_that_there_is_no_gap_is_noted_where_it_was_asked_and_not_shown(
    values: dict[str, Any], noted: bool
) -> None:
    table = pd.DataFrame([difference("gap", TEACHER, STUDENT, **values)])
    notes = answer_notes(answer_table(table, ONE_SETTING), ONE_SETTING)
    assert any(NO_GAP in note for note in notes) == noted


def test_a_primary_question_that_cannot_be_asked_promises_no_effect() -> None:
    table = pd.DataFrame([difference("primary", MEAN_SFT, MEAN_STD, verdict="cannot tell")])
    notes = answer_notes(answer_table(table, ONE_SETTING), ONE_SETTING)
    assert not any("in 80 %" in note for note in notes)
    assert not any("of one method against another" in note for note in notes)


@pytest.mark.parametrize(
    ("verdict", "p_below", "high", "word"),
    [
        # Better and worse are as tested, whatever the margin.
        ("better", 0.01, 0.04, SHOWN),
        ("worse", 1.0, 0.07, REFUTED),
        ("cannot tell", 0.01, 0.01, CANNOT),
        ("equivalent", 0.9, 0.04, REFUTED),
        ("equivalent", 0.01, 0.05, NOT_SHOWN),
        ("no difference shown", 0.049, 0.04, REFUTED),
        ("no difference shown", 0.051, 0.04, NOT_SHOWN),
        ("no difference shown", 0.049, 0.05, NOT_SHOWN),
    ],
)
def test_the_word_follows_from_the_tests_and_the_interval(
    verdict: str, p_below: float, high: float, word: str
) -> None:
    row = pd.Series({"verdict": verdict, "p_below": p_below, "effect": 0.01, "low": -0.1})
    assert word_of(pd.concat([row, pd.Series({"high": high, "margin": 0.05})])) == word


@pytest.mark.parametrize(
    ("verdict", "about"),
    [
        ("better", " (AT alone; these 5 patients)"),
        ("worse", " (AT alone; worse; these 5 patients)"),
        ("no difference shown", " (AT alone)"),
        ("cannot tell", ""),
    ],
)
def test_an_answer_says_of_what_and_of_whom_it_is(verdict: str, about: str) -> None:
    values = {"verdict": verdict, "methods": "AT", "scope": "these patients", "patients": 5}
    table = pd.DataFrame([difference("primary", MEAN_SFT, MEAN_STD, **values)])
    found = answer_table(table, ONE_SETTING).set_index("asks").loc["SFT-KD-Recon over Std-KD"]
    word = f"{found['word']}{about}: "
    assert word in answer_text(found)


def test_models_that_are_there_but_not_compared_are_said_to_be_so() -> None:
    table = pd.DataFrame(
        [difference("recipe", SFT_AT, STD_AT), difference("other", STUDENT, TEACHER)],
    )
    reasons = answer_table(table, ONE_SETTING).set_index("asks")["reason"]
    assert reasons["Teacher over student"] == "Teacher and Student are not compared in it"
    lacking = "SFT-KD-Recon and Std-KD are not in the study"
    assert reasons["SFT-KD-Recon over Std-KD"] == lacking
