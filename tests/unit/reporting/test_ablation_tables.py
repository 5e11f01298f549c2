"""Tables of ablations from the metrics of a study and its variants."""

from __future__ import annotations

from typing import Any

import pandas as pd
import pytest

from pipeline_src.config import check_study
from pipeline_src.errors import InputError
from pipeline_src.evaluation.metrics_files import METRICS
from pipeline_src.planning.model_names import split_model_name, split_variant
from pipeline_src.reporting.tables.ablations import ablation_layout, ablation_notes, ablation_table

ABLATION: dict[str, Any] = {
    "models": ["student", "sft_teacher", "sft_kd_at"],
    "base": "four branches",
    "variants": {
        "one": {"title": "one branch", "set": {"sft": {"branches": 1}}},
        "joint": {"set": {"distillation": {"protocol": "joint"}}},
    },
}
#: PSNR by trained name; one seed and two volumes, 1 dB below and above.
PSNR = {
    "zero_filled": 20.0,
    "student": 30.0,
    "sft_teacher": 31.0,
    "sft_kd_at": 32.0,
    "sft_teacher@a.one": 33.0,
    "sft_kd_at@a.one": 34.0,
    "sft_kd_at@a.joint": 35.0,
    # Of another ablation: must not be taken for this one's.
    "sft_kd_at@b.one": 50.0,
}


def ablated_volumes(
    names: list[str], dataset: str = "heads", acceleration: str = "4x"
) -> pd.DataFrame:
    """Rows as the evaluation writes them, in an order of no meaning."""
    rows = []
    for name in sorted(names, reverse=True):
        model, training = split_model_name(name)
        for patient, offset in (("p1", -1.0), ("p2", 1.0)):
            rows.append(
                {
                    "dataset": dataset,
                    "acceleration": acceleration,
                    "seed": 0,
                    "model": model,
                    "training": training,
                    "variant": split_variant(name)[1],
                    "part": "test",
                    "patient": patient,
                    "frame": "",
                    "slices": 1,
                }
                | dict.fromkeys(METRICS, 0.5)
                | {"psnr_db": PSNR[name] + offset}
            )
    return pd.DataFrame(rows)


@pytest.fixture
def ablated(tiny_study: dict[str, Any]) -> Any:
    other = {"models": ["sft_kd_at"], "variants": {"one": {"set": {"sft": {"branches": 1}}}}}
    return check_study(
        tiny_study | {"methods": {"at": {}}, "ablations": {"a": ABLATION, "b": other}}
    )


def test_ablation_table_has_the_rows_of_study_and_variants_with_their_own_figures(
    ablated: Any,
) -> None:
    table = ablation_table(ablated_volumes(list(PSNR)), ablated, "a")
    found = [
        (r["row"], r["model"], r["training"], r["variant"], r["psnr_db"])
        for _, r in table.iterrows()
    ]
    assert found == [
        ("", "student", "standard", "", 30.0),
        ("", "teacher", "sft", "", 31.0),
        ("", "at", "sft_kd", "", 32.0),
        # A model that the variant does not change keeps the study's figures.
        ("one", "student", "standard", "", 30.0),
        ("one", "teacher", "sft", "a.one", 33.0),
        ("one", "at", "sft_kd", "a.one", 34.0),
        ("joint", "student", "standard", "", 30.0),
        ("joint", "teacher", "sft", "", 31.0),
        ("joint", "at", "sft_kd", "a.joint", 35.0),
    ]
    assert set(table["volumes"]) == {2}


def test_each_table_takes_the_variants_of_its_own_ablation(ablated: Any) -> None:
    table = ablation_table(ablated_volumes(list(PSNR)), ablated, "b")
    assert table["psnr_db"].tolist() == [32.0, 50.0]


@pytest.mark.parametrize(
    ("name", "cells"),
    [
        ("student", [(row, "Student") for row in ("four branches", "one branch", "joint")]),
        ("sft_teacher@a.one", [("one branch", "SFT teacher")]),
        ("sft_kd_at@a.joint", [("joint", "SFT-KD-Recon AT")]),
    ],
)
def test_a_model_without_metrics_is_a_dash_and_named_below(
    name: str, cells: list[tuple[str, str]], ablated: Any
) -> None:
    table = ablation_table(ablated_volumes([n for n in PSNR if n != name]), ablated, "a")
    layout = ablation_layout(table, ablated, "a")["heads 4x"]
    dashes = [
        (row, model)
        for row in layout.index
        for model in layout.columns
        if "difference" not in model
        if layout.loc[row, model] == "\N{EN DASH}"
    ]
    assert dashes == cells
    assert ablation_notes(table, ablated, "a")[3:] == [
        f"Without metrics, and so a dash: 1 (heads 4x {name})."
    ]


def test_an_ablation_without_any_metrics_is_a_table_of_dashes(ablated: Any) -> None:
    table = ablation_table(ablated_volumes(["zero_filled"]), ablated, "a")
    layout = ablation_layout(table, ablated, "a")
    assert layout.eq("\N{EN DASH}").all(axis=None)
    [*_, note] = ablation_notes(table, ablated, "a")
    assert note.startswith("Without metrics, and so a dash: 6 (heads 4x student; ")
    assert note.endswith("; ...).")


def test_nothing_is_said_of_an_ablation_that_is_complete(ablated: Any) -> None:
    table = ablation_table(ablated_volumes(list(PSNR)), ablated, "a")
    assert not any("Without" in note for note in ablation_notes(table, ablated, "a"))


def test_layout_has_the_rows_titles_and_a_column_a_model(ablated: Any) -> None:
    layout = ablation_layout(
        ablation_table(ablated_volumes(list(PSNR)), ablated, "a"), ablated, "a"
    )
    # No row changes the student, which so has no differences.
    assert [model for _, model in layout.columns] == [
        "Student",
        "SFT teacher",
        "SFT teacher, difference (dB)",
        "SFT-KD-Recon AT",
        "SFT-KD-Recon AT, difference (dB)",
    ]
    layout = layout.loc[:, ["difference" not in model for _, model in layout.columns]]
    assert {setting for setting, _ in layout.columns} == {"heads 4x"}
    assert layout["heads 4x"].T.to_dict("list") == {
        "four branches": ["30.00 / 0.5000", "31.00 / 0.5000", "32.00 / 0.5000"],
        "one branch": ["30.00 / 0.5000", "33.00 / 0.5000", "34.00 / 0.5000"],
        "joint": ["30.00 / 0.5000", "31.00 / 0.5000", "35.00 / 0.5000"],
    }


@pytest.mark.parametrize(
    ("restriction", "settings"),
    [
        ({}, ["heads 4x", "heads 5x", "hearts 4x", "hearts 5x"]),
        ({"datasets": ["hearts"]}, ["hearts 4x", "hearts 5x"]),
        ({"accelerations": [5]}, ["heads 5x", "hearts 5x"]),
        ({"datasets": ["heads"], "accelerations": [4]}, ["heads 4x"]),
    ],
)
def test_an_ablation_of_some_settings_needs_and_shows_those_alone(
    restriction: dict[str, Any], settings: list[str], tiny_study: dict[str, Any]
) -> None:
    heads = tiny_study["datasets"]["heads"]
    study = check_study(
        tiny_study
        | {"methods": {"at": {}}, "accelerations": [4, 5]}
        | {
            "datasets": {"heads": heads, "hearts": heads},
            "ablations": {"a": ABLATION | restriction},
        }
    )
    # Of the other settings there are the study's own models alone.
    own = [name for name in PSNR if "@" not in name]
    rows = []
    for setting in ("heads 4x", "heads 5x", "hearts 4x", "hearts 5x"):
        rows.append(ablated_volumes(list(PSNR) if setting in settings else own, *setting.split()))
    table = ablation_table(pd.concat(rows), study, "a")
    assert len(table) == 9 * len(settings)
    layout = ablation_layout(table, study, "a")
    assert list(dict.fromkeys(setting for setting, _ in layout.columns)) == settings
    assert layout.notna().all(axis=None)


@pytest.mark.parametrize("title", ["one branch", "four branches"])
def test_two_rows_of_one_title_are_refused(title: str, tiny_study: dict[str, Any]) -> None:
    variants = {"one": ABLATION["variants"]["one"], "two": {"title": title, "set": {}}}
    ablation = ABLATION | {"variants": variants}
    with pytest.raises(InputError, match=f"'{title}'"):
        check_study(tiny_study | {"methods": {"at": {}}, "ablations": {"a": ablation}})


def over_seeds(names: list[str], patients: int = 8) -> pd.DataFrame:
    """As `ablated_volumes`, with three seeds and so many patients, whose differences are exact."""
    one = ablated_volumes(names)
    return pd.concat(
        one[one["patient"] == "p1"].assign(seed=seed, patient=f"p{patient}")
        for seed in range(3)
        for patient in range(patients)
    )


@pytest.mark.parametrize(
    ("compare_with", "expected"),
    [
        (None, {"": None, "one": 2.0, "joint": 3.0}),
        ("one", {"": -2.0, "one": None, "joint": 1.0}),
    ],
)
def test_rows_are_tested_against_the_one_that_is_named(
    compare_with: str | None, expected: dict[str, float | None], tiny_study: dict[str, Any]
) -> None:
    ablation = ABLATION | {"compare_with": compare_with}
    study = check_study(tiny_study | {"methods": {"at": {}}, "ablations": {"a": ablation}})
    names = [name for name in PSNR if "@b" not in name]
    table = ablation_table(over_seeds(names), study, "a")
    of_at = table[table["model"] == "at"].set_index("row")
    for row, effect in expected.items():
        if effect is None:
            assert pd.isna(of_at.loc[row, "difference_effect"])
        else:
            assert of_at.loc[row, "difference_effect"] == pytest.approx(effect)
            assert of_at.loc[row, "difference_verdict"] == ("better" if effect > 0 else "worse")
    layout = ablation_layout(table, study, "a")["heads 4x"]
    reference = "one branch" if compare_with else "four branches"
    assert layout.loc[reference, "SFT-KD-Recon AT, difference (dB)"] == "\N{EN DASH}"
    assert layout.loc["joint", "SFT-KD-Recon AT, difference (dB)"].endswith(", better")
    notes = ablation_notes(table, study, "a")
    assert any(f'the row "{reference}"' in note for note in notes)
    # One stage instead of two.
    assert notes[1] == (
        f'Trained for more or fewer epochs in all than the row "{reference}": joint (1 instead of '
        "2: SFT-KD-Recon AT)."
    )


def test_comparing_with_a_row_that_is_not_there_is_refused(tiny_study: dict[str, Any]) -> None:
    ablation = ABLATION | {"compare_with": "two"}
    with pytest.raises(InputError, match=r"no variant 'two'; there are one, joint"):
        check_study(tiny_study | {"methods": {"at": {}}, "ablations": {"a": ablation}})


def test_verdicts_about_the_measured_patients_alone_say_so(ablated: Any) -> None:
    """6 patients are enough for the one row of the SFT teacher, not for the student's two."""
    names = [name for name in PSNR if "@b" not in name]
    table = ablation_table(over_seeds(names, patients=6), ablated, "a")
    scopes = table.dropna(subset="difference_verdict").groupby("model")["difference_scope"].unique()
    assert {model: list(found) for model, found in scopes.items()} == {
        "at": ["these patients"],
        "teacher": ["patients and seeds"],
    }
    layout = ablation_layout(table, ablated, "a")["heads 4x"]
    of_at = layout["SFT-KD-Recon AT, difference (dB)"]
    assert list(of_at)[1:] == [
        "+2.00 (+2.00 to +2.00), better (these patients)",
        "+3.00 (+3.00 to +3.00), better (these patients)",
    ]
    teacher = layout["SFT teacher, difference (dB)"]
    assert teacher["one branch"] == "+2.00 (+2.00 to +2.00), better"
    [note] = [n for n in ablation_notes(table, ablated, "a") if n.startswith("These patients: ")]
    assert "there are too few (6 patients) for a statement about others" in note
    assert note.endswith(" (heads 4x SFT-KD-Recon AT).")


def test_enough_patients_need_no_note_on_whom_verdicts_are_about(ablated: Any) -> None:
    names = [name for name in PSNR if "@b" not in name]
    table = ablation_table(over_seeds(names), ablated, "a")
    assert "these patients" not in ablation_layout(table, ablated, "a").to_string()
    assert "These patients" not in " ".join(ablation_notes(table, ablated, "a"))
