"""Ids of any kind from the store to every table: what they are called changes no number."""

from __future__ import annotations

import math
import random
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from figure_helpers import blob
from hostile_text import drawn_ids
from reporting_helpers import SFT_AT, STD_AT, STUDENT, TEACHER, measured, written_metrics

from pipeline_src.data.preparation import PreparedData
from pipeline_src.data.store import read_store, write_store
from pipeline_src.evaluation import comparison
from pipeline_src.evaluation.evaluate import Evaluator
from pipeline_src.evaluation.metrics_files import read_metrics
from pipeline_src.evaluation.statistics import Array
from pipeline_src.evaluation.subject import Subject
from pipeline_src.reporting.figures.boxplot import patient_means
from pipeline_src.reporting.tables.differences import difference_table
from pipeline_src.reporting.tables.labels import DatasetLabel, Labels
from pipeline_src.reporting.tables.main_table import aggregate, main_table
from pipeline_src.reporting.tables.paper import read_paper
from pipeline_src.reporting.tables.study_tables import IDENTITY, study_tables, write_study_tables
from pipeline_src.sampling.masks import drawn_mask, write_mask
from pipeline_src.tabular import read_rows

#: No two differences of a patient are equal, for which the exact test takes long.
MODELS = {
    TEACHER: lambda seed, patient: 40 + math.sin(1 + seed + patient),
    STD_AT: lambda seed, patient: 36 + math.sin(2 + seed + 2 * patient),
    SFT_AT: lambda seed, patient: 37 + math.sin(3 + seed + 3 * patient),
    ("zero_filled", "none"): 20.0,
}
PATIENTS = 12


@pytest.fixture(autouse=True)
def quick_intervals(monkeypatch: pytest.MonkeyPatch) -> None:
    """In place of the bootstrap, which takes long and depends on the order of the patients."""

    def ends(matrices: list[Array], **_: object) -> list[tuple[float, float]]:
        return [(float(matrix.min()), float(matrix.max())) for matrix in matrices]

    monkeypatch.setattr(comparison, "bootstrap_intervals", ends)


def metrics_of(patients: list[str], datasets: list[str], frames: list[str]) -> pd.DataFrame:
    """Two data sets, two volumes per patient."""
    rows = measured(MODELS, patients=PATIENTS)
    rows.loc[rows["training"] == "none", "seed"] = np.nan
    rows = rows.drop_duplicates()
    rows["patient"] = rows["patient"].map(lambda name: patients[int(name[1:])])
    both = [rows.assign(dataset=name, frame=frame) for name in datasets for frame in frames]
    return pd.concat(both, ignore_index=True)


@pytest.mark.parametrize("seed", range(3))
def test_names_change_no_number_of_any_table(seed: int, tmp_path: Path, project_root: Path) -> None:
    rng = random.Random(seed)
    patients, datasets = drawn_ids(rng, PATIENTS), drawn_ids(rng, 2)
    frames = drawn_ids(rng, 2)
    rows = metrics_of(patients, datasets, frames)
    found = read_metrics(written_metrics(rows, tmp_path / "metrics"))
    for column, names in (("patient", patients), ("dataset", datasets), ("frame", frames)):
        assert set(found[column]) == set(names)
    assert len(found) == len(rows)

    plain = metrics_of([f"p{k:02}" for k in range(PATIENTS)], ["one", "two"], ["ED", "ES"])
    paper = read_paper(project_root / "config" / "paper_results.csv")
    plain_labels = Labels.of_metrics(plain)
    # Files are read in the order of their names here; the study's order is the configuration's.
    labels = Labels({name: DatasetLabel(name) for name in datasets}, ("4x",))
    ours, theirs = (
        study_tables(*given, paper) for given in ((found, labels), (plain, plain_labels))
    )
    for name, (tidy, layout, _) in theirs.items():
        numbers = tidy.select_dtypes("number")
        pd.testing.assert_frame_equal(ours[name][0][list(numbers)], numbers, check_dtype=False)
        assert ours[name][1].shape == layout.shape

    of_at = found[(found["model"] == "at") & (found["dataset"] == datasets[0])]
    assert set(patient_means(of_at, "ssim").dropna().index) == set(patients)


@pytest.mark.parametrize("seed", range(3))
def test_all_numbers_have_the_ids_as_they_are(
    seed: int, tmp_path: Path, project_root: Path
) -> None:
    rng = random.Random(100 + seed)
    rows = metrics_of(drawn_ids(rng, PATIENTS), drawn_ids(rng, 2), drawn_ids(rng, 2))
    files = written_metrics(rows, tmp_path / "metrics")
    paper = project_root / "config" / "paper_results.csv"
    write_study_tables(files, None, paper, tmp_path / "out")
    numbers = read_rows(tmp_path / "out" / "all_numbers.csv", "numbers", ("seed", "value"))
    psnr = numbers[numbers["metric"] == "psnr_db"]
    keys = [key for key in IDENTITY if key != "seed"]

    def by_id(table: pd.DataFrame, value: str) -> dict[tuple[object, ...], float]:
        seeds = table["seed"].fillna(-1)
        ids = zip(seeds, *(table[key] for key in keys), strict=True)
        return dict(zip(ids, table[value], strict=True))

    assert by_id(psnr, "value") == by_id(rows, "psnr_db")
    # In the tables that people open, the names come back by our own reader.
    main = read_rows(tmp_path / "out" / "main.csv", "table", (), of_spreadsheet=True)
    assert set(main["dataset"]) == set(rows["dataset"])


def test_a_variant_called_na_is_no_model_of_the_study() -> None:
    rows = measured({STUDENT: 30.0})
    both = pd.concat([rows, rows.assign(variant="NA", psnr_db=90.0)])
    labels = Labels.of_metrics(both)
    assert main_table(both, labels)["psnr_db"].max() < 40
    assert aggregate(both, labels)["variant"].tolist() == ["", "NA"]
    assert difference_table(both, labels).empty


@pytest.mark.parametrize("seed", range(3))
def test_ids_of_a_store_come_out_of_the_evaluation_as_they_are(seed: int, tmp_path: Path) -> None:
    ids = drawn_ids(random.Random(seed), 12)
    prepared = PreparedData()
    for volume, (patient, frame) in enumerate(zip(ids, ids[::-1], strict=True)):
        prepared.images.append(blob(volume))
        place = {"patient": patient, "frame": frame, "slice": 0, "volume": volume}
        prepared.slices.append(place | {"part": "test"})
    write_store(tmp_path / "volumes.h5", prepared, {"display_quarter_turns": 0})
    write_mask(tmp_path / "mask.npz", drawn_mask((16, 16), 4, 0, 2))
    labels = {"dataset": ids[0], "acceleration": "4x"}
    evaluation = Evaluator(tmp_path / "volumes.h5", tmp_path / "mask.npz", "test", labels)
    subject = Subject(tmp_path / "zero", "zero_filled")
    volumes, slices, _ = evaluation.evaluate(subject, subject.folder)
    for path in (volumes, slices):
        found = read_metrics([path], slices=path == slices)
        assert found["patient"].tolist() == ids
        assert found["frame"].tolist() == ids[::-1]
        assert set(found["dataset"]) == {ids[0]}
        # Where they were measured, too.
        assert set(found["data"]) == {read_store(tmp_path / "volumes.h5").digest[:12]}
        assert set(found["sampled"]) == {4 / 16}
    plt.close("all")
