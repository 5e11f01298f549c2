"""Simulated studies from metrics to answers: how often each of the four words is wrong, and right.

Metrics of a model are its effect + seed + patient + seed x model + patient x model + residual, all
normal. Rates are held to the stated ones within three standard errors of so many studies.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from reporting_helpers import (
    MATCHED,
    ONE_SETTING,
    SFT_START,
    SFT_TEACHER,
    STUDENT,
    TEACHER,
    Model,
    measured,
)
from statistics_helpers import fewer_resamples, three_errors

from pipeline_src.evaluation.comparison import compare_family
from pipeline_src.evaluation.power import detectable_effect
from pipeline_src.evaluation.statistics import (
    bootstrap_intervals,
    mean_p,
    wilcoxon_ps,
)
from pipeline_src.reporting.tables.answers import (
    CANNOT,
    CONTROLS,
    DISTILLATION,
    GAP,
    NOT_SHOWN,
    PRIMARY,
    QUESTIONS,
    REFUTED,
    SHOWN,
    answer_layout,
    answer_notes,
    answer_table,
    answer_text,
    word_of,
)
from pipeline_src.reporting.tables.differences import difference_layout, difference_table
from pipeline_src.reporting.tables.main_table import main_table
from pipeline_src.reporting.tables.paper import (
    CLAIM_COLUMNS,
    NO_GAP,
    claim_layout,
    claim_table,
    read_paper,
)
from pipeline_src.reporting.tables.study_tables import study_tables

STD_AT, SFT_AT, STD_SP, SFT_SP = (
    (method, recipe) for method in ("at", "sp") for recipe in ("std_kd", "sft_kd")
)
AS_LONG = ("student_as_long", "standard")
DISTILLED = [STD_AT, SFT_AT, STD_SP, SFT_SP]
ALL_MODELS = [TEACHER, SFT_TEACHER, STUDENT, MATCHED, SFT_START, AS_LONG, *DISTILLED]
#: Standard deviations in dB: what a seed and a patient add to one model, and to all alike.
OF_MODEL, OF_ALL = {"seed": 0.06, "patient": 0.08, "residual": 0.05}, {"seed": 0.1, "patient": 1.5}


@pytest.fixture(autouse=True)
def _fewer_resamples(monkeypatch: pytest.MonkeyPatch) -> None:
    fewer_resamples(monkeypatch, 300)


def simulated(
    effects: Mapping[Model, float],
    studies: int,
    seeds: int = 5,
    patients: int = 12,
    models: Sequence[Model] = DISTILLED,
) -> Iterator[pd.DataFrame]:
    """Metrics of so many studies; a model has 30 dB and its effect."""
    rng = np.random.default_rng([seeds, patients, studies])
    all_effects = {model: effects.get(model, 0.0) for model in {**dict.fromkeys(models), **effects}}
    for _ in range(studies):
        of_seed = OF_ALL["seed"] * rng.standard_normal((seeds, 1))
        of_patient = OF_ALL["patient"] * rng.standard_normal(patients)
        values = {
            model: 30
            + effect
            + of_seed
            + of_patient
            + OF_MODEL["seed"] * rng.standard_normal((seeds, 1))
            + OF_MODEL["patient"] * rng.standard_normal(patients)
            + OF_MODEL["residual"] * rng.standard_normal((seeds, patients))
            for model, effect in all_effects.items()
        }
        yield measured(
            {model: partial(_cell, matrix) for model, matrix in values.items()},
            seeds=range(seeds),
            patients=patients,
        )


def _cell(matrix: np.ndarray, seed: int, patient: int) -> float:
    return float(matrix[seed, patient])


def answers(volumes: pd.DataFrame) -> pd.DataFrame:
    """From metrics to answers, by the text of what is asked."""
    table = answer_table(difference_table(volumes, ONE_SETTING, ["psnr_db"]), ONE_SETTING)
    return table.set_index("asks")


def words(effects: Mapping[Model, float], studies: int, **options: Any) -> pd.DataFrame:
    """The word of each part of a question in each study, a column per part."""
    found = [answers(volumes)["word"] for volumes in simulated(effects, studies, **options)]
    return pd.DataFrame(found)


def asked(question: str) -> list[str]:
    return [q.asks for q in QUESTIONS if q.question == question]


PRIMARY_ASKS, GAP_ASKS = asked(PRIMARY)[0], asked(GAP)[0]
STUDIES = 80


@pytest.fixture(scope="module")
def nulls() -> pd.DataFrame:
    """Studies in which no model differs from another."""
    with pytest.MonkeyPatch.context() as patch:
        fewer_resamples(patch, 300)
        return words({}, STUDIES, models=ALL_MODELS)


@pytest.mark.parametrize("question", [GAP, PRIMARY, CONTROLS, DISTILLATION])
def test_where_nothing_differs_a_question_is_answered_yes_in_5_percent(
    question: str, nulls: pd.DataFrame
) -> None:
    yes = (nulls[asked(question)] == SHOWN).any(axis=1).mean()
    # Better and worse share the 5 % of two-sided tests.
    assert yes <= 0.025 + three_errors(0.025, STUDIES)


def test_an_effect_as_large_as_the_margin_is_refuted_in_5_percent() -> None:
    """The edge of the hypothesis, where the rate is highest."""
    found = words({SFT_AT: 0.05, SFT_SP: 0.05}, STUDIES)[PRIMARY_ASKS]
    assert (found == REFUTED).mean() <= 0.05 + three_errors(0.05, STUDIES)


def test_a_large_effect_is_shown_and_its_opposite_refuted() -> None:
    better = words({SFT_AT: 0.3, SFT_SP: 0.3, TEACHER: 0.5, STUDENT: 0.0}, 25)
    assert (better[PRIMARY_ASKS] == SHOWN).mean() > 0.9
    assert (better[GAP_ASKS] == SHOWN).mean() > 0.9
    worse = words({SFT_AT: -0.3, SFT_SP: -0.3}, 25)[PRIMARY_ASKS]
    assert (worse == REFUTED).mean() > 0.9


def test_where_nothing_differs_and_little_varies_it_is_refuted_within_the_margin(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """That there is no effect is a finding here, and not the absence of one."""
    for kind in OF_MODEL:
        monkeypatch.setitem(OF_MODEL, kind, 0.01)
    found = words({}, 25)
    assert (found[PRIMARY_ASKS] == REFUTED).mean() > 0.9


def test_students_above_the_teacher_have_no_gap_whatever_the_recipe(project_root: Path) -> None:
    paper = read_paper(project_root / "config" / "paper_results.csv")
    students = [STUDENT, MATCHED, SFT_START, AS_LONG, STD_AT, STD_SP]
    effects = {**dict.fromkeys(students, 0.5), SFT_AT: 0.2, SFT_SP: 0.2}
    for volumes in simulated(effects, 8, models=ALL_MODELS):
        tests = difference_table(volumes, ONE_SETTING, ["psnr_db"])
        answered = answer_table(tests, ONE_SETTING).set_index("asks")
        assert answered.loc[GAP_ASKS, "word"] == REFUTED
        assert answered.loc[PRIMARY_ASKS, "word"] != SHOWN
        claims = claim_table(main_table(volumes, ONE_SETTING), tests, ONE_SETTING, paper)
        assert list(claims.columns) == CLAIM_COLUMNS
        assert claims.set_index("claim").loc["gap", "verdict"] == NO_GAP
        notes = answer_notes(answer_table(tests, ONE_SETTING), ONE_SETTING)
        assert any("no gap that distillation could close" in note for note in notes)


def test_one_seed_cannot_be_asked() -> None:
    for volumes in simulated({SFT_AT: 5.0, SFT_SP: 5.0}, 3, seeds=1):
        found = answers(volumes)
        assert set(found["word"]) == {CANNOT}
        # One seed and its effect are told nevertheless.
        assert found.loc[PRIMARY_ASKS, "effect"] == pytest.approx(5.0, abs=0.4)
        assert "1 seed, 3 needed" in found.loc[PRIMARY_ASKS, "reason"]


def test_few_patients_are_these_patients_and_hold_the_rate() -> None:
    """Of 4 patients nothing can be said about others; over seeds alone the test holds its rate,
    also where the patients at hand differ from others."""
    for volumes in simulated({}, 3, patients=4):
        found = difference_table(volumes, ONE_SETTING, ["psnr_db"])
        primary = found[found["family"] == "primary"].iloc[0]
        assert primary["scope"] == "these patients"
        assert "these 4 patients" in primary["reason"]
        assert math.isnan(primary["p"])
    # A patient's own share of a difference is true of these patients; without it:
    rng = np.random.default_rng(0)
    called = []
    for _ in range(400):
        matrix = 0.1 * rng.standard_normal((5, 1)) + 0.05 * rng.standard_normal((5, 4))
        verdict = compare_family({"pair": pd.DataFrame(matrix)}, seed=0)["pair"].verdict
        called.append(verdict in ("better", "worse"))
    assert np.mean(called) <= 0.05 + three_errors(0.05, 400)
    assert np.mean(called) > 0.01


def test_a_missing_cell_leaves_its_questions_open_and_no_other() -> None:
    volumes = next(simulated({SFT_AT: 0.4, SFT_SP: 0.4}, 1, models=ALL_MODELS))
    lacking = (volumes["model"] == "student_as_long") & (volumes["seed"] == 2)
    found = answers(volumes[~lacking])
    of_as_long = [asks for asks in found.index if "as long as SFT" in asks]
    assert [found.loc[asks, "word"] for asks in of_as_long] == [CANNOT]
    assert found.loc[PRIMARY_ASKS, "word"] == SHOWN
    assert found.loc[asked(DISTILLATION), "effect"].notna().all()


def test_a_model_that_was_not_trained_is_named() -> None:
    found = answers(next(simulated({}, 1)))
    start = "The teacher: SFT-KD-Recon over the SFT start alone"
    assert found.loc[start, "word"] == CANNOT
    assert found.loc[start, "reason"] == "SFT start alone is not in the study"
    assert answer_text(found.loc[start]) == "\N{EN DASH} cannot be asked here"


def test_answers_are_read_at_a_glance() -> None:
    table = answer_table(
        difference_table(measured({STD_AT: 30.0, SFT_AT: 30.5}), ONE_SETTING), ONE_SETTING
    )
    layout = answer_layout(table, ONE_SETTING)
    line = f"{PRIMARY} {PRIMARY_ASKS}"
    assert layout.loc[line, "Heart 4x"] == "+ shown: +0.50 dB (+0.50 to +0.50)"
    worse = difference_table(measured({STD_AT: 30.5, SFT_AT: 30.0}), ONE_SETTING)
    layout = answer_layout(answer_table(worse, ONE_SETTING), ONE_SETTING)
    assert layout.loc[line, "Heart 4x"].startswith("\N{MINUS SIGN} refuted (worse): -0.50 dB")
    same = difference_table(measured({STD_AT: 30.5, SFT_AT: 30.5}), ONE_SETTING)
    layout = answer_layout(answer_table(same, ONE_SETTING), ONE_SETTING)
    assert layout.loc[line, "Heart 4x"].startswith(
        "\N{MINUS SIGN} refuted (less than 0.05 dB better): +0.00 dB"
    )


def test_it_is_not_refuted_where_the_margin_lies_within_the_interval() -> None:
    """Although the test, which is one-sided, finds that it is not better by as much."""
    row = pd.Series({"verdict": "no difference shown", "p_below": 0.04, "margin": 0.05})
    assert word_of(pd.concat([row, pd.Series({"high": 0.07})])) == NOT_SHOWN
    assert word_of(pd.concat([row, pd.Series({"high": 0.04})])) == REFUTED


def test_verdicts_about_the_measured_patients_alone_say_so_wherever_they_stand(
    project_root: Path,
) -> None:
    volumes = measured({STD_AT: 30.0, SFT_AT: 30.5, TEACHER: 31.0, STUDENT: 30.0}, patients=5)
    tests = difference_table(volumes, ONE_SETTING)
    table = answer_table(tests, ONE_SETTING)
    cell = answer_layout(table, ONE_SETTING).loc[f"{PRIMARY} {PRIMARY_ASKS}", "Heart 4x"]
    assert cell.startswith("+ shown (these 5 patients): +0.50 dB")
    verdicts = difference_layout(tests, ONE_SETTING)["PSNR (dB)", "verdict"]
    assert verdicts["SFT-KD-Recon AT minus Std-KD AT"] == "better (these patients)"
    paper = read_paper(project_root / "config" / "paper_results.csv")
    claims = claim_table(main_table(volumes, ONE_SETTING), tests, ONE_SETTING, paper)
    told = claim_layout(claims, ONE_SETTING)["by test"]
    assert list(told) == ["shown in 1 of 1 (these patients)"] * 2
    made = study_tables(volumes, ONE_SETTING, paper)
    for name in ("answers", "claims", "differences"):
        assert any(note.startswith("These patients: ") for note in made[name][2])


# Equivalence and detectable effects, by the matrices alone.


def test_equivalence_of_models_that_differ_by_the_margin_is_called_in_5_percent() -> None:
    rng = np.random.default_rng(1)
    called = []
    for _ in range(600):
        matrix = 1 + 0.3 * rng.standard_normal((5, 1)) + 0.5 * rng.standard_normal(20)
        found = compare_family({"pair": pd.DataFrame(matrix)}, seed=0, margin=1.0)["pair"]
        called.append(found.p_equivalence < 0.05)
    assert np.mean(called) <= 0.05 + three_errors(0.05, 600)
    assert np.mean(called) > 0.01


@pytest.mark.parametrize(
    ("size", "spread"),
    [
        ((3, 20), (0.1, 0.12)),
        ((5, 20), (0.1, 0.12)),
        ((3, 6), (0.01, 0.2)),
        ((3, 10), (0.01, 0.2)),
        ((3, 10), (0.1, 0.02)),
        ((5, 8), (0.1, 0.2)),
        ((5, 1), (0.1, 0.0)),
    ],
)
def test_the_detectable_effect_is_shown_in_about_80_percent(
    size: tuple[int, int], spread: tuple[float, float]
) -> None:
    """By the verdict, which takes Wilcoxon's test and the interval besides."""
    effect = detectable_effect(size, spread)
    rng = np.random.default_rng(list(size))
    matrices = [
        effect
        + spread[0] * rng.standard_normal((size[0], 1))
        + spread[1] * rng.standard_normal((1, size[1]))
        for _ in range(300)
    ]
    p_patients = wilcoxon_ps([m.mean(axis=0) for m in matrices]) if size[1] > 1 else [0.0] * 300
    shown = [
        low > 0 and max(mean_p(matrix), p) < 0.05
        for matrix, p, (low, _) in zip(
            matrices, p_patients, bootstrap_intervals(matrices, seed=0), strict=True
        )
    ]
    assert abs(np.mean(shown) - 0.8) < 0.08


def test_too_few_patients_show_no_effect() -> None:
    assert detectable_effect((3, 4), (0.1, 0.1)) == math.inf


def test_nothing_is_detectable_of_one_seed_and_one_patient() -> None:
    assert math.isnan(detectable_effect((1, 1), (0.1, 0.1)))


def test_not_shown_is_neither() -> None:
    rng = np.random.default_rng(2)
    noise = rng.standard_normal((3, 12))

    def wobbling(seed: int, patient: int) -> float:
        return 30 + float(noise[seed, patient])

    found = answers(measured({STD_AT: 30.0, SFT_AT: wobbling}))
    assert found.loc[PRIMARY_ASKS, "word"] == NOT_SHOWN
