"""A table as CSV, Markdown, LaTeX and HTML that sorts."""

from __future__ import annotations

import re
from html import escape
from pathlib import Path

import pandas as pd

from pipeline_src.files import write_text
from pipeline_src.provenance import PACKAGE

#: Formats of every table, by suffix.
FORMATS = ("csv", "md", "tex", "html")
#: What LaTeX has no letter for, in its first font encoding.
MATHEMATICS = {
    "±": r"$\pm$",
    "\N{EN DASH}": "--",
    "\N{MINUS SIGN}": "$-$",
    "<": "$<$",
    ">": "$>$",
}
SORTING = PACKAGE / "reporting" / "sortable.js"


def write_table(
    stem: Path, tidy: pd.DataFrame, layout: pd.DataFrame, notes: list[str]
) -> list[Path]:
    """Write a table as `.csv` (tidy), and in its layout as `.md`, `.tex` and `.html`."""
    contents = {
        "csv": tidy.to_csv(index=False, float_format="%.9g"),
        "md": _markdown(layout, notes),
        "tex": _latex(layout, notes),
        "html": html_table(layout, notes),
    }
    paths = [stem.with_suffix(f".{suffix}") for suffix in FORMATS]
    for path in paths:
        write_text(path, contents[path.suffix[1:]])
    return paths


def _flat(layout: pd.DataFrame) -> pd.DataFrame:
    """One line of headings, for formats that have no more."""
    flat = layout.copy()
    if isinstance(layout.columns, pd.MultiIndex):
        flat.columns = pd.Index([" ".join(map(str, pair)) for pair in layout.columns])
    flat.index.name = layout.columns.names[-1] or layout.index.name
    return flat


def _markdown(layout: pd.DataFrame, notes: list[str]) -> str:
    flat = _flat(layout).map(_bars).rename(index=_bars, columns=_bars)
    table = flat.to_markdown(disable_numparse=True)
    return table + "\n\n" + "\n".join(f"- {note}" for note in notes) + "\n"


def _bars(text: str) -> str:
    """Bars as Markdown has them within a cell."""
    return str(text).replace("|", r"\|")


def _latex(layout: pd.DataFrame, notes: list[str]) -> str:
    """A booktabs table; needs the packages booktabs and multirow."""
    styled = layout.style.format(escape="latex")
    for axis in (0, 1):
        styled = styled.format_index(escape="latex", axis=axis)
    body = styled.to_latex(
        hrules=True,
        column_format="l" + "c" * layout.shape[1],
        multicol_align="c",
    )
    comments = "".join(f"% {note}\n" for note in notes)
    for plain, escaped in MATHEMATICS.items():
        body = body.replace(plain, escaped)
    # A number's hyphen is a minus.
    return comments + re.sub(r"(?<![\w$-])-(?=\d)", "$-$", body)


def html_table(layout: pd.DataFrame, notes: list[str]) -> str:
    """A table fragment that opens by itself and that a page can embed, with its notes below.

    A click on a heading sorts by that column.
    """
    table = layout.to_html(classes="results sortable", border=0, justify="center")
    items = "".join(f"<li>{escape(note)}</li>" for note in notes)
    script = SORTING.read_text(encoding="utf-8")
    return (
        f'<meta charset="utf-8">\n{table}\n<ul class="notes">{items}</ul>\n'
        f"<script>\n{script}</script>\n"
    )
