"""Titles that some reader takes for more than text, through every writer that people read."""

from __future__ import annotations

import csv
import io
import json
import re
import unicodedata
from html import unescape
from html.parser import HTMLParser
from importlib import import_module
from pathlib import Path

import matplotlib.pyplot as plt
import pandas as pd
import pytest
from crate_helpers import make_results
from figure_helpers import INPUTS, cut_off, drawn_texts, heading
from hostile_text import TITLES
from reporting_helpers import dataset, study_with

from pipeline_src.files import write_text
from pipeline_src.provenance.crate import crate_metadata
from pipeline_src.provenance.crate_content import read_results
from pipeline_src.reporting.figure_style import apply_style
from pipeline_src.reporting.figures import draw_figure, mask
from pipeline_src.reporting.figures.kinds import KINDS
from pipeline_src.reporting.report import write_report
from pipeline_src.reporting.tables.answers import COLUMNS
from pipeline_src.reporting.tables.formats import html_table, write_table
from pipeline_src.text import one_line

PLAIN = "Brain MRI, T1-w: R & D (50 %) < 3"


class Tags(HTMLParser):
    """The tags and the text of a page."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.text = ""
        self.feed(page)

    def handle_starttag(self, tag: str, _: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)

    def handle_data(self, data: str) -> None:
        self.text += data


def obeyed(text: str) -> str:
    """The characters that a terminal would obey, besides the ends of lines."""
    return "".join(c for c in text if unicodedata.category(c) == "Cc" and c != "\n")


def layout_of(titles: list[str]) -> pd.DataFrame:
    layout = pd.DataFrame(
        {(f"{title} 4x", "SSIM"): titles for title in titles}, index=pd.Index(titles)
    )
    layout.columns.names = [None, "corner"]
    return layout


def written(folder: Path, titles: list[str]) -> dict[str, str]:
    tidy = pd.DataFrame({"dataset_title": titles, "psnr_db": 1.5})
    paths = write_table(folder / "table", tidy, [layout_of(titles)], [f"{t}: note" for t in titles])
    return {path.suffix[1:]: path.read_bytes().decode() for path in paths}


@pytest.mark.parametrize("title", TITLES)
def test_tables_hold_a_title_as_text(title: str, tmp_path: Path) -> None:
    found = written(tmp_path, [title])

    lines = list(csv.reader(io.StringIO(found["csv"], newline="")))
    assert len(lines) == 2
    cell = lines[1][0]
    assert cell.removeprefix("'") == title
    assert cell[0] not in "=+-@\t\r"

    assert not obeyed(found["md"])
    md = found["md"].splitlines()
    assert len(md) == 5  # heading, rule, row, empty line, note
    assert not re.search(r"<[A-Za-z/!?]", found["md"])
    assert not re.search(r"(?<!\\)\]\(", found["md"])
    assert len({len(re.findall(r"(?<!\\)(?:\\\\)*\|", line)) for line in md[:3]}) == 1

    assert not obeyed(found["tex"])
    comment, body = found["tex"].split("\\begin{tabular}")
    assert re.fullmatch(r"%[^\n]*\n", comment)
    known = r"toprule|midrule|bottomrule|end\{tabular\}"
    for line in body.splitlines()[1:]:
        assert re.match(rf"\\(?:{known})|[^\\\[*]|\\(?:[$%&_#{{}}]|text)|$", line), line
    commands = set(re.findall(r"\\([a-zA-Z]+)", body))
    assert commands <= {
        *("toprule", "midrule", "bottomrule", "end", "pm", "multicolumn"),
        *("textbackslash", "space", "textasciitilde", "textasciicircum"),
    }

    page = Tags(found["html"].split("<script>")[0])
    assert set(page.tags) <= {"meta", "table", "thead", "tbody", "tr", "th", "td", "ul", "li"}
    assert page.text.count(one_line(title)) >= 4
    assert not obeyed(found["html"])


def test_a_plain_title_looks_as_before(tmp_path: Path) -> None:
    found = written(tmp_path, [PLAIN])
    assert f'"{PLAIN}",1.5\n' in found["csv"]
    assert f"| {PLAIN} " in found["md"]
    assert f"- {PLAIN}: note\n" in found["md"]
    assert f"% {PLAIN}: note\n" in found["tex"]
    assert r"Brain MRI, T1-w: R \& D (50 \%) $<$ 3 &" in found["tex"]
    assert f"<th>{PLAIN}</th>" in unescape(found["html"])


@pytest.mark.parametrize("kind", INPUTS)
def test_figures_draw_any_title(kind: str, tmp_path: Path) -> None:
    """Each kind another one; all are drawn below."""
    title = TITLES[3:][list(INPUTS).index(kind)]
    draw_figure(kind, INPUTS[kind](tmp_path), f"{title} 4x", tmp_path / "a.png")
    assert plt.imread(tmp_path / "a.png").std() > 0.01


@pytest.mark.parametrize("title", TITLES)
def test_a_figures_heading_is_the_title_and_can_be_seen_whole(title: str, tmp_path: Path) -> None:
    apply_style()
    figure = mask.from_files(INPUTS["mask"](tmp_path), f"{title} 4x")
    try:
        said = heading(figure)
        assert not obeyed(said)
        assert "".join(one_line(f"{title} 4x: sampling mask").split()) in "".join(said.split())
        assert drawn_texts(figure)
        assert cut_off(figure) == []
    finally:
        plt.close(figure)


@pytest.mark.parametrize("kind", INPUTS)
def test_the_end_of_a_long_title_can_be_seen(kind: str, tmp_path: Path) -> None:
    apply_style()
    module = import_module(f"pipeline_src.reporting.figures.{KINDS[kind].module}")
    title = "a title of many words " * 14 + "4x"
    inputs = INPUTS[kind](tmp_path)
    short = module.from_files(inputs, "Heart 4x", **KINDS[kind].options)
    figure = module.from_files(inputs, title, **KINDS[kind].options)
    try:
        assert " 4x" in heading(figure)
        assert cut_off(figure) == []
        # What is drawn keeps its room.
        assert figure.get_figheight() > short.get_figheight() + 0.2
    finally:
        plt.close(figure)
        plt.close(short)


@pytest.mark.parametrize("start", range(0, len(TITLES), 6))
def test_the_report_and_the_crate_hold_titles_as_text(start: int, tmp_path: Path) -> None:
    first, *_ = titles = TITLES[start : start + 6]
    # A configuration cannot hold all of these; the writers do not rely on that.
    study = study_with(title="x", datasets={n: dataset(title=n) for n in ("heart", "brain")})
    for section, title in (
        (study, first),
        (study.datasets["heart"], titles[1]),
        (study.datasets["brain"], titles[-1]),
    ):
        object.__setattr__(section, "title", title)
    tables = tmp_path / "tables"
    for name in ("main", "answers", "differences"):
        write_text(tables / f"{name}.html", html_table([layout_of(titles)], titles))
    heading = ",".join(COLUMNS)
    answer = "heart,4x,a,b,0.1,0,0.2,0.05,0.1,6,patients and seeds,,better,shown,c"
    write_text(tables / "answers.csv", f"{heading}\n{answer}\n")
    pages = [tables / f"{name}.html" for name in ("main", "answers", "differences")]
    write_report(study, pages, [], f"title: {first}\n", tmp_path / "report.html")
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    plain = study_with(title="x", datasets={n: dataset(title=n) for n in ("heart", "brain")})
    for name in ("main", "answers", "differences"):
        same = layout_of([f"t{k}" for k in range(len(titles))])
        write_text(
            tables / f"{name}.html", html_table([same], [f"t{k}" for k in range(len(titles))])
        )
    write_report(plain, pages, [], "title: x\n", tmp_path / "plain.html")
    # A title adds no tag.
    expected = Tags((tmp_path / "plain.html").read_text(encoding="utf-8")).tags
    assert Tags(page).tags == expected

    content = read_results(make_results(tmp_path))
    object.__setattr__(content, "study", study)
    graph = json.loads(crate_metadata(content, "https://example.org/"))["@graph"]
    root = next(entity for entity in graph if entity["@id"] == "./")
    assert root["name"] == first
    assert titles[1] in root["description"]
