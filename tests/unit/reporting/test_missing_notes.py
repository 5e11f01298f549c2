"""What tables go without is told below them."""

from __future__ import annotations

import math

import pandas as pd
from reporting_helpers import ONE_SETTING, SFT_AT, STD_AT, STD_SP, STUDENT, TEACHER, ZERO, measured

from pipeline_src.reporting.tables.differences import difference_notes, difference_table
from pipeline_src.reporting.tables.labels import DatasetLabel, Labels
from pipeline_src.reporting.tables.main_table import main_table
from pipeline_src.reporting.tables.missing import (
    claim_gap_notes,
    comparison_notes,
    gap_notes,
    measured_notes,
    note_of,
    unmeasured_notes,
    value_notes,
)

TWO = Labels({"heart": DatasetLabel("Heart")}, ("4x", "5x"))


def test_a_note_counts_and_names_three() -> None:
    assert note_of("Gone", []) == []
    assert note_of("Gone", ["a", "b"]) == ["Gone: 2 (a; b)."]
    assert note_of("Gone", list("abcd")) == ["Gone: 4 (a; b; c; ...)."]


def test_volumes_and_seeds_that_others_have_are_named() -> None:
    zero = measured({ZERO: 20.0}, seeds=(0,), patients=3).assign(seed=math.nan)
    rows = pd.concat([measured({TEACHER: 40.0, STUDENT: 30.0}, (0, 1), 3), zero])
    assert measured_notes(rows, ONE_SETTING) == []
    student = rows["model"] == "student"
    no_seed = rows[~(student & (rows["seed"] == 1))]
    no_volume = no_seed[~((no_seed["training"] == "none") & (no_seed["patient"] == "p02"))]
    assert measured_notes(no_volume, ONE_SETTING) == [
        "Not measured, and so not in the means: 2 (Heart 4x Student, seed 1; "
        "Heart 4x Zero-filled, patient p02)."
    ]


def test_values_that_a_mean_goes_without_are_named_but_not_those_of_an_empty_cell() -> None:
    rows = measured({TEACHER: 40.0, STUDENT: 30.0}, (0,), 3)
    rows.loc[(rows["model"] == "teacher") & (rows["patient"] == "p01"), "hfn"] = math.nan
    rows.loc[rows["model"] == "student", "vif"] = math.nan
    assert value_notes(rows, ONE_SETTING, ("psnr_db", "hfn", "vif")) == [
        "Without HFN, and so not in its means: 1 (Heart 4x Teacher, patient p01)."
    ]


def test_a_metric_that_some_or_all_go_without_is_named() -> None:
    four = measured({TEACHER: 40.0, STUDENT: 30.0}, (0,), 3, hfn=math.nan)
    five = measured({TEACHER: 40.0, STUDENT: 30.0}, (0,), 3, acceleration="5x")
    five.loc[five["model"] == "student", "vif"] = math.nan
    assert unmeasured_notes(pd.concat([four, five]), TWO, ("psnr_db", "hfn", "vif")) == [
        "Without HFN, which was not measured (evaluate again) or cannot be on these images: 1 "
        "(Heart 4x).",
        "Without VIF, which was measured for others alone (evaluate again): 1 (Heart 5x Student).",
    ]


def test_volumes_without_error_that_make_a_mean_infinite_are_named() -> None:
    rows = measured({TEACHER: 40.0, STUDENT: 30.0}, (0,), 3)
    rows.loc[(rows["model"] == "student") & (rows["patient"] == "p01"), "psnr_db"] = math.inf
    assert value_notes(rows, ONE_SETTING, ("psnr_db", "ssim")) == [
        "With slices without error, and so with infinite PSNR (dB): 1 "
        "(Heart 4x Student, patient p01)."
    ]


def test_settings_without_a_teacher_and_methods_without_a_pair_are_named() -> None:
    four = measured({TEACHER: 40.0, STD_AT: 36.0, SFT_AT: 37.0, STD_SP: 36.0}, (0,), 2)
    five = measured({STD_AT: 36.0}, (0,), 2, acceleration="5x")
    table = main_table(pd.concat([four, five]), TWO)
    assert gap_notes(table, TWO) == ["No gap, since the standard teacher is missing: 1 (Heart 5x)."]
    # Where no method has both, there is no claim to be left out of.
    assert claim_gap_notes(table, TWO) == [
        "Without the other recipe, and so neither in claims about methods nor in the mean of "
        "SFT-KD-Recon against Std-KD: 1 (Heart 4x Std-KD SP)."
    ]


def test_comparisons_that_another_setting_has_are_named() -> None:
    four = measured({TEACHER: 40.0, STUDENT: 36.0}, (0,), 2)
    five = measured({TEACHER: 40.0, STUDENT: 36.0, STD_AT: 37.0}, (0,), 2, acceleration="5x")
    table = difference_table(pd.concat([four, five]), TWO)
    assert comparison_notes(table, TWO) == [
        "Compared only in other settings, since a model is missing: 3 "
        "(Heart 4x Std-KD minus Teacher; Heart 4x Std-KD AT minus Student; "
        "Heart 4x Std-KD AT minus Teacher)."
    ]


def test_reasons_that_the_notes_have_no_room_for_are_counted() -> None:
    table = difference_table(measured({TEACHER: 30.0, STUDENT: 31.0}, (0,), 2), ONE_SETTING)
    rows = pd.concat([table.head(1)] * 8).assign(
        verdict="cannot tell", reason=[f"reason {number}" for number in range(8)]
    )
    *_, fifth, last = difference_notes(rows)
    assert fifth == "Cannot tell: reason 5."
    assert last == "Cannot tell: 2 more reasons in the column reason of the CSV file."
