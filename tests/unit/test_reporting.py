"""Tables, figures and the methods text, from files as the evaluation writes them."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from html import unescape
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest

from pipeline_src.config import Study, check_study
from pipeline_src.data.preparation import PreparedData
from pipeline_src.data.store import write_store
from pipeline_src.errors import InputError
from pipeline_src.evaluation.results import METRICS, read_metrics
from pipeline_src.reporting.figures import draw_figure
from pipeline_src.reporting.methods_text import methods_paragraphs
from pipeline_src.reporting.tables import (
    main_table,
    paper_layout,
    table_notes,
    write_main_table,
)
from pipeline_src.sampling.masks import Mask, drawn_mask, write_mask

METHODS = ("fitnets", "at", "cc", "fsp", "sp")


def dataset(**values: Any) -> dict[str, Any]:
    return {
        "source": {"kind": "phantom", "anatomy": "brain", "patients": 6, "slices": 2, "matrix": 64},
        "preparation": {"matrix": [64, 64]},
        "split": {"train": 2, "validation": 2, "test": 2},
    } | values


def study_with(**values: Any) -> Study:
    data: dict[str, Any] = {
        "study": "tiny",
        "seeds": [0, 1],
        "accelerations": [4, 5],
        "datasets": {
            "heart": dataset(title="Heart phantom"),
            "brain": dataset(
                title="Brain MRI",
                source={"kind": "nifti", "path": "brain"},
                split={"train": 2, "validation": 2},
                report_on="validation",
            ),
        },
    }
    return check_study(data | values)


def models() -> list[tuple[str, str]]:
    """Models as a run may happen to list them: not in the paper's order."""
    listed = [("student", "standard"), ("teacher", "sft"), ("zero_filled", "none")]
    listed += [(m, r) for m in reversed(METHODS) for r in ("sft_kd", "std_kd")]
    return [*listed, ("teacher", "standard")]


PATIENTS = (("p2", ""), ("p1", "ED"), ("p1", "ES"))


def value(metric: str, *where: object) -> float:
    """A number for each cell, volume and seed that looks like the metric."""
    wobble = np.random.default_rng(abs(hash_of(*where, metric))).random()
    return 30 + 5 * wobble if metric == "psnr_db" else 0.8 + 0.1 * wobble


def hash_of(*where: object) -> int:
    return int.from_bytes("/".join(map(str, where)).encode(), "big") % (2**31)


def volume_rows(seeds: tuple[int, ...] = (0, 1)) -> pd.DataFrame:
    rows = []
    for name, part in (("brain", "validation"), ("heart", "test")):
        for acceleration in ("5x", "4x"):
            for model, training in models():
                for seed in seeds if training != "none" else [None]:
                    for patient, frame in PATIENTS:
                        where = (name, acceleration, model, training, seed, patient, frame)
                        rows.append(
                            {
                                "dataset": name,
                                "acceleration": acceleration,
                                "seed": seed,
                                "model": model,
                                "training": training,
                                "variant": "",
                                "part": part,
                                "patient": patient,
                                "frame": frame,
                                "slices": 2,
                            }
                            | {metric: value(metric, *where) for metric in METRICS}
                        )
    return pd.DataFrame(rows)


VOLUMES = volume_rows()


def row_of(table: pd.DataFrame, *cell: str) -> pd.Series:
    keys = ["dataset", "acceleration", "model", "training"]
    found = table[(table[keys] == list(cell)).all(axis=1)]
    assert len(found) == 1
    return found.iloc[0]


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


# The methods text.


def text_of(**values: Any) -> str:
    return "\n".join(methods_paragraphs(study_with(**values)))


def test_methods_text_has_six_paragraphs_that_name_what_was_configured() -> None:
    paragraphs = methods_paragraphs(
        study_with(
            seeds=[3, 8],
            accelerations=[6, 7],
            sampling={"seed": 11, "center_lines": 4},
            training={"epochs": 77, "batch_size": 3, "learning_rate": 2e-4, "lr_step": 33},
        )
    )
    starts = ["Data.", "Sampling.", "Networks.", "Training.", "Distillation.", "Evaluation."]
    assert [p.split()[0] for p in paragraphs] == starts
    data, sampling, networks, training, distillation, evaluation = paragraphs
    assert "Heart phantom: magnitude slices of drawn (synthetic) phantoms" in data
    assert "64 x 64" in data
    assert "train 2, validation 2, test 2" in data
    assert "6x and 7x" in sampling
    assert "seed 11" in sampling
    assert "the 4 lowest frequencies" in sampling
    assert "the teacher is D5C5" in networks
    assert "the student is D3C5" in networks
    assert "77 epochs" in training
    assert "0.0002" in training
    assert "every 33 epochs" in training
    assert "batches of 3 slices" in training
    assert "Seeds: 3 and 8." in training
    for title in ("FitNets", "AT", "CC", "FSP", "SP"):
        assert f"{title} (authors form)" in distillation
    assert "Heart phantom on test patients and Brain MRI on validation patients" in evaluation


@pytest.mark.parametrize(
    ("values", "there", "not_there"),
    [
        (
            {"sft": {"imitation_normalisation": "mean"}},
            "plain mean, as the paper writes it",
            "number of elements",
        ),
        (
            {"distillation": {"protocol": "joint", "feature_weight": 0.25}},
            "on reconstruction plus 0.25 times the feature loss",
            "feature loss alone",
        ),
        (
            {"distillation": {"imitation_weight": 0.5}},
            "plus 0.5 times imitation",
            "plus 1 times imitation",
        ),
        (
            {"methods": {"at": {"form": "original"}}, "evaluation": {"panel_methods": ["at"]}},
            "by AT (original form)",
            "FitNets",
        ),
        ({"methods": {}}, "Distillation.", "Students were distilled"),
        (
            {
                "networks": {
                    "teacher": {"depth": 7, "padding": 5},
                    "student": {"depth": 2, "padding": 5},
                }
            },
            "the teacher is D7C5 (7 convolutions of 32 features in each of 5 cascades, inputs "
            "padded by 5 pixels)",
            "D5C5",
        ),
        ({"sft": {"student_weight": 0.0}}, "0 (student branches)", "1 (student branches)"),
    ],
)
def test_methods_text_follows_the_configuration(
    values: dict[str, Any], there: str, not_there: str
) -> None:
    assert there in text_of(**values)
    assert not_there not in text_of(**values)
    assert there not in text_of() or not_there in text_of()


@pytest.mark.parametrize(
    "values",
    [
        {"distillation": {"feature_stage_selection": "last"}},
        {"methods": {name: {"cascades": [2]} for name in METHODS}},
        {"recipes": ["std_kd"]},
        {"sft": {"teacher_weight": 0.5}},
        {"training": {"lr_factor": 0.5}},
        {"networks": {"teacher": {"features": 16}, "student": {"features": 16}}},
    ],
    ids=str,
)
def test_methods_text_tells_apart_what_trains_differently(values: dict[str, Any]) -> None:
    assert text_of(**values) != text_of()


def test_methods_text_says_which_masks_were_given() -> None:
    one = study_with(
        datasets={"heart": dataset(masks={4: "m.npy", 5: "n.npy"}), "brain": dataset()}
    )
    both = study_with(datasets={"heart": dataset(masks={4: "m.npy", 5: "n.npy"})})
    sampling = methods_paragraphs(one)[1]
    assert "the masks of heart were given as files" in sampling
    assert "lines were drawn" in sampling
    assert "lines were drawn" not in methods_paragraphs(both)[1]


# Figures.


@pytest.fixture(autouse=True)
def closed_figures() -> Iterator[None]:
    yield
    plt.close("all")


def blob(seed: int) -> np.ndarray[tuple[int, int], np.dtype[np.float32]]:
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:16, :16] / 16
    return (np.exp(-((y - 0.4) ** 2 + (x - 0.6) ** 2) * 9) * rng.uniform(0.8, 1)).astype(np.float32)


def boxplot_inputs(folder: Path) -> list[Path]:
    rows = VOLUMES[(VOLUMES["dataset"] == "heart") & (VOLUMES["acceleration"] == "4x")]
    paths = []
    for number, (_, of_model) in enumerate(rows.groupby(["model", "training"])):
        paths.append(folder / f"slices{number}.csv")
        of_model.to_csv(paths[-1], index=False)
    return paths


def contact_sheet_inputs(folder: Path) -> list[Path]:
    prepared = PreparedData()
    for volume, part in enumerate(["train", "train", "validation", "test"]):
        for index in range(2):
            prepared.images.append(blob(volume))
            prepared.slices.append(
                {
                    "patient": f"p{volume}",
                    "frame": "",
                    "part": part,
                    "slice": index,
                    "volume": volume,
                }
            )
    write_store(
        folder / "volumes.h5",
        prepared,
        {"title": "Heart phantom", "synthetic": True, "display_quarter_turns": 1},
    )
    return [folder / "volumes.h5"]


def curves_inputs(folder: Path) -> list[Path]:
    paths = []
    for model in ("teacher", "sft_teacher", "student", "std_kd_fitnets", "sft_kd_fitnets"):
        for seed in (0, 1):
            run = folder / f"{model}{seed}"
            run.mkdir()
            epochs = np.arange(1, 4)
            history = pd.DataFrame(
                {
                    "epoch": epochs,
                    "validation_loss": 0.1 / (epochs + seed),
                    "validation_psnr_db": 25.0 + epochs + seed,
                }
            )
            history.to_csv(run / "history_last.csv", index=False)
            manifest = {
                "plan": {"model": model},
                "histories": ["history_first.csv", "history_last.csv"],
            }
            paths.append(run / "manifest.json")
            paths[-1].write_text(json.dumps(manifest))
    return paths


def mask_inputs(folder: Path) -> list[Path]:
    write_mask(folder / "mask.npz", drawn_mask((32, 16), 4, 0, 4))
    return [folder / "mask.npz"]


def panel_inputs(folder: Path) -> list[Path]:
    paths = []
    for number, (model, training) in enumerate(
        [("zero_filled", "none"), ("teacher", "standard"), ("fitnets", "sft_kd")]
    ):
        paths.append(folder / f"panel{number}.npz")
        np.savez(
            paths[-1],
            target=blob(0),
            image=blob(0) + np.float32(0.01) * blob(number + 1),
            psnr_db=30.0,
            ssim=0.9,
            model=model,
            training=training,
            patient="p1",
            slice=3,
            quarter_turns=1,
        )
    return paths


FIGURES = {
    "boxplot": boxplot_inputs,
    "contact_sheet": contact_sheet_inputs,
    "curves": curves_inputs,
    "mask": mask_inputs,
    "panel": panel_inputs,
}


# seaborn 0.13 still calls matplotlib in the old way.
@pytest.mark.filterwarnings("ignore:vert. bool was deprecated")
@pytest.mark.parametrize("kind", FIGURES)
def test_figure_is_drawn_as_png_and_pdf_with_the_same_bytes_every_time(
    kind: str, tmp_path: Path
) -> None:
    inputs = FIGURES[kind](tmp_path)
    for name in ("first", "second"):
        draw_figure(kind, inputs, "Heart phantom 4x", tmp_path / name / f"{kind}.png")
    folder = tmp_path / "first"
    assert {path.name for path in folder.iterdir()} == {f"{kind}.png", f"{kind}.pdf"}
    assert (folder / f"{kind}.png").read_bytes().startswith(b"\x89PNG")
    assert (folder / f"{kind}.pdf").read_bytes().startswith(b"%PDF")
    for suffix in ("png", "pdf"):
        first, second = (
            (tmp_path / name / f"{kind}.{suffix}").read_bytes() for name in ("first", "second")
        )
        assert first == second
    pixels = plt.imread(folder / f"{kind}.png")
    assert pixels.std() > 0.01


def test_drawing_a_figure_leaves_none_open(tmp_path: Path) -> None:
    plt.close("all")
    draw_figure("mask", mask_inputs(tmp_path), "Heart phantom 4x", tmp_path / "out.png")
    assert plt.get_fignums() == []


def test_figures_follow_their_inputs(tmp_path: Path) -> None:
    write_mask(tmp_path / "other.npz", drawn_mask((32, 16), 4, 1, 4))
    for name, inputs in (
        ("a", mask_inputs(tmp_path)),
        ("b", [tmp_path / "other.npz"]),
    ):
        draw_figure("mask", inputs, "Heart phantom 4x", tmp_path / f"{name}.png")
    assert (tmp_path / "a.png").read_bytes() != (tmp_path / "b.png").read_bytes()


def test_mask_that_is_given_and_not_of_whole_lines_is_drawn(tmp_path: Path) -> None:
    samples = np.random.default_rng(0).random((16, 16)) < 0.5
    samples[0, 0] = True
    write_mask(tmp_path / "mask.npz", Mask(samples, {"kind": "given", "file": "m.npy"}))
    draw_figure("mask", [tmp_path / "mask.npz"], "Heart", tmp_path / "out.png")
    assert (tmp_path / "out.png").stat().st_size > 0


@pytest.mark.parametrize("kind", FIGURES)
def test_figure_of_a_missing_input_is_refused_and_nothing_is_left(
    kind: str, tmp_path: Path
) -> None:
    with pytest.raises(InputError, match="absent"):
        draw_figure(kind, [tmp_path / "absent"], "Heart", tmp_path / "out" / f"{kind}.png")
    assert not (tmp_path / "out").exists()
