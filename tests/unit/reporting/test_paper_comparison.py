"""Beside the paper: its values, cell by cell."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest
from paper_helpers import KEYS, LABELS, cells
from reporting_helpers import (
    MATCHED,
    METHODS,
    SFT_TEACHER,
    STUDENT,
    TEACHER,
)

from pipeline_src.errors import InputError
from pipeline_src.reporting.tables.paper import (
    cell_layout,
    cell_table,
    read_paper,
)


def test_the_papers_table_has_its_56_cells(paper: pd.DataFrame) -> None:
    own = [("zero_filled", "none"), TEACHER, SFT_TEACHER, STUDENT]
    models = {*own, *((m, recipe) for m in METHODS for recipe in ("std_kd", "sft_kd"))}
    found = {tuple(row) for row in paper[KEYS].itertuples(index=False)}
    assert len(paper) == len(found) == 56
    assert found == {
        (name, acceleration, *model)
        for name in ("mrbrains", "cardiac")
        for acceleration in ("4x", "5x")
        for model in models
    }
    values = paper.set_index(KEYS)
    for cell, psnr, ssim in (
        (("mrbrains", "4x", "fitnets", "sft_kd"), 40.08, 0.9790),
        (("cardiac", "4x", "zero_filled", "none"), 24.27, 0.6996),
        (("cardiac", "5x", "sp", "sft_kd"), 30.83, 0.8865),
    ):
        assert values.loc[cell].tolist() == [psnr, ssim]


def test_the_papers_file_names_its_source(project_root: Path) -> None:
    text = (project_root / "config" / "paper_results.csv").read_text(encoding="utf-8")
    comment = " ".join(line for line in text.splitlines() if line.startswith("#"))
    for part in ("Matcha", "SFT-KD-Recon", "MIDL 2023", "arXiv 2304.05057", "validation volumes"):
        assert part in comment


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (None, "cannot be read"),
        ("", "cannot be read"),
        ("dataset,model,psnr_db\n", "columns missing: acceleration, ssim, training"),
    ],
)
def test_a_papers_file_that_is_none_is_refused(
    content: str | None, said: str, tmp_path: Path
) -> None:
    if content is not None:
        (tmp_path / "paper.csv").write_text(content)
    with pytest.raises(InputError, match=rf"paper\.csv: .*{said}"):
        read_paper(tmp_path / "paper.csv")


# Cell by cell.


@pytest.mark.parametrize(
    ("psnr_by", "ssim_by", "verdict"),
    [
        (0.0, 0.0, "agrees"),
        (0.3, 0.003, "agrees"),
        (-0.3, -0.003, "agrees"),
        (0.31, 0.0, "differs"),
        (-0.31, 0.0, "differs"),
        (0.0, 0.0031, "differs"),
        (0.0, -0.0031, "differs"),
    ],
)
@pytest.mark.parametrize("cell", [("mrbrains", "4x", *TEACHER), ("heart", "5x", "cc", "std_kd")])
def test_a_cell_agrees_within_the_tolerance_the_boundary_included(
    cell: tuple[str, str, str, str],
    psnr_by: float,
    ssim_by: float,
    verdict: str,
    paper: pd.DataFrame,
) -> None:
    of_paper = ("cardiac" if cell[0] == "heart" else cell[0], *cell[1:])
    psnr, ssim = paper.set_index(KEYS).loc[of_paper]
    ours = pd.DataFrame(
        [(*cell, psnr + psnr_by, ssim + ssim_by)], columns=[*KEYS, "psnr_db", "ssim"]
    )
    found = cell_table(ours, LABELS, paper).iloc[0]
    assert found["verdict"] == verdict
    assert (found["psnr_db_paper"], found["ssim_paper"]) == (psnr, ssim)
    assert found["psnr_db_difference"] == pytest.approx(psnr_by)
    assert found["ssim_difference"] == pytest.approx(ssim_by)


def test_values_stand_beside_the_papers_only_where_the_data_set_is_the_papers(
    paper: pd.DataFrame,
) -> None:
    ours = pd.concat(
        [
            cells({TEACHER: 40.0}, "own"),
            cells({TEACHER: 40.0, MATCHED: 39.0}, "mrbrains"),
            cells({STUDENT: 30.0}, "heart", "5x"),
        ],
        ignore_index=True,
    )
    table = cell_table(ours, LABELS, paper)
    assert table["verdict"].tolist() == [
        "not comparable",
        "differs",
        "not in the paper",
        "differs",
    ]
    beside = [column for column in table if column.endswith(("_paper", "_difference"))]
    assert len(beside) == 4
    assert table.loc[[0, 2], beside].isna().all(axis=None)
    assert table.loc[1, "psnr_db_difference"] == pytest.approx(40 - 40.05)
    assert table.loc[3, "psnr_db_difference"] == pytest.approx(30 - 30.59)

    layout = cell_layout(table, LABELS)
    # Settings without a single comparable cell have a line that says so.
    assert list(layout.index) == [
        "MRBrainS 4x: Teacher",
        "MRBrainS 5x",
        "Cardiac 4x",
        "Cardiac 5x: Student",
        "Own 4x",
        "Own 5x",
    ]
    assert layout.loc["MRBrainS 4x: Teacher"].tolist() == [
        "40.00 / 0.4000",
        "40.05 / 0.9785",
        "-0.05 / -0.5785",
        "differs",
    ]
    for title in ("Own 4x", "Own 5x"):
        *values, verdict = layout.loc[title]
        assert values == ["", "", ""]
        assert verdict == "not comparable: not the paper's data set or preparation"
    # These are the paper's data sets; they only were not measured.
    for title in ("MRBrainS 5x", "Cardiac 4x"):
        assert "not the paper's" not in layout.loc[title, "verdict"]
