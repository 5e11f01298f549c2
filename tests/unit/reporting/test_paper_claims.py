"""The paper's claims, on its own numbers and on those of a study, with the study's tests."""

from __future__ import annotations

import pandas as pd
import pytest
from paper_helpers import LABELS, cells
from reporting_helpers import (
    ONE_SETTING,
    SFT_TEACHER,
    STUDENT,
    TEACHER,
    Model,
    measured,
)

from pipeline_src.reporting.tables.differences import difference_table
from pipeline_src.reporting.tables.labels import DatasetLabel, Labels
from pipeline_src.reporting.tables.main_table import main_table
from pipeline_src.reporting.tables.paper import (
    NO_GAP,
    UNTOLD_GAP,
    claim_effects,
    claim_layout,
    claim_notes,
    claim_table,
)


def no_tests() -> pd.DataFrame:
    models = {STUDENT: 30.0, TEACHER: 30.0}
    return difference_table(measured(models, patients=2), ONE_SETTING).iloc[:0]


def test_the_claims_hold_on_the_papers_own_numbers(paper: pd.DataFrame) -> None:
    ours = paper.replace({"dataset": {"cardiac": "heart"}})
    claims = claim_table(ours, no_tests(), LABELS, paper)
    assert len(claims) == 4 * 3
    counts = {"teacher": "1 of 1", "methods": "5 of 5", "gap": "1 of 1"}
    assert claims["paper"].tolist() == [counts[claim] for claim in claims["claim"]]
    # Without tests nobody can say that there is a gap.
    untested = claims["claim"] == "gap"
    assert (claims["verdict"] == "same direction")[~untested].all()
    assert (claims["here"] == claims["paper"])[~untested].all()
    assert (claims["verdict"][untested] == UNTOLD_GAP).all()
    # FitNets, AT, CC, FSP, SP of MRBrainS at 4x.
    of_methods = claims[claims["claim"] == "methods"].iloc[0]
    assert of_methods["effects_db"] == "+0.56 +0.31 +0.42 +0.56 +0.40"


def test_another_data_set_stands_beside_all_of_the_papers_settings(paper: pd.DataFrame) -> None:
    models = {TEACHER: 40.0, SFT_TEACHER: 39.0, ("at", "std_kd"): 38.0, ("at", "sft_kd"): 38.5}
    claims = claim_table(cells(models), no_tests(), LABELS, paper)
    assert claims["paper"].tolist() == ["4 of 4", "20 of 20", "4 of 4"]
    assert claims["here"].tolist() == ["0 of 1", "1 of 1", "0 of 0"]
    assert claims["verdict"].tolist() == ["opposite direction", "same direction", UNTOLD_GAP]
    assert claims["effects_db"].tolist() == ["-1.00", "+0.50", ""]


def test_effects_of_the_claims() -> None:
    """FitNets by SFT-KD-Recon is above the teacher, and counts as far as it is."""
    models = {TEACHER: 40.0, SFT_TEACHER: 40.25, STUDENT: 38.0}
    models |= {("at", "sft_kd"): 39.75, ("at", "std_kd"): 39.5}
    models |= {("fitnets", "sft_kd"): 41.0, ("fitnets", "std_kd"): 39.0, ("sp", "std_kd"): 20.0}
    models |= {("cc", "sft_kd"): 20.0}
    table = cells(models)
    assert claim_effects("teacher", table) == [0.25]
    assert claim_effects("methods", table) == [2.0, 0.25]
    # SP and CC have only one of the two.
    assert claim_effects("gap", table) == [(2.0 + 0.25) / 2]


@pytest.mark.parametrize(
    ("models", "expected"),
    [
        ({TEACHER: 40.0, ("at", "std_kd"): 39.0}, {"teacher": 0, "methods": 0, "gap": 0}),
        ({("at", "std_kd"): 39.0, ("at", "sft_kd"): 39.5}, {"teacher": 0, "methods": 1, "gap": 0}),
        ({TEACHER: 40.0, SFT_TEACHER: 39.0}, {"teacher": 1, "methods": 0, "gap": 0}),
    ],
)
def test_a_claim_without_its_models_has_no_effects(
    models: dict[Model, float], expected: dict[str, int]
) -> None:
    assert {claim: len(claim_effects(claim, cells(models))) for claim in expected} == expected


def test_directions_that_are_mixed_or_opposite_are_counted_and_tests_are_beside_them(
    paper: pd.DataFrame,
) -> None:
    models = {TEACHER: 40.0, SFT_TEACHER: 39.0}
    for method, by in (("at", 0.5), ("cc", -0.25), ("sp", 0.0)):
        models |= {(method, "std_kd"): 38.0, (method, "sft_kd"): 38.0 + by}
    rows = measured(models, patients=9)
    main, tests = main_table(rows, ONE_SETTING), difference_table(rows, ONE_SETTING)
    claims = claim_table(main, tests, ONE_SETTING, paper).set_index("claim")
    assert claims["verdict"].to_dict() == {
        "teacher": "opposite direction",
        # What is equal does not count as held.
        "methods": "same direction in 1 of 3",
        # No student is here that the teacher could be better than.
        "gap": UNTOLD_GAP,
    }
    found = claims[["shown", "opposed", "untold", "tests"]].T.to_dict("list")
    assert found == {"teacher": [0, 1, 0, 1], "methods": [1, 1, 0, 3], "gap": [0, 0, 0, 0]}

    layout = claim_layout(claims.reset_index(), ONE_SETTING)
    shown = layout.loc["Heart 4x: Each method is better by SFT-KD-Recon than by Std-KD"]
    assert shown.to_dict() == {
        "paper": "20 of 20",
        "here": "1 of 3 (+0.50 -0.25 +0.00 dB)",
        "verdict": "same direction in 1 of 3",
        "by test": "shown in 1 of 3, shown to be worse in 1",
    }
    gap = layout.loc["Heart 4x: SFT-KD-Recon leaves a smaller gap to the teacher than Std-KD"]
    assert (gap["verdict"], gap["by test"]) == (UNTOLD_GAP, "not tested")


def test_no_gap_is_closed_where_all_students_are_above_the_teacher(
    paper: pd.DataFrame,
) -> None:
    """And SFT-KD-Recon is worse than Std-KD by 0.4 dB."""
    models = {TEACHER: 30.0, SFT_TEACHER: 30.0, STUDENT: 30.5}
    models |= {("at", "std_kd"): 31.0, ("at", "sft_kd"): 30.6}
    rows = measured(models, patients=9)
    main, tests = main_table(rows, ONE_SETTING), difference_table(rows, ONE_SETTING)
    claims = claim_table(main, tests, ONE_SETTING, paper).set_index("claim")
    assert claims.loc["gap", "verdict"] == NO_GAP
    assert claims.loc["gap", "here"] == "0 of 0"
    # Equal teachers are no better ones, and no worse ones.
    assert claims.loc["teacher", "verdict"] == "no difference"
    assert claims.loc["gap", "shown"] == 0


def test_a_gap_that_is_there_is_closed_or_widened(paper: pd.DataFrame) -> None:
    models = {TEACHER: 31.0, STUDENT: 30.0, ("at", "std_kd"): 30.2}
    cases = ((0.5, "same direction", [1, 0]), (-0.5, "opposite direction", [0, 1]))
    for by, verdict, counts in cases:
        rows = measured(models | {("at", "sft_kd"): 30.2 + by}, patients=9)
        main, tests = main_table(rows, ONE_SETTING), difference_table(rows, ONE_SETTING)
        claims = claim_table(main, tests, ONE_SETTING, paper).set_index("claim")
        assert claims.loc["gap", "verdict"] == verdict
        assert claims.loc["gap", "tests"] == 1
        assert claims.loc["gap", ["shown", "opposed"]].tolist() == counts


def test_claims_of_a_setting_take_its_own_tests_and_the_papers_values_of_it(
    paper: pd.DataFrame,
) -> None:
    labels = Labels({"heart": DatasetLabel("Heart", False, "mrbrains")}, ("4x", "5x"))
    pairs = {(m, recipe): 30.5 for m in ("at", "sp") for recipe in ("std_kd", "sft_kd")}
    better = pairs | {("at", "sft_kd"): 31.0, ("sp", "sft_kd"): 30.75}
    worse = pairs | {("at", "sft_kd"): 30.0}
    rows = pd.concat(
        [
            measured({TEACHER: 32.0, SFT_TEACHER: 32.5, STUDENT: 30.0} | better, patients=9),
            measured({TEACHER: 30.0, STUDENT: 31.0} | worse, patients=9, acceleration="5x"),
        ]
    )
    of_5x = (paper["dataset"] == "mrbrains") & (paper["acceleration"] == "5x")
    paper.loc[of_5x & (paper["training"] == "sft_kd"), "psnr_db"] = 0.0
    tests = difference_table(rows, labels, ["psnr_db"])
    claims = claim_table(main_table(rows, labels), tests, labels, paper)
    claims = claims.set_index(["acceleration", "claim"])
    assert claims["paper"].to_dict() == {
        ("4x", "teacher"): "1 of 1",
        ("4x", "methods"): "5 of 5",
        ("4x", "gap"): "1 of 1",
        ("5x", "methods"): "0 of 5",
        ("5x", "gap"): "0 of 1",
    }
    assert claims[["shown", "opposed", "tests"]].T.to_dict("list") == {
        ("4x", "teacher"): [1, 0, 1],
        ("4x", "methods"): [2, 0, 2],
        # By the mean over methods.
        ("4x", "gap"): [1, 0, 1],
        ("5x", "methods"): [0, 1, 2],
        ("5x", "gap"): [0, 0, 0],
    }
    assert claims.loc[("5x", "gap"), "verdict"] == NO_GAP


def test_what_is_shown_to_be_worse_on_these_patients_alone_says_so(paper: pd.DataFrame) -> None:
    models = {TEACHER: 31.0, SFT_TEACHER: 31.0, ("at", "std_kd"): 30.5, ("at", "sft_kd"): 30.0}
    models |= {("sp", "std_kd"): 30.0, ("sp", "sft_kd"): 30.0}
    rows = measured(models, patients=5)
    tests = difference_table(rows, ONE_SETTING, ["psnr_db"])
    layout = claim_layout(
        claim_table(main_table(rows, ONE_SETTING), tests, ONE_SETTING, paper), ONE_SETTING
    )
    told = {text.partition(": ")[2].split()[0]: text for text in layout.index}
    methods, teacher = layout.loc[told["Each"]], layout.loc[told["The"]]
    # One is worse, the other equal.
    assert methods["verdict"] == "not the same direction"
    assert methods["by test"] == "shown in 0 of 2, shown to be worse in 1 (these patients)"
    assert teacher["by test"] == "shown in 0 of 1"


def test_what_the_tests_cannot_tell_is_counted_too(paper: pd.DataFrame) -> None:
    rows = measured({TEACHER: 40.0, SFT_TEACHER: 41.0}, seeds=(0,), patients=6)
    main, tests = main_table(rows, ONE_SETTING), difference_table(rows, ONE_SETTING)
    claims = claim_table(main, tests, ONE_SETTING, paper)
    assert claims[["shown", "untold", "tests"]].iloc[0].tolist() == [0, 1, 1]
    assert (
        claim_layout(claims, ONE_SETTING).iloc[0]["by test"] == "shown in 0 of 1, cannot tell in 1"
    )


def test_notes_name_the_data_sets_that_are_not_the_papers() -> None:
    assert claim_notes(LABELS)[-1].startswith("Own: not comparable with the paper in value")
    of_paper = Labels({"m": DatasetLabel("M", False, "mrbrains")}, ("4x",))
    assert not any("not comparable" in note for note in claim_notes(of_paper))
