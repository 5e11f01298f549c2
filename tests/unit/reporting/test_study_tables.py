"""All tables of a study from files as the evaluation writes them, by the command."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from reporting_helpers import (
    SFT_TEACHER,
    STUDENT,
    TEACHER,
    VOLUMES,
    Model,
    Value,
    dataset,
    measured,
    study_with,
    written_metrics,
)
from unit_helpers import one_line

from pipeline_src.cli import main
from pipeline_src.errors import InputError
from pipeline_src.evaluation.metrics import METRICS, MORE
from pipeline_src.evaluation.metrics_files import read_metrics
from pipeline_src.files import sha256_file
from pipeline_src.planning.places import MEASURED
from pipeline_src.reporting.display_names import TABLE_TITLES, TABLES
from pipeline_src.reporting.tables.formats import FORMATS
from pipeline_src.reporting.tables.labels import Labels
from pipeline_src.reporting.tables.paper import read_paper
from pipeline_src.reporting.tables.study_tables import (
    MEASURED_TABLES,
    study_tables,
    write_study_tables,
)

SUFFIXES = ("csv", "md", "tex", "html")
AT = ("at", "sft_kd")
Tables = Callable[..., tuple[int, str]]


@pytest.fixture
def paper(project_root: Path) -> Path:
    return project_root / "config" / "paper_results.csv"


@pytest.fixture
def tables(tmp_path: Path, paper: Path, capsys: pytest.CaptureFixture[str]) -> Tables:
    """Runs the tables command on rows or files into the folder `out`; status and stderr."""

    def run(given: pd.DataFrame | list[Path], *options: str) -> tuple[int, str]:
        if isinstance(given, pd.DataFrame):
            given = written_metrics(given, tmp_path / "metrics")
        files = [str(path) for path in given]
        where = ["--paper", str(paper), "--output", str(tmp_path / "out")]
        status = main(["tables", *files, *where, *options])
        return status, capsys.readouterr().err

    return run


def names(*tables: str) -> set[str]:
    return {f"{table}.{suffix}" for table in tables for suffix in SUFFIXES} | {"all_numbers.csv"}


small = partial(measured, seeds=(0, 1), patients=2)
SMALL = small({TEACHER: 40.0, SFT_TEACHER: 40.5, STUDENT: 38.0})


# What is written.


def test_every_table_is_written_in_four_formats_with_all_numbers(
    paper: Path, tmp_path: Path
) -> None:
    assert SUFFIXES == FORMATS
    assert set(TABLES) >= {"main", "claims", "differences", "gap", "paper", *MORE}
    ablations = {"terms": {"models": ["sft_kd_at"], "variants": {"v": {"set": {}}}}}
    study = study_with(accelerations=[4], ablations=ablations)
    rows = VOLUMES[VOLUMES["acceleration"] == "4x"]
    files = written_metrics(rows, tmp_path / "metrics")
    written = write_study_tables(files, study, paper, tmp_path / "out")
    assert {path.name for path in written} == names(*TABLES, "ablation_terms")
    assert set(written) == set((tmp_path / "out").iterdir())
    # Titles are the study's.
    assert "Heart phantom 4x" in (tmp_path / "out" / "main.md").read_text(encoding="utf-8")
    ablation = (tmp_path / "out" / "ablation_terms.md").read_text(encoding="utf-8")
    assert "| as configured " in ablation
    assert "- Rows set these keys, and nothing else: v: nothing.\n" in ablation


def test_each_table_has_rows_a_layout_and_notes(paper: Path) -> None:
    labels = Labels.of_metrics(SMALL)
    made = study_tables(SMALL, labels, read_paper(paper))
    assert tuple(made) == TABLES
    for tidy, layout, notes in made.values():
        assert len(tidy)
        assert len(layout)
        assert notes
        assert layout.map(lambda cell: isinstance(cell, str)).all(axis=None)


def test_the_command_needs_no_configuration(tables: Tables, tmp_path: Path) -> None:
    varied = small({AT: 45.0}, variant="terms.v")
    assert tables(pd.concat([SMALL, varied])) == (0, "")
    found = {path.name for path in (tmp_path / "out").iterdir()}
    assert found == names(*TABLES) | {"main.manifest.json"}
    text = (tmp_path / "out" / "main.md").read_text(encoding="utf-8")
    assert "heart 4x Std-KD" in text
    assert "kind of images not stated" in text
    # Ablations need the study; their variants are no rows of it.
    assert "| AT " not in text
    manifest = json.loads((tmp_path / "out" / "main.manifest.json").read_text(encoding="utf-8"))
    assert manifest["study"] is None
    assert len(manifest["inputs"]) == 6 + 1 + 2


def test_an_ablation_is_restricted_to_its_data_sets_and_accelerations(
    tables: Tables, tmp_path: Path, write_config: Any
) -> None:
    data = {"heart": dataset(title="Heart"), "brain": dataset(title="Brain")}
    study = study_with(datasets=data).model_dump(mode="json")
    variants = {"one": {"title": "one branch", "set": {"sft": {"branches": 1}}}}
    ablation = {"models": ["sft_teacher"], "variants": variants}
    study["ablations"] = {
        "here": ablation | {"datasets": ["brain"], "accelerations": [5]},
        "all": ablation | {"accelerations": [5]},
    }
    rows = [
        small({TEACHER: 40.0, SFT_TEACHER: 41.0}, dataset=name, acceleration=acceleration)
        for name in ("heart", "brain")
        for acceleration in ("4x", "5x")
    ]
    brain = {"dataset": "brain", "acceleration": "5x"}
    rows += [small({SFT_TEACHER: 42.0}, variant=f"{a}.one", **brain) for a in ("here", "all")]
    config = str(write_config(study))
    assert tables(pd.concat(rows), "--config", config) == (0, "")
    text = (tmp_path / "out" / "ablation_all.md").read_text(encoding="utf-8")
    assert "a dash: 1 (Heart 5x sft_teacher@all.one).\n" in text
    assert "a dash" not in (tmp_path / "out" / "ablation_here.md").read_text(encoding="utf-8")

    rows.append(small({SFT_TEACHER: 42.0}, variant="all.one", dataset="heart", acceleration="5x"))
    assert tables(pd.concat(rows), "--config", config) == (0, "")
    for name, settings in (("here", ["Brain 5x"]), ("all", ["Heart 5x", "Brain 5x"])):
        text = (tmp_path / "out" / f"ablation_{name}.md").read_text(encoding="utf-8")
        head = [cell.strip() for cell in text.splitlines()[0].split("|")[2:-1]]
        own = [column for column in head if "difference" not in column]
        assert own == [f"{setting} SFT teacher" for setting in settings]
        assert "| one branch " in text
        assert "a dash" not in text


def test_tables_of_the_same_metrics_have_the_same_bytes(tables: Tables, tmp_path: Path) -> None:
    files = written_metrics(SMALL, tmp_path / "metrics")
    assert tables(files)[0] == 0
    first = {p.name: p.read_bytes() for p in (tmp_path / "out").iterdir() if p.suffix != ".json"}
    assert tables(files)[0] == 0
    for name, content in first.items():
        assert (tmp_path / "out" / name).read_bytes() == content


# All numbers.


def test_all_numbers_come_back_exactly(tables: Tables, tmp_path: Path) -> None:
    rows = VOLUMES[(VOLUMES["dataset"] == "heart") & (VOLUMES["acceleration"] == "4x")].copy()
    rows = rows[rows["model"].isin(["zero_filled", "student", "at"])]
    # Numbers of all sizes with all their digits, and some that are missing.
    rng = np.random.default_rng(3)
    for metric in METRICS:
        largest = 1 if metric == "ssim" else 3
        rows[metric] = rng.random(len(rows)) * 10.0 ** rng.integers(-9, largest, len(rows))
    rows.loc[rows["patient"] == "p2", "vif"] = math.nan
    assert tables(rows) == (0, "")
    path = tmp_path / "out" / "all_numbers.csv"
    found = pd.read_csv(path, dtype={"seed": str, "frame": str}, keep_default_na=False)
    assert len(found) == len(rows) * len(METRICS)
    keys = ["model", "training", "seed", "patient", "frame", "metric"]
    values = {tuple(row[key] for key in keys): row["value"] for _, row in found.iterrows()}
    assert len(values) == len(found)
    for _, row in rows.iterrows():
        seed = "" if pd.isna(row["seed"]) else str(int(row["seed"]))
        for metric in METRICS:
            key = (row["model"], row["training"], seed, row["patient"], row["frame"], metric)
            value = values[key]
            assert value == "" if math.isnan(row[metric]) else float(value) == row[metric]
    assert set(found["part"]) == {"test"}


# Metrics files that are not as expected.


@pytest.mark.parametrize(
    ("models", "row"),
    [
        ({STUDENT: 30.0}, "Student"),
        ({AT: 30.0, STUDENT: 29.0}, "AT"),
        ({SFT_TEACHER: 40.0}, "Teacher"),
        ({("zero_filled", "none"): 20.0}, "Zero-filled"),
    ],
)
def test_some_of_the_models_are_enough(
    models: dict[Model, Value], row: str, tables: Tables, tmp_path: Path
) -> None:
    rows = small(models)
    rows["seed"] = rows["seed"].where(rows["training"] != "none")
    # A patient of one volume needs no frame.
    assert tables(rows.drop_duplicates().drop(columns="frame")) == (0, "")
    assert f"\n| {row} " in (tmp_path / "out" / "main.md").read_text(encoding="utf-8")


def test_metrics_of_several_files_are_read_one_under_the_other(tmp_path: Path) -> None:
    rows = VOLUMES.iloc[:4].assign(patient=["001", "002", "003", "004"])
    rows.iloc[:3].to_csv(tmp_path / "a.csv", index=False)
    rows.iloc[3:].to_csv(tmp_path / "b.csv", index=False)
    found = read_metrics([tmp_path / "a.csv", tmp_path / "b.csv"])
    # A patient's id is a name, not a number.
    assert found["patient"].tolist() == ["001", "002", "003", "004"]
    assert found["psnr_db"].tolist() == rows["psnr_db"].tolist()
    assert list(found.index) == [0, 1, 2, 3]


def test_no_metrics_file_and_no_file_of_the_paper_are_refused(
    tables: Tables, tmp_path: Path
) -> None:
    with pytest.raises(InputError, match="no metrics file"):
        read_metrics([])
    status, error = tables(SMALL, "--paper", str(tmp_path / "none.csv"))
    assert (status, "none.csv: results of the paper cannot be read" in one_line(error)) == (2, True)


ZERO = small({("zero_filled", "none"): 20.0}).query("seed == 0").assign(seed=None)
HEADER = ",".join(SMALL.columns)
BAD: dict[str, tuple[Any, list[str]]] = {
    "missing": (None, ["bad.csv: ", "No such file"]),
    "empty": ("", ["bad.csv: metrics cannot be read"]),
    "bytes": ("\x00\x01\n,,\n", ["bad.csv: "]),
    "heading only": (HEADER + "\n", ["bad.csv: ", "no metrics"]),
    "no ssim": (SMALL.drop(columns=["ssim", "patient"]), ["missing: patient, ssim\n"]),
    "words": (SMALL.assign(psnr_db="good"), ["bad.csv: ", "psnr_db"]),
    "seed": (SMALL.assign(seed="first"), ["bad.csv: ", "seed"]),
    "variants": (SMALL.assign(variant="a.b"), ["variants"]),
    "twice": (pd.concat([SMALL, SMALL]), ["measured more than once"]),
    "zero filling twice": (pd.concat([SMALL, ZERO, ZERO]), ["there twice"]),
    "half a seed": (SMALL.assign(seed=SMALL["seed"] + 0.5), ["seed", "not a seed"]),
    "parts": (
        pd.concat([SMALL, SMALL.assign(part="validation")]),
        ["of one part", "test and validation"],
    ),
}


@pytest.mark.parametrize("case", BAD)
def test_metrics_that_are_none_are_refused_in_one_line_and_nothing_is_written(
    case: str, tables: Tables, tmp_path: Path
) -> None:
    content, said = BAD[case]
    path = tmp_path / "bad.csv"
    if isinstance(content, pd.DataFrame):
        content.to_csv(path, index=False)
    elif content is not None:
        path.write_text(content)
    status, error = tables([path])
    assert status == 2
    for words in said:
        assert words in one_line(error)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("change", [{"dataset": "liver"}, {"acceleration": "7x"}])
def test_metrics_of_another_study_are_refused_in_one_line(
    change: dict[str, str], tables: Tables, write_config: Any
) -> None:
    config = str(write_config(study_with().model_dump(mode="json")))
    status, error = tables(SMALL.assign(**change), "--config", config)
    assert status == 2
    [(column, value)] = change.items()
    assert f"metrics are of {column} '{value}', which" in one_line(error)


def test_the_manifest_names_every_table_and_metric(
    tables: Tables, tmp_path: Path, paper: Path, write_config: Any
) -> None:
    files = written_metrics(SMALL, tmp_path / "metrics")
    config = write_config(study_with().model_dump(mode="json"))
    assert tables(files, "--config", str(config)) == (0, "")
    manifest = json.loads((tmp_path / "out" / "main.manifest.json").read_text(encoding="utf-8"))
    given = {role: value["sha256"] for role, value in manifest["inputs"].items()}
    expected = {f"metrics/{number}": sha256_file(path) for number, path in enumerate(files)}
    # Of the configuration, what was used stands among the settings.
    expected |= {"paper": sha256_file(paper)}
    assert given == expected
    assert set(manifest["outputs"]) == names(*TABLES)
    assert list(manifest["settings"]["datasets"]) == ["heart", "brain"]
    assert manifest["study"] == "tiny"


def test_every_measurement_has_a_table_and_a_title() -> None:
    assert tuple(MEASURED_TABLES) == MEASURED
    assert set(MEASURED) <= set(TABLE_TITLES)
