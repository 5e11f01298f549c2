"""Tables that have one model per row: their cells, order, layout and notes."""

from __future__ import annotations

import math

import pandas as pd
import pytest
from reporting_helpers import (
    MATCHED,
    METHODS,
    ONE_SETTING,
    PATIENTS,
    SFT_START,
    SFT_TEACHER,
    STUDENT,
    TEACHER,
    VOLUMES,
    measured,
    row_of,
    study_with,
    value,
    volume_rows,
)

from pipeline_src.evaluation.metrics_files import METRICS
from pipeline_src.reporting.tables.labels import Labels
from pipeline_src.reporting.tables.main_table import (
    MISSING,
    gap_layout,
    gap_table,
    main_table,
    metric_layout,
    metric_notes,
    paper_layout,
    table_notes,
)

LABELS = Labels.of_study(study_with())
OF_STUDENT = VOLUMES[
    (VOLUMES["dataset"] == "heart")
    & (VOLUMES["acceleration"] == "4x")
    & (VOLUMES["model"] == "student")
]

# The tidy table.


def test_tidy_table_has_a_row_a_cell_in_the_papers_order() -> None:
    table = main_table(VOLUMES, LABELS)
    order = [("zero_filled", "none"), TEACHER, SFT_TEACHER, STUDENT, MATCHED, SFT_START]
    order += [(method, recipe) for method in METHODS for recipe in ("std_kd", "sft_kd")]
    expected = [
        (name, acceleration, *cell)
        for name in ("heart", "brain")
        for acceleration in ("4x", "5x")
        for cell in order
    ]
    found = table[["dataset", "acceleration", "model", "training"]].itertuples(index=False)
    assert [tuple(row) for row in found] == expected
    assert list(table.index) == list(range(len(expected)))


def test_models_that_the_paper_does_not_have_come_last_by_name() -> None:
    rows = measured({("zz", "std_kd"): 30, ("own", "std_kd"): 30, ("sp", "std_kd"): 30, TEACHER: 3})
    table = main_table(rows, ONE_SETTING)
    assert table["model"].tolist() == ["teacher", "sp", "own", "zz"]


def test_tidy_table_starts_with_the_papers_columns() -> None:
    columns = list(main_table(VOLUMES, LABELS).columns)
    assert columns[:6] == ["dataset", "acceleration", "model", "training", "psnr_db", "ssim"]
    assert set(columns) >= {*METRICS, *(f"{m}_sd" for m in METRICS), "seeds", "part", "synthetic"}


@pytest.mark.parametrize("metric", METRICS)
def test_metric_is_the_mean_over_volumes_then_over_seeds(metric: str) -> None:
    table = main_table(VOLUMES, LABELS)
    cell = ("heart", "4x", "at", "std_kd")
    a_seed = [
        sum(value(metric, *cell, seed, patient, frame) for patient, frame in PATIENTS) / 3
        for seed in (0, 1)
    ]
    row = row_of(table, *cell)
    mean = (a_seed[0] + a_seed[1]) / 2
    assert row[metric] == pytest.approx(mean)
    spread = math.sqrt((a_seed[0] - mean) ** 2 + (a_seed[1] - mean) ** 2)
    assert spread > 0
    assert row[f"{metric}_sd"] == pytest.approx(spread)


def test_hand_computed_cell() -> None:
    rows = OF_STUDENT.copy()
    rows["psnr_db"] = [30.0, 31.0, 32.0, 33.0, 33.0, 36.0]
    assert rows["seed"].tolist() == [0, 0, 0, 1, 1, 1]
    row = main_table(rows, LABELS).iloc[0]
    assert row["psnr_db"] == pytest.approx(32.5)
    assert row["psnr_db_sd"] == pytest.approx(1.5 * math.sqrt(2))
    assert (row["seeds"], row["volumes"], row["patients"]) == (2, 3, 2)


def test_seeds_count_alike_where_one_has_fewer_volumes() -> None:
    rows = OF_STUDENT.iloc[:4].assign(psnr_db=[30.0, 30.0, 30.0, 40.0])
    assert main_table(rows, LABELS).iloc[0]["psnr_db"] == pytest.approx(35)


def test_spread_is_empty_for_one_seed() -> None:
    table = main_table(volume_rows((0,)), Labels.of_study(study_with(seeds=[0])))
    assert table["psnr_db_sd"].isna().all()
    assert table["psnr_db"].notna().all()


def test_variants_are_no_rows_of_the_main_table() -> None:
    varied = OF_STUDENT.assign(variant="a.b", psnr_db=0.0)
    found = main_table(pd.concat([VOLUMES, varied]), LABELS)
    pd.testing.assert_frame_equal(found, main_table(VOLUMES, LABELS))
    assert "variant" not in found


def test_tidy_table_says_whose_images_are_reported() -> None:
    table = main_table(VOLUMES, LABELS)
    for name, synthetic, part in (("heart", True, "test"), ("brain", False, "validation")):
        of_dataset = table[table["dataset"] == name]
        assert (of_dataset["synthetic"] == synthetic).all()
        assert (of_dataset["part"] == part).all()


def test_order_of_the_rows_that_come_in_does_not_matter() -> None:
    shuffled = VOLUMES.sample(frac=1, random_state=0)
    first, second = (main_table(rows, LABELS) for rows in (VOLUMES, shuffled))
    pd.testing.assert_frame_equal(first, second)


# The paper's layout.


def test_layout_has_a_model_a_row_and_std_kd_beside_sft_kd_recon() -> None:
    layout = paper_layout(main_table(VOLUMES, LABELS), LABELS)
    assert list(layout.index) == [
        "Zero-filled",
        "Teacher",
        "Student",
        "Student, as many epochs",
        "Student from SFT blocks",
        "FitNets",
        "AT",
        "CC",
        "FSP",
        "SP",
    ]
    assert list(layout.columns) == [
        (f"{title} {r}x", recipe)
        for title in ("Heart phantom", "Brain MRI")
        for r in (4, 5)
        for recipe in ("Std-KD", "SFT-KD-Recon")
    ]


def test_layout_shows_each_model_under_its_training() -> None:
    table = main_table(VOLUMES, LABELS)
    layout = paper_layout(table, LABELS)
    places = [
        ("FitNets", "fitnets", "std_kd", "Std-KD"),
        ("FitNets", "fitnets", "sft_kd", "SFT-KD-Recon"),
        ("Teacher", *TEACHER, "Std-KD"),
        ("Teacher", *SFT_TEACHER, "SFT-KD-Recon"),
        ("Student", *STUDENT, "Std-KD"),
        ("Student, as many epochs", *MATCHED, "Std-KD"),
        ("Student from SFT blocks", *SFT_START, "SFT-KD-Recon"),
    ]
    for name, title in (("heart", "Heart phantom"), ("brain", "Brain MRI")):
        for shown, model, training, column in places:
            row = row_of(table, name, "5x", model, training)
            assert layout.loc[shown, (f"{title} 5x", column)] == (
                f"{row['psnr_db']:.2f} ± {row['psnr_db_sd']:.2f} / "
                f"{row['ssim']:.4f} ± {row['ssim_sd']:.4f}"
            )
        for shown in ("Zero-filled", "Student", "Student, as many epochs"):
            assert layout.loc[shown, (f"{title} 5x", "SFT-KD-Recon")] == "\N{EN DASH}"
        assert layout.loc["Student from SFT blocks", (f"{title} 5x", "Std-KD")] == "\N{EN DASH}"
        zero = row_of(table, name, "5x", "zero_filled", "none")
        assert (
            layout.loc["Zero-filled", (f"{title} 5x", "Std-KD")]
            == f"{zero['psnr_db']:.2f} / {zero['ssim']:.4f}"
        )


def test_layout_of_one_seed_has_no_spread() -> None:
    labels = Labels.of_study(study_with(seeds=[0]))
    layout = paper_layout(main_table(volume_rows((0,)), labels), labels)
    assert not layout.map(lambda cell: "±" in cell).any(axis=None)
    assert layout.map(lambda cell: " / " in cell).sum(axis=None) == 4 * 16


# One metric a table.


def test_a_metric_stands_alone_with_its_own_decimals_and_heading() -> None:
    rows = measured({STUDENT: 30, SFT_START: lambda seed, patient: 31.0 + seed}, patients=3)
    rows["nmse"] = rows["seed"].map({0: 0.25, 1: 0.5, 2: 0.75})
    table = main_table(rows, ONE_SETTING)
    psnr, nmse = (metric_layout(table, ONE_SETTING, metric) for metric in ("psnr_db", "nmse"))
    # 0, 0.25 and 0.5 dB are the patients' own.
    assert psnr.loc["Student"].tolist() == ["30.25 ± 0.00", MISSING]
    assert psnr.loc["Student from SFT blocks"].tolist() == [MISSING, "32.25 ± 1.00"]
    assert nmse.loc["Student"].tolist() == ["0.5000 ± 0.2500", MISSING]
    assert (psnr.columns.names[-1], nmse.columns.names[-1]) == ("PSNR (dB)", "NMSE")


def test_vif_that_is_missing_stays_missing_and_shows_as_a_dash() -> None:
    rows = VOLUMES.assign(vif=VOLUMES["vif"].where(VOLUMES["dataset"] != "heart"))
    table = main_table(rows, LABELS)
    of_heart = table["dataset"] == "heart"
    assert table.loc[of_heart, "vif"].isna().all()
    assert table.loc[~of_heart, "vif"].notna().all()
    layout = metric_layout(table, LABELS, "vif")
    assert (layout["Heart phantom 4x"] == MISSING).all(axis=None)
    assert (layout["Brain MRI 4x"] != MISSING).sum(axis=None) == 16


@pytest.mark.parametrize(
    ("metric", "better"), [("hfn", "lower"), ("nmse", "lower"), ("vif", "higher")]
)
def test_notes_say_which_way_a_metric_is_better(metric: str, better: str) -> None:
    assert metric_notes(metric) == [f"{metric.upper()}: {better} is better."]


# The gap to the teacher.


def test_gap_is_the_standard_teachers_mean_less_the_models() -> None:
    # SSIM is a 64th of PSNR: 1 dB is 0.015625.
    models = {TEACHER: 40, SFT_TEACHER: 41, STUDENT: 38, ("at", "std_kd"): 39, ("at", "sft_kd"): 42}
    rows = measured(models | {SFT_START: 39.5})
    zero = measured({("zero_filled", "none"): 20}, seeds=[0]).assign(seed=None)
    gaps = gap_table(main_table(pd.concat([rows, zero]), ONE_SETTING))
    found = {(r["model"], r["training"]): r for _, r in gaps.iterrows()}
    expected = {TEACHER: 0, SFT_TEACHER: -1, STUDENT: 2, SFT_START: 0.5}
    expected |= {("at", "std_kd"): 1, ("at", "sft_kd"): -2}
    assert {key: row["gap_psnr_db"] for key, row in found.items()} == pytest.approx(expected)
    in_ssim = {key: gap / 64 for key, gap in expected.items()}
    assert {key: row["gap_ssim"] for key, row in found.items()} == pytest.approx(in_ssim)

    layout = gap_layout(gaps, ONE_SETTING)
    assert layout["Heart 4x"].T.to_dict("list") == {
        # The standard teacher is what the others are measured from.
        "Teacher": [MISSING, "-1.00 / -0.0156"],
        "Student": ["+2.00 / +0.0312", MISSING],
        "Student from SFT blocks": [MISSING, "+0.50 / +0.0078"],
        "AT": ["+1.00 / +0.0156", "-2.00 / -0.0312"],
    }


def test_gap_is_to_the_teacher_of_the_same_setting_and_needs_one() -> None:
    labels = Labels.of_study(study_with())
    settings = [("heart", "4x", 40.0), ("heart", "5x", 35.0), ("brain", "4x", None)]
    parts = []
    for name, acceleration, teacher in settings:
        models = {STUDENT: 30.0} | ({TEACHER: teacher} if teacher else {})
        parts.append(measured(models, dataset=name, acceleration=acceleration))
    gaps = gap_table(main_table(pd.concat(parts), labels))
    students = gaps[gaps["model"] == "student"]
    assert students["gap_psnr_db"].tolist() == pytest.approx([10, 5])
    assert set(gaps["dataset"]) == {"heart"}


# Notes.


def test_notes_name_synthetic_images_and_validation_patients_where_they_are() -> None:
    notes = table_notes(main_table(VOLUMES, LABELS), LABELS)
    heart, brain, *_, seeds = notes
    assert heart.startswith("Heart phantom: synthetic")
    assert "mean over 3 volumes of 2 test patients" in heart
    assert "validation" not in heart
    assert brain.startswith("Brain MRI: images from files")
    assert "mean over 3 volumes of 2 validation patients" in brain
    assert "weights were chosen" in brain
    assert "synthetic" not in brain
    assert seeds == "2 seeds per model; ± is the standard deviation over seeds."


def test_notes_of_one_seed_speak_of_no_spread() -> None:
    labels = Labels.of_study(study_with(seeds=[0]))
    notes = table_notes(main_table(volume_rows((0,)), labels), labels)
    assert notes[-1] == "1 seed per model."


def test_notes_give_the_range_where_models_have_different_numbers_of_seeds() -> None:
    rows = pd.concat([measured({TEACHER: 40}), measured({STUDENT: 39}, seeds=(0,))])
    notes = table_notes(main_table(rows, ONE_SETTING), ONE_SETTING)
    assert notes[-1] == "1 to 3 seeds per model; ± is the standard deviation over seeds."
