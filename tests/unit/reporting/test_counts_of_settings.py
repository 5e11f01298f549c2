"""Numbers of patients, parts, spreads and signs, as the tables print them."""

from __future__ import annotations

import math

import pandas as pd
import pytest
from reporting_helpers import STUDENT, TEACHER, measured

from pipeline_src.config import check_study
from pipeline_src.config.study import MOST_SEED
from pipeline_src.errors import InputError
from pipeline_src.reporting.display_names import effect_texts, value_text
from pipeline_src.reporting.figures.forest import number
from pipeline_src.reporting.tables.answers import SHOWN
from pipeline_src.reporting.tables.labels import DatasetLabel, Labels
from pipeline_src.reporting.tables.main_table import main_table, metric_text, table_notes

TWO = Labels({"heart": DatasetLabel("Heart")}, ("4x", "5x"))


def test_settings_of_different_patients_are_counted_apart() -> None:
    four = measured({TEACHER: 30.0}, patients=12)
    five = measured({TEACHER: 29.0}, patients=5, acceleration="5x")
    notes = table_notes(main_table(pd.concat([four, five]), TWO), TWO)
    assert "Heart 4x: kind of images not stated; mean over 12 volumes of 12 test patients." in notes
    assert "Heart 5x: kind of images not stated; mean over 5 volumes of 5 test patients." in notes
    alike = pd.concat([four, measured({TEACHER: 29.0}, patients=12, acceleration="5x")])
    notes = table_notes(main_table(alike, TWO), TWO)
    assert "Heart: kind of images not stated; mean over 12 volumes of 12 test patients." in notes


@pytest.mark.parametrize("model", [TEACHER, ("zero_filled", "none")])
def test_two_parts_of_a_data_set_are_not_one_table(model: tuple[str, str]) -> None:
    parts = [measured({TEACHER: 30.0}), measured({model: 20.0}, part="validation")]
    with pytest.raises(InputError, match="of Heart are of test and validation patients"):
        main_table(pd.concat(parts), TWO)


def test_a_spread_that_is_not_known_is_not_printed() -> None:
    volumes = measured({STUDENT: 30.0})
    volumes.loc[volumes["seed"] > 0, "vif"] = math.nan
    volumes.loc[volumes["seed"] == 0, "vif"] = 0.5
    [row] = [row for _, row in main_table(volumes, TWO).iterrows()]
    assert metric_text(row, "vif") == "0.5000"


def test_a_difference_keeps_its_sign_where_it_rounds_to_zero() -> None:
    """An interval that ends below zero does not seem to reach it."""
    assert value_text(-0.0035, "psnr_db", "+") == "-0.00"
    assert value_text(0.0035, "psnr_db", "+") == "+0.00"
    assert value_text(0.0, "psnr_db", "+") == value_text(-0.0, "psnr_db", "+") == "+0.00"
    assert value_text(-0.0035, "psnr_db") == "0.00"
    assert number(-0.0035, 2).replace("\N{MINUS SIGN}", "-") == "-0.00"


@pytest.mark.parametrize("word", ["better", "worse", SHOWN])
def test_an_effect_that_is_there_is_not_printed_as_zero(word: str) -> None:
    effect = (0.0003, 0.0001, 0.0005)
    assert effect_texts(effect, "psnr_db", word) == ["+0.0003", "+0.0001", "+0.0005"]
    assert effect_texts((-2e-7, math.nan, math.nan), "ssim", word) == ["-0.0000002"]
    assert effect_texts((0.03, 0.001, 0.05), "psnr_db", word) == ["+0.03", "+0.00", "+0.05"]
    assert effect_texts([0.0] * 3, "psnr_db", word) == ["+0.00"] * 3
    for other in ("equivalent", "no difference shown"):
        assert effect_texts(effect, "psnr_db", other) == ["+0.00"] * 3


def test_seeds_that_tables_cannot_hold_are_refused(tiny_study: dict[str, object]) -> None:
    check_study(tiny_study | {"seeds": [MOST_SEED - 1]})
    with pytest.raises(InputError, match=f"seed {MOST_SEED} is too large"):
        check_study(tiny_study | {"seeds": [MOST_SEED]})
