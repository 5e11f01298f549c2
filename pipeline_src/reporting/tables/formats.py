"""Writes a table as CSV, Markdown, LaTeX and sortable HTML.

Titles and ids in it are users' text. Each writer escapes what its language would interpret, and
nothing else, so that a plain title stays as it is.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from html import escape
from pathlib import Path

import pandas as pd

from pipeline_src.files import write_text
from pipeline_src.modules import PACKAGE
from pipeline_src.tabular import csv_text
from pipeline_src.text import markdown, one_line

#: Formats of every table, by suffix.
FORMATS = ("csv", "md", "tex", "html")
#: Characters that LaTeX's default font encoding does not have.
MATHEMATICS = {
    "±": r"$\pm$",
    "\N{EN DASH}": "--",
    "\N{MINUS SIGN}": "$-$",
    "<": "$<$",
    ">": "$>$",
}
SORTING = PACKAGE / "reporting" / "tables" / "sortable.js"


def write_table(
    stem: Path, tidy: pd.DataFrame, panels: Sequence[pd.DataFrame], notes: list[str]
) -> list[Path]:
    """Write a table as `.csv` (tidy), and in its layout as `.md`, `.tex` and `.html`.

    ``panels`` of a layout stand one below the other. The CSV can be opened in a spreadsheet; see
    `tabular`.
    """
    contents = {
        "csv": csv_text(tidy, float_format="%.9g", for_spreadsheet=True),
        "md": _markdown(panels, notes),
        "tex": _latex(panels, notes),
        "html": html_table(panels, notes),
    }
    paths = [stem.with_suffix(f".{suffix}") for suffix in FORMATS]
    for path in paths:
        write_text(path, contents[path.suffix[1:]])
    return paths


def _flat(layout: pd.DataFrame) -> pd.DataFrame:
    """Headings on one line, for formats that have only one."""
    flat = layout.copy()
    if isinstance(layout.columns, pd.MultiIndex):
        flat.columns = pd.Index([" ".join(map(str, pair)) for pair in layout.columns])
    flat.index.name = layout.columns.names[-1] or layout.index.name
    return flat


def _markdown(panels: Sequence[pd.DataFrame], notes: list[str]) -> str:
    tables = [
        _flat(layout)
        .map(markdown)
        .rename(index=markdown, columns=markdown)
        .to_markdown(disable_numparse=True)
        for layout in panels
    ]
    below = "\n".join(f"- {markdown(note)}" for note in notes)
    return "\n\n".join([*tables, below]) + "\n"


def _latex(panels: Sequence[pd.DataFrame], notes: list[str]) -> str:
    """Booktabs tables; they need the packages booktabs and multirow."""
    # A line break would end the comment, and the rest would be read as LaTeX.
    comments = "".join(f"% {one_line(note)}\n" for note in notes)
    return comments + "\n\\medskip\n".join(map(_latex_panel, panels))


def _latex_panel(layout: pd.DataFrame) -> str:
    lines = layout.map(_line).rename(index=_line, columns=_line)
    styled = lines.style.format(escape="latex")
    for axis in (0, 1):
        styled = styled.format_index(escape="latex", axis=axis)
    body = styled.to_latex(
        hrules=True,
        column_format="l" + "c" * layout.shape[1],
        multicol_align="c",
    )
    for plain, escaped in MATHEMATICS.items():
        body = body.replace(plain, escaped)
    # After the end of a row, LaTeX would take these for an option.
    body = re.sub(r"^([\[*])", r"{\1}", body, flags=re.MULTILINE)
    # The hyphen of a number is printed as a minus sign.
    return re.sub(r"(?<![\w$-])-(?=\d)", "$-$", body)


def _line(text: object) -> str:
    return one_line(str(text))


def html_table(panels: Sequence[pd.DataFrame], notes: list[str]) -> str:
    """A table fragment that can be opened by itself and embedded in a page, with its notes below.

    A click on a heading sorts by that column.
    """
    # Otherwise pandas truncates long cells.
    with pd.option_context("display.max_colwidth", None):
        table = "\n".join(
            layout.map(_line)
            .rename(index=_line, columns=_line)
            .to_html(classes="results sortable", border=0, justify="center")
            for layout in panels
        )
    items = "".join(f"<li>{escape(one_line(note))}</li>" for note in notes)
    return (
        f'<meta charset="utf-8">\n{table}\n<ul class="notes">{items}</ul>\n'
        f"<script>{sorting_script()}</script>\n"
    )


def sorting_script() -> str:
    """The script that sorts tables, as it stands in each."""
    return "\n" + SORTING.read_text(encoding="utf-8")
