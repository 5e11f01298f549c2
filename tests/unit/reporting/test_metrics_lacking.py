"""Files that were measured before there was a metric are read without it, and tables say so."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest
from reporting_helpers import SFT_TEACHER, STUDENT, TEACHER, measured, written_metrics

from pipeline_src.errors import InputError
from pipeline_src.evaluation.metrics import METRICS, MORE
from pipeline_src.evaluation.metrics_files import read_metrics
from pipeline_src.reporting.display_names import MISSING
from pipeline_src.reporting.tables.labels import Labels
from pipeline_src.reporting.tables.paper import read_paper
from pipeline_src.reporting.tables.study_tables import study_tables, write_study_tables

ROWS = measured({TEACHER: 40.0, SFT_TEACHER: 40.5, STUDENT: 38.0}, (0, 1, 2), 3)


@pytest.fixture
def paper(project_root: Path) -> Path:
    return project_root / "config" / "paper_results.csv"


def written_tables(rows: pd.DataFrame, folder: Path, paper: Path) -> dict[str, str]:
    """Each table of the files of these metrics, as Markdown."""
    files = written_metrics(rows, folder / "metrics")
    written = write_study_tables(files, None, paper, folder / "tables")
    return {path.stem: path.read_text(encoding="utf-8") for path in written if path.suffix == ".md"}


@pytest.mark.parametrize("lacking", [MORE[:1], MORE])
def test_metrics_that_all_files_lack_are_told_and_other_tables_are_as_before(
    lacking: tuple[str, ...], tmp_path: Path, paper: Path
) -> None:
    whole = written_tables(ROWS, tmp_path / "whole", paper)
    found = written_tables(ROWS.drop(columns=[*lacking]), tmp_path / "old", paper)
    assert {name for name in whole if found[name] != whole[name]} == {*lacking, "differences_more"}
    for metric in lacking:
        assert "\n| Teacher " in found[metric]
        assert "0.5" not in found[metric]
        note = f"- Without {METRICS[metric].heading}, which was not measured (evaluate again)"
        assert note in found[metric]
        assert note in found["differences_more"]
    headings = found["differences_more"].splitlines()[0]
    for metric in set(MORE) - set(lacking):
        assert METRICS[metric].heading in headings
    # Where nothing is left, the table says of each that it cannot tell.
    assert (METRICS[lacking[0]].heading in headings) == (lacking == MORE)
    assert "better" not in found["differences_more"].split("\n\n")[0] or lacking != MORE


def test_a_metric_that_one_model_lacks_is_compared_for_the_others_alone(
    tmp_path: Path, paper: Path
) -> None:
    of_student = ROWS["model"] == "student"
    files = written_metrics(ROWS[~of_student], tmp_path / "new")
    files += written_metrics(ROWS[of_student].drop(columns="vif"), tmp_path / "old")
    volumes = read_metrics(files)
    assert (volumes["vif"].isna() == (volumes["model"] == "student")).all()
    made = study_tables(volumes, Labels.of_metrics(volumes), read_paper(paper))
    told = (
        "Without VIF, which was measured for others alone (evaluate again): 1 (heart 4x Student)."
    )
    _, layout, notes = made["vif"]
    assert layout.loc["Student"].tolist() == [MISSING, MISSING]
    assert layout.loc["Teacher"].tolist() == ["0.5000 ± 0.0000"] * 2
    assert told in notes
    differences, _, notes = made["differences_more"]
    of_vif = differences[differences["metric"] == "vif"].set_index("first_title")
    assert of_vif.loc["SFT teacher", "effect"] == 0
    assert of_vif.loc["Teacher", "verdict"] == "cannot tell"
    assert pd.isna(of_vif.loc["Teacher", "effect"])
    assert told in notes


@pytest.mark.parametrize("metric", ["psnr_db", "ssim"])
def test_metrics_of_the_main_table_are_needed(metric: str, tmp_path: Path) -> None:
    files = written_metrics(ROWS.drop(columns=metric), tmp_path)
    with pytest.raises(InputError, match=f"columns missing: {metric}"):
        read_metrics(files)
