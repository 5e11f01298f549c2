"""Studies whose records lie beside the documents: the code still makes their tables and figures of
them, and the documents quote nothing else.
"""

from __future__ import annotations

import csv
import io
import re
import tarfile
from pathlib import Path
from typing import IO, cast

import numpy as np
import pytest
from matplotlib import ft2font
from numpy.typing import NDArray
from PIL import Image

from pipeline_src.cli import main
from pipeline_src.provenance.archive import RECORDS

DOCS = Path(__file__).resolve().parents[2] / "docs"
STUDIES = sorted(path.parent for path in (DOCS / "studies").glob(f"*/{RECORDS}"))
#: A document names the study that its numbers are of.
NAMED = re.compile(
    r"<!-- numbers of studies/(\w+) -->(.*?)(?=<!-- numbers of |<!-- end -->|\Z)", re.S
)
#: What a study measured, as text writes it: decibels with two decimals, SSIM with four.
NUMBER = re.compile(r"(?<![\d.])[-+]?\d+\.(?:\d{4}|\d{2})(?!\d|\s*(?:mm|h|s|min)\b)")

#: The FreeType of matplotlib's wheels, which draws the letters of the kept figures.
KEPT_WITH = "2.14.3"
#: Levels of 255 by which another processor's last bit may move a pixel.
MOST = 8

pytestmark = pytest.mark.skipif(not STUDIES, reason="no study's records lie in docs/studies")


def pixels(path: Path) -> NDArray[np.int16]:
    with Image.open(path) as image:
        return np.asarray(image.convert("RGB"), dtype=np.int16)


@pytest.mark.parametrize("folder", STUDIES, ids=lambda path: path.name)
def test_tables_and_figures_are_what_the_code_makes_of_the_records(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    results = tmp_path / folder.name
    assert main(["restore", str(folder), "--output", str(results)]) == 0, capsys.readouterr()
    assert (results / "report.html").exists()
    drawn = {
        path.relative_to(results).with_suffix("") for path in results.rglob("figures/**/*.png")
    }
    kept = {path.relative_to(folder).with_suffix("") for path in folder.rglob("figures/**/*.webp")}
    assert drawn == kept != set()
    if ft2font.__freetype_version__ != KEPT_WITH:
        pytest.skip(f"tables agree; figures were kept with FreeType {KEPT_WITH}")
    for place in sorted(drawn):
        now, then = (pixels(at / f"{place}{s}") for at, s in ((results, ".png"), (folder, ".webp")))
        assert now.shape == then.shape, place
        assert abs(now - then).max() <= MOST, place


def quoted() -> list[tuple[str, str, str]]:
    """Document, study, and the text that quotes it."""
    return [
        (path.name, study, text)
        for path in sorted(DOCS.glob("*.md"))
        for study, text in NAMED.findall(path.read_text(encoding="utf-8"))
    ]


@pytest.mark.parametrize(("document", "study", "text"), quoted(), ids=lambda value: value[:20])
def test_documents_quote_the_tables(document: str, study: str, text: str) -> None:
    tables = "\n".join(
        path.read_text(encoding="utf-8") for path in (DOCS / "studies" / study).glob("tables/*.md")
    )
    known = {number.lstrip("+") for number in NUMBER.findall(tables)}
    found = NUMBER.findall(text)
    assert found, f"{document} quotes no number of {study}"
    assert [number for number in found if number.lstrip("+") not in known] == []


def losses(study: str) -> dict[str, list[str]]:
    """The validation losses of every stage of a study, as its records have them."""
    found = {}
    with tarfile.open(DOCS / "studies" / study / RECORDS) as records:
        for member in records:
            if Path(member.name).name.startswith("history_"):
                rows = io.TextIOWrapper(cast("IO[bytes]", records.extractfile(member)), "utf-8")
                found[member.name] = [row["validation_loss"] for row in csv.DictReader(rows)]
    return found


def test_two_studies_have_trained_the_same_models_alike() -> None:
    """On other processors and by other versions of the code."""
    first, second = losses("replication_seeds"), losses("replication_gap")
    shared = first.keys() & second.keys()
    assert len({Path(name).parent for name in shared}) == 25
    assert sum(len(first[name]) for name in shared) == 1200
    assert all(first[name] == second[name] for name in shared)


def test_every_study_is_quoted() -> None:
    assert {folder.name for folder in STUDIES} <= {study for _, study, _ in quoted()}
