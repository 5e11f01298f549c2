"""Tables from files as the evaluation writes them: their cells, layout, notes and formats."""

from __future__ import annotations

import math
from html import unescape
from pathlib import Path

import pandas as pd
import pytest
from reporting_helpers import (
    METHODS,
    PATIENTS,
    VOLUMES,
    dataset,
    row_of,
    study_with,
    value,
    volume_rows,
)

from pipeline_src.errors import InputError
from pipeline_src.evaluation.results import METRICS, read_metrics
from pipeline_src.reporting.tables import (
    main_table,
    paper_layout,
    table_notes,
    write_main_table,
)

# The tidy table.


def test_tidy_table_has_a_row_a_cell_in_the_papers_order() -> None:
    table = main_table(VOLUMES, study_with())
    order = [("zero_filled", "none"), ("teacher", "standard"), ("teacher", "sft")]
    order += [("student", "standard")]
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


def test_tidy_table_starts_with_the_papers_columns() -> None:
    columns = list(main_table(VOLUMES, study_with()).columns)
    assert columns[:6] == ["dataset", "acceleration", "model", "training", "psnr_db", "ssim"]
    assert set(columns) >= {*METRICS, *(f"{m}_sd" for m in METRICS), "seeds", "part", "synthetic"}


@pytest.mark.parametrize("metric", METRICS)
def test_metric_is_the_mean_over_volumes_then_over_seeds(metric: str) -> None:
    table = main_table(VOLUMES, study_with())
    cell = ("heart", "4x", "at", "std_kd")
    a_seed = [
        sum(value(metric, *cell, seed, patient, frame) for patient, frame in PATIENTS) / 3
        for seed in (0, 1)
    ]
    row = row_of(table, *cell)
    mean = (a_seed[0] + a_seed[1]) / 2
    assert row[metric] == pytest.approx(mean)
    spread = math.sqrt((a_seed[0] - mean) ** 2 + (a_seed[1] - mean) ** 2)
    assert row[f"{metric}_sd"] == pytest.approx(spread)


def test_hand_computed_cell() -> None:
    rows = VOLUMES[
        (VOLUMES["dataset"] == "heart")
        & (VOLUMES["acceleration"] == "4x")
        & (VOLUMES["model"] == "student")
    ].copy()
    rows["psnr_db"] = [30.0, 31.0, 32.0, 33.0, 33.0, 36.0]
    assert rows["seed"].tolist() == [0, 0, 0, 1, 1, 1]
    row = main_table(rows, study_with()).iloc[0]
    assert row["psnr_db"] == pytest.approx(32.5)
    assert row["psnr_db_sd"] == pytest.approx(1.5 * math.sqrt(2))
    assert (row["seeds"], row["volumes"], row["patients"]) == (2, 3, 2)


def test_seeds_count_alike_where_one_has_fewer_volumes() -> None:
    rows = VOLUMES[
        (VOLUMES["dataset"] == "heart")
        & (VOLUMES["acceleration"] == "4x")
        & (VOLUMES["model"] == "student")
    ].iloc[:4]
    rows = rows.assign(psnr_db=[30.0, 30.0, 30.0, 40.0])
    assert main_table(rows, study_with()).iloc[0]["psnr_db"] == pytest.approx(35)


def test_spread_is_empty_for_one_seed() -> None:
    table = main_table(volume_rows((0,)), study_with(seeds=[0]))
    assert table["psnr_db_sd"].isna().all()
    assert table["psnr_db"].notna().all()


def test_vif_that_is_missing_stays_missing() -> None:
    table = main_table(VOLUMES.assign(vif=math.nan), study_with())
    assert table["vif"].isna().all()


def test_tidy_table_says_whose_images_are_reported() -> None:
    table = main_table(VOLUMES, study_with())
    for name, synthetic, part in (("heart", True, "test"), ("brain", False, "validation")):
        of_dataset = table[table["dataset"] == name]
        assert (of_dataset["synthetic"] == synthetic).all()
        assert (of_dataset["part"] == part).all()


def test_order_of_the_rows_that_come_in_does_not_matter() -> None:
    shuffled = VOLUMES.sample(frac=1, random_state=0)
    first, second = (main_table(rows, study_with()) for rows in (VOLUMES, shuffled))
    pd.testing.assert_frame_equal(first, second)


# The paper's layout.


def test_layout_has_a_model_a_row_and_std_kd_beside_sft_kd_recon() -> None:
    study = study_with()
    layout = paper_layout(main_table(VOLUMES, study), study)
    assert list(layout.index) == [
        "Zero-filled",
        "Teacher",
        "Student",
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
    study = study_with()
    table = main_table(VOLUMES, study)
    layout = paper_layout(table, study)
    places = [
        ("FitNets", "fitnets", "std_kd", "Std-KD"),
        ("FitNets", "fitnets", "sft_kd", "SFT-KD-Recon"),
        ("Teacher", "teacher", "standard", "Std-KD"),
        ("Teacher", "teacher", "sft", "SFT-KD-Recon"),
        ("Student", "student", "standard", "Std-KD"),
    ]
    for name, title in (("heart", "Heart phantom"), ("brain", "Brain MRI")):
        for shown, model, training, column in places:
            row = row_of(table, name, "5x", model, training)
            assert layout.loc[shown, (f"{title} 5x", column)] == (
                f"{row['psnr_db']:.2f} ± {row['psnr_db_sd']:.2f} / "
                f"{row['ssim']:.4f} ± {row['ssim_sd']:.4f}"
            )
        for shown in ("Zero-filled", "Student"):
            assert layout.loc[shown, (f"{title} 5x", "SFT-KD-Recon")] == "\N{EN DASH}"
        zero = row_of(table, name, "5x", "zero_filled", "none")
        assert (
            layout.loc["Zero-filled", (f"{title} 5x", "Std-KD")]
            == f"{zero['psnr_db']:.2f} / {zero['ssim']:.4f}"
        )


def test_layout_of_one_seed_has_no_spread() -> None:
    study = study_with(seeds=[0])
    layout = paper_layout(main_table(volume_rows((0,)), study), study)
    assert not layout.map(lambda cell: "±" in cell).any(axis=None)
    assert layout.map(lambda cell: " / " in cell).sum(axis=None) == 4 * 14


def test_notes_name_synthetic_images_and_validation_patients_where_they_are() -> None:
    study = study_with()
    notes = table_notes(main_table(VOLUMES, study), study)
    heart, brain, *_, seeds = notes
    assert heart.startswith("Heart phantom: synthetic")
    assert "mean over 3 volumes of 2 test patients" in heart
    assert "validation" not in heart
    assert brain.startswith("Brain MRI: measured images")
    assert "mean over 3 volumes of 2 validation patients" in brain
    assert "weights were chosen" in brain
    assert "synthetic" not in brain
    assert seeds == "2 seeds a model; ± is the standard deviation over seeds."


def test_notes_say_which_reading_of_the_method_ran() -> None:
    study = study_with(sft={"imitation_normalisation": "mean"}, distillation={"protocol": "joint"})
    notes = " ".join(table_notes(main_table(VOLUMES, study), study))
    assert "losses in authors form, protocol joint, imitation normalised by mean" in notes


def test_notes_of_one_seed_speak_of_no_spread() -> None:
    study = study_with(seeds=[0])
    notes = table_notes(main_table(volume_rows((0,)), study), study)
    assert notes[-1] == "1 seed a model."


# Files of tables.


@pytest.fixture
def metric_files(tmp_path: Path) -> list[Path]:
    """One file a data set and model, as the evaluation writes them."""
    paths = []
    for number, (_, rows) in enumerate(VOLUMES.groupby(["dataset", "model", "training"])):
        path = tmp_path / "metrics" / f"{number}.csv"
        path.parent.mkdir(exist_ok=True)
        rows.to_csv(path, index=False)
        paths.append(path)
    return paths


def test_tables_are_written_in_four_formats_that_hold_the_same_cells(
    metric_files: list[Path], tmp_path: Path
) -> None:
    study = study_with()
    write_main_table(metric_files, study, tmp_path / "out")
    assert {p.name for p in (tmp_path / "out").iterdir()} == {
        "main.csv",
        "main.md",
        "main.tex",
        "main.html",
    }
    table = main_table(VOLUMES, study)
    written = pd.read_csv(tmp_path / "out" / "main.csv")
    pd.testing.assert_frame_equal(written, table, check_dtype=False, atol=1e-6, rtol=0)

    layout = paper_layout(table, study)
    markdown, latex, html = (
        (tmp_path / "out" / f"main.{suffix}").read_text(encoding="utf-8")
        for suffix in ("md", "tex", "html")
    )
    for cell in layout.to_numpy().ravel():
        assert f" {cell} " in markdown
        assert f">{cell}<" in html
        assert cell.replace("±", r"$\pm$").replace("\N{EN DASH}", "--") in latex
    for row in layout.index:
        assert f"| {row} " in markdown
        assert f"<th>{row}</th>" in html
        assert f"\n{row} & " in latex
    for note in table_notes(table, study):
        assert f"- {note}\n" in markdown
        assert f"<li>{note}</li>" in unescape(html)
        assert f"% {note}\n" in latex
    assert latex.count(r"\toprule") == latex.count(r"\bottomrule") == 1
    assert "±" not in latex.split(r"\begin{tabular}")[1]
    assert "Heart phantom 4x" in latex
    assert 'charset="utf-8"' in html


TRICKY = "T1_w & T2: 50% <b>"


@pytest.mark.parametrize(
    ("suffix", "expected"),
    [("tex", r"T1\_w \& T2: 50\%"), ("html", "<li>T1_w &amp; T2: 50% &lt;b&gt;: ")],
)
def test_titles_with_special_characters_are_escaped(
    suffix: str, expected: str, metric_files: list[Path], tmp_path: Path
) -> None:
    study = study_with(
        datasets={"heart": dataset(title=TRICKY), "brain": dataset(title="Brain MRI")}
    )
    write_main_table(metric_files, study, tmp_path / "out")
    assert expected in (tmp_path / "out" / f"main.{suffix}").read_text(encoding="utf-8")


def test_metrics_of_several_files_are_read_one_under_the_other(tmp_path: Path) -> None:
    rows = VOLUMES.iloc[:4].assign(patient=["001", "002", "003", "004"])
    rows.iloc[:3].to_csv(tmp_path / "a.csv", index=False)
    rows.iloc[3:].to_csv(tmp_path / "b.csv", index=False)
    found = read_metrics([tmp_path / "a.csv", tmp_path / "b.csv"])
    # A patient's id is a name, not a number.
    assert found["patient"].tolist() == ["001", "002", "003", "004"]
    assert found["psnr_db"].tolist() == pytest.approx(rows["psnr_db"].tolist())
    assert list(found.index) == [0, 1, 2, 3]


def test_metrics_file_that_lacks_columns_is_refused_and_they_are_named(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    VOLUMES.drop(columns=["ssim", "patient"]).to_csv(path, index=False)
    with pytest.raises(InputError, match=r"a\.csv: is no metrics file.*missing: patient, ssim$"):
        read_metrics([path])


@pytest.mark.parametrize("content", [None, "", "\x00\x01\n,,\n"])
def test_unreadable_metrics_file_is_refused(content: str | None, tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    if content is not None:
        path.write_text(content)
    with pytest.raises(InputError, match=r"a\.csv: "):
        read_metrics([path])


def test_no_metrics_file_at_all_is_refused() -> None:
    with pytest.raises(InputError, match="no metrics file"):
        read_metrics([])


def test_metrics_of_another_study_are_refused() -> None:
    with pytest.raises(InputError, match="unknown_set"):
        main_table(VOLUMES.replace({"dataset": {"heart": "unknown_set"}}), study_with())
    with pytest.raises(InputError, match="5x"):
        main_table(VOLUMES, study_with(accelerations=[4]))
