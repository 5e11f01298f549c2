"""Tables in print: CSV, Markdown, LaTeX and HTML, and sorting in a browser."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import tomllib
from html import unescape
from pathlib import Path

import pandas as pd
import pytest
from reporting_helpers import ONE_SETTING, SFT_AT, STD_AT, STUDENT, VOLUMES, measured, study_with

from pipeline_src.reporting.tables.differences import difference_layout, difference_table
from pipeline_src.reporting.tables.formats import FORMATS, SORTING, html_table, write_table
from pipeline_src.reporting.tables.labels import DatasetLabel, Labels
from pipeline_src.reporting.tables.main_table import main_table, paper_layout, table_notes

DASH = "\N{EN DASH}"
BROWSER = shutil.which("chromium") or shutil.which("chromium-browser")


def texts(stem: Path, layout: pd.DataFrame, notes: list[str]) -> dict[str, str]:
    """The table's files by suffix."""
    paths = write_table(stem, pd.DataFrame({"x": [1]}), [layout], notes)
    assert [path.name for path in paths] == [f"{stem.name}.{suffix}" for suffix in FORMATS]
    return {path.suffix[1:]: path.read_text(encoding="utf-8") for path in paths}


def test_panels_stand_one_below_the_other(tmp_path: Path) -> None:
    first, second = (layout_of({(name, "Std-KD"): [name]}, [f"row {name}"]) for name in "ab")
    paths = write_table(tmp_path / "t", pd.DataFrame({"x": [1]}), [first, second], ["a note"])
    markdown, latex, html = (path.read_text(encoding="utf-8") for path in paths[1:])
    assert markdown.index("row a") < markdown.index("\n\n| corner") < markdown.index("row b")
    assert markdown.count("a note") == latex.count("a note") == html.count("a note") == 1
    assert latex.count(r"\begin{tabular}") == latex.count(r"\end{tabular}") == 2
    assert html.count("<table") == 2
    assert html.count("<script") == 1


def layout_of(columns: dict[tuple[str, str], list[str]], rows: list[str]) -> pd.DataFrame:
    layout = pd.DataFrame(columns, index=rows)
    layout.columns.names = [None, "corner"]
    return layout


def test_a_table_is_written_in_four_formats_that_hold_the_same_cells(tmp_path: Path) -> None:
    labels = Labels.of_study(study_with())
    table = main_table(VOLUMES, labels)
    layout, notes = paper_layout(table, labels), table_notes(table, labels)
    write_table(tmp_path / "main", table, [layout], notes)
    assert {p.name for p in tmp_path.iterdir()} == {"main.csv", "main.md", "main.tex", "main.html"}
    written = pd.read_csv(tmp_path / "main.csv")
    pd.testing.assert_frame_equal(written, table, check_dtype=False, atol=1e-6, rtol=0)

    markdown, latex, html = (
        (tmp_path / f"main.{suffix}").read_text(encoding="utf-8")
        for suffix in ("md", "tex", "html")
    )
    for cell in layout.to_numpy().ravel():
        assert f" {cell} " in markdown
        assert f">{cell}<" in html
        assert cell.replace("±", r"$\pm$").replace(DASH, "--") in latex
    for row in layout.index:
        assert f"| {row} " in markdown
        assert f"<th>{row}</th>" in html
        assert f"\n{row} & " in latex
    for note in notes:
        assert f"- {note}\n" in markdown
        assert f"<li>{note}</li>" in unescape(html)
        assert f"% {note}\n" in latex
    assert latex.count(r"\toprule") == latex.count(r"\bottomrule") == 1
    assert "±" not in latex.split(r"\begin{tabular}")[1]
    assert r"\multicolumn{2}{c}{Heart phantom 4x}" in latex
    assert 'charset="utf-8"' in html


SPECIAL = {
    ("A_1", "x"): ["39.50 ± 0.10", "\N{MINUS SIGN}0.03 / -0.0100"],
    ("A_1", "y"): [DASH, "< 0.001"],
}


def test_signs_stand_in_each_format_as_its_readers_write_them(tmp_path: Path) -> None:
    found = texts(tmp_path / "t", layout_of(SPECIAL, ["R & D", "50 %"]), ["a ± b", "c < d & e"])
    assert found["csv"] == "x\n1\n"
    head, _, first, second, _, *notes = found["md"].splitlines()
    assert [cell.strip() for cell in head.split("|")[1:-1]] == ["corner", "A_1 x", "A_1 y"]
    assert [cell.strip() for cell in first.split("|")[1:-1]] == ["R & D", "39.50 ± 0.10", DASH]
    assert [cell.strip() for cell in second.split("|")[1:-1]] == [
        "50 %",
        "\N{MINUS SIGN}0.03 / -0.0100",
        "< 0.001",
    ]
    assert notes == ["- a ± b", "- c < d & e"]

    comments, body = found["tex"].split("\\begin{tabular}")
    assert comments == "% a ± b\n% c < d & e\n"
    assert "{lcc}" in body
    assert r"\multicolumn{2}{c}{A\_1}" in body
    assert r"R \& D & 39.50 $\pm$ 0.10 & -- \\" in body
    assert body.isascii()

    html = found["html"]
    for cell in ("39.50 ± 0.10", "\N{MINUS SIGN}0.03 / -0.0100", DASH, "&lt; 0.001"):
        assert f"<td>{cell}</td>" in html
    assert "<th>R &amp; D</th>" in html
    assert '<ul class="notes"><li>a ± b</li><li>c &lt; d &amp; e</li></ul>' in html


def test_minus_and_less_than_are_mathematics_in_latex(tmp_path: Path) -> None:
    """As text, a minus is a hyphen, and LaTeX's first font encoding has no sign for less."""
    body = texts(tmp_path / "t", layout_of(SPECIAL, ["r", "s"]), [])["tex"]
    assert r"s & $-$0.03 / $-$0.0100 & $<$ 0.001 \\" in body
    # What is not a number keeps its hyphen.
    hyphened = layout_of({("A", "Std-KD"): ["4x-5x"]}, ["SFT-KD-Recon"])
    assert r"SFT-KD-Recon & 4x-5x \\" in texts(tmp_path / "u", hyphened, [])["tex"]


TRICKY = "T1_w & T2: 50% <b> {x} a|b"


def test_titles_with_special_characters_are_escaped(tmp_path: Path) -> None:
    labels = Labels({"heart": DatasetLabel(TRICKY)}, ("4x",))
    table = main_table(measured({("own_1", "std_kd"): 30.0}), labels)
    layout, notes = paper_layout(table, labels), table_notes(table, labels)
    found = texts(tmp_path / "t", layout, notes)
    assert r"{T1\_w \& T2: 50\% " in found["tex"]
    assert r"\{x\}" in found["tex"]
    assert r"own\_1 &" in found["tex"]
    assert ">T1_w &amp; T2: 50% &lt;b&gt; {x} a|b 4x</th>" in found["html"]
    assert "<li>T1_w &amp; T2: 50% &lt;b&gt; {x} a|b: " in found["html"]
    assert "<b>" not in found["html"].split("<script>")[0]
    # A bar within a cell would begin another.
    rows = [line for line in found["md"].splitlines() if line.startswith("|")]
    assert {len(re.findall(r"(?<!\\)\|", line)) for line in rows} == {4}


# Sorting.


def test_a_fragment_has_the_script_once_and_opens_by_itself() -> None:
    fragment = html_table([layout_of(SPECIAL, ["r", "s"])], ["n"])
    assert fragment.count("<script>") == fragment.count("</script>") == 1
    assert fragment.count("window.sortableTables = true") == 1
    assert fragment.count("<table ") == 1
    assert 'class="dataframe results sortable"' in fragment
    assert SORTING.read_text(encoding="utf-8") in fragment
    # It must open offline.
    assert not re.search(r"https?://|src=", fragment)


def test_the_package_has_the_script_with_it(project_root: Path) -> None:
    settings = tomllib.loads((project_root / "pyproject.toml").read_text(encoding="utf-8"))
    patterns = settings["tool"]["setuptools"]["package-data"]["pipeline_src"]
    assert any(Path("reporting/tables/sortable.js").match(pattern) for pattern in patterns)


#: Clicks each heading of the second table twice and once more on the first, and keeps the orders.
CLICKS = """<script>
document.addEventListener("DOMContentLoaded", () => {
  const [other, table] = document.querySelectorAll("table.sortable");
  const name = (row) => row.cells[0].textContent;
  const order = (t) => Array.from(t.tBodies[0].rows).map(name).join("");
  const headings = Array.from(Array.from(table.tHead.rows).pop().cells);
  const orders = [];
  for (const heading of headings) {
    for (const click of [1, 2]) {
      heading.click();
      const marks = headings.map((h) => h.getAttribute("aria-sort")).filter(Boolean);
      orders.push([order(table), marks.join()]);
    }
  }
  headings[1].dispatchEvent(new KeyboardEvent("keydown", {key: "Enter"}));
  orders.push([order(table), headings[1].getAttribute("aria-sort")]);
  orders.push([order(other), ""]);
  document.title = JSON.stringify(orders);
});
</script>"""


@pytest.mark.skipif(BROWSER is None, reason="no chromium is installed to sort tables in")
def test_a_click_on_a_heading_sorts_the_table(tmp_path: Path) -> None:
    columns = {
        # Numbers with a spread, of different lengths; one is missing.
        ("PSNR", "x"): ["39.50 ± 0.10", "9.75 ± 0.10", DASH, "+40.01 ± 0.10"],
        # Signs of both kinds, and the smallest of all as a bound.
        ("PSNR", "d"): ["-0.50 to +1", "\N{MINUS SIGN}0.75 to 2", "+0.25 to 1", "0 to 1"],
        ("SSIM", "p"): ["0.050", "< 0.001", "1.000", "0.002"],
        ("SSIM", "v"): ["worse", "cannot tell", "no difference shown", "better"],
    }
    layout = layout_of(columns, ["a", "b", "c", "d"])
    page = tmp_path / "page.html"
    # Two on a page, as in the report.
    page.write_text(html_table([layout], []) + html_table([layout], []) + CLICKS, encoding="utf-8")
    assert BROWSER is not None
    options = (
        "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run "
        "--disable-background-networking --disable-component-update --disable-sync "
        f"--virtual-time-budget=3000 --user-data-dir={tmp_path / 'browser'} --dump-dom"
    )
    done = subprocess.run(
        [BROWSER, *options.split(), page.as_uri()],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    title = re.search("<title>(.*?)</title>", done.stdout)
    assert title is not None, done.stderr
    up, down = "ascending", "descending"
    assert json.loads(unescape(title[1])) == [
        ["abcd", up],
        ["dcba", down],
        # What is missing is last both ways.
        ["badc", up],
        ["dabc", down],
        ["badc", up],
        ["cdab", down],
        ["bdac", up],
        ["cadb", down],
        ["dbca", up],
        ["acbd", down],
        ["badc", up],
        # The other table is not touched.
        ["abcd", ""],
    ]


# Layout of the differences.


def test_layout_has_a_comparison_a_row_and_both_metrics_beside_each_other() -> None:
    rows = measured({STD_AT: 30.0, SFT_AT: 29.5, STUDENT: 29.5}, patients=8)
    table = difference_table(rows, ONE_SETTING)
    layout = difference_layout(table, ONE_SETTING)
    assert list(layout.index) == [
        "mean over methods, SFT-KD-Recon minus Std-KD",
        "SFT-KD-Recon AT minus Std-KD AT",
        "Std-KD AT minus Student",
        "SFT-KD-Recon AT minus Student",
    ]
    assert layout.loc["SFT-KD-Recon AT minus Std-KD AT"].to_dict() == {
        ("PSNR (dB)", "difference"): "-0.50",
        ("PSNR (dB)", "95 % interval"): "-0.50 to -0.50",
        ("PSNR (dB)", "p (Holm)"): "0.008",
        ("PSNR (dB)", "verdict"): "worse",
        ("SSIM", "difference"): "-0.0078",
        ("SSIM", "95 % interval"): "-0.0078 to -0.0078",
        ("SSIM", "p (Holm)"): "0.008",
        ("SSIM", "verdict"): "worse",
    }
    student = layout.loc["SFT-KD-Recon AT minus Student", "PSNR (dB)"]
    assert student.tolist() == ["+0.00", "+0.00 to +0.00", "1.000", "equivalent"]


def test_rows_name_their_setting_where_there_are_several() -> None:
    labels = Labels({"heart": DatasetLabel("Heart")}, ("4x", "5x"))
    models = {STD_AT: 30.0, SFT_AT: lambda _, patient: 30.5 + patient / 64}
    rows = [measured(models, acceleration=a) for a in labels.accelerations]
    layout = difference_layout(difference_table(pd.concat(rows), labels), labels)
    assert list(layout.index) == [
        "Heart 4x: mean over methods, SFT-KD-Recon minus Std-KD",
        "Heart 4x: SFT-KD-Recon AT minus Std-KD AT",
        "Heart 5x: mean over methods, SFT-KD-Recon minus Std-KD",
        "Heart 5x: SFT-KD-Recon AT minus Std-KD AT",
    ]
    # 2 in 2^12.
    assert set(layout["PSNR (dB)", "p (Holm)"]) == {"< 0.001"}


def test_an_interval_that_one_volume_cannot_give_is_a_dash() -> None:
    table = difference_table(measured({STD_AT: 30.0, SFT_AT: 30.5}, (0,), 1), ONE_SETTING)
    shown = difference_layout(table, ONE_SETTING).iloc[0]["PSNR (dB)"].tolist()
    assert shown == ["+0.50", DASH, DASH, "cannot tell"]
