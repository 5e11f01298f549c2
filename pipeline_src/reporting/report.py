"""The report: one HTML page that opens offline."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from docutils.core import publish_parts
from jinja2 import Environment, PackageLoader, StrictUndefined, Template
from markupsafe import Markup

from pipeline_src.config.study import Study
from pipeline_src.errors import InputError
from pipeline_src.files import write_text
from pipeline_src.provenance import PACKAGE, code_digest, record
from pipeline_src.reporting.methods_text import methods_paragraphs

CAPTIONS = PACKAGE.parent / "workflow" / "report"
#: Figures in the order of the page, each with the heading it stands under.
CATEGORIES = {
    "panel": "Reconstructions",
    "boxplot": "Image quality",
    "curves": "Training",
    "mask": "Sampling",
    "contact_sheet": "Data",
}


@dataclass(frozen=True)
class Shown:
    """A figure (as a data address) or table (as a fragment) on the page."""

    heading: str
    setting: str
    source: str
    caption: Markup


def caption_html(kind: str, wildcards: dict[str, str]) -> Markup:
    """The caption of `workflow/report/{kind}.rst` for the given wildcards, as HTML.

    Raises:
        InputError: there is no such caption.
    """
    path = CAPTIONS / f"{kind}.rst"
    try:
        template = Template(path.read_text(encoding="utf-8"), undefined=StrictUndefined)
    except OSError as error:
        raise InputError(f"{path}: caption cannot be read ({error.strerror})") from None
    text = template.render(snakemake=SimpleNamespace(wildcards=SimpleNamespace(**wildcards)))
    return Markup(publish_parts(text, writer="html5")["body"])


def embedded_png(path: Path) -> str:
    """A picture as a data address.

    Raises:
        InputError: the file cannot be read.
    """
    try:
        return "data:image/png;base64," + base64.b64encode(path.read_bytes()).decode()
    except OSError as error:
        raise InputError(f"{path}: figure cannot be read ({error.strerror})") from None


def figure_place(path: Path) -> tuple[str, dict[str, str]]:
    """Kind and wildcards of `.../figures/{dataset}[/{acceleration}]/{kind}.png`.

    Raises:
        InputError: the path is not of that form.
    """
    parts = path.parts
    if "figures" not in parts or not 3 <= len(below := parts[parts.index("figures") :]) <= 4:
        raise InputError(f"{path}: is no figure of a study")
    wildcards = {"dataset": below[1]}
    if len(below) == 4:
        wildcards["acceleration"] = below[2]
    return path.stem, wildcards


def _shown_table(study: Study, path: Path) -> Shown:
    """A table with its heading and caption; `ablation_{name}` is known by its file's name."""
    try:
        fragment = path.read_text(encoding="utf-8")
    except OSError as error:
        raise InputError(f"{path}: table cannot be read ({error.strerror})") from None
    ablation = path.stem.removeprefix("ablation_")
    if ablation == path.stem:
        return Shown("Results", "", fragment, caption_html("main_table", {}))
    if ablation not in study.ablations:
        raise InputError(f"{path}: the study has no ablation {ablation!r}")
    title = study.ablations[ablation].title or ablation
    caption = caption_html("ablation_table", {"ablation": title})
    return Shown("Ablations", title, fragment, caption)


def write_report(
    study: Study, tables: Sequence[Path], figures: Sequence[Path], configuration: str, output: Path
) -> None:
    """Write the page.

    Args:
        study: what was run.
        tables: HTML fragments: the main table, then `ablation_{name}`.
        figures: PNG files of the study.
        configuration: the text of the configuration file that ran.
        output: the page.

    Raises:
        InputError: a file is missing, or a figure has no caption.
    """
    shown: list[Shown] = []
    settings = [f"{d}/{a}x" for d, a in study.settings()]
    for path in figures:
        kind, wildcards = figure_place(path)
        if kind not in CATEGORIES:
            raise InputError(f"{path}: the report has no category for figure {kind!r}")
        dataset, acceleration = wildcards["dataset"], wildcards.get("acceleration", "")
        setting = f"{study.dataset_title(dataset)} {acceleration}".strip()
        shown.append(
            Shown(CATEGORIES[kind], setting, embedded_png(path), caption_html(kind, wildcards))
        )
    environment = Environment(
        loader=PackageLoader("pipeline_src.reporting", "."),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made: dict[str, Any] = record()
    page = environment.get_template("report.html.j2").render(
        study=study,
        title=study.title or study.study,
        synthetic=[study.dataset_title(n) for n, d in study.datasets.items() if d.synthetic],
        reported_on_validation=[
            study.dataset_title(n) for n, d in study.datasets.items() if d.report_on != "test"
        ],
        tables=[_shown_table(study, path) for path in tables],
        categories=list(dict.fromkeys(CATEGORIES.values())),
        figures=shown,
        settings=settings,
        methods=methods_paragraphs(study),
        configuration=escape(configuration),
        made=made,
        code=code_digest("."),
    )
    write_text(output, page)
