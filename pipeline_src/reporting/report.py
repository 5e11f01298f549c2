"""Writes the report: one HTML page that opens offline."""

from __future__ import annotations

import base64
import hashlib
from collections import Counter
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
from pipeline_src.files import read_bytes, write_text
from pipeline_src.planning.step_code import package_digest
from pipeline_src.provenance.environment import record
from pipeline_src.reporting.display_names import CAPTIONS, TABLE_TITLES, counted, table_caption
from pipeline_src.reporting.figures.kinds import KINDS, figure_kind
from pipeline_src.reporting.figures.packed import packed_picture
from pipeline_src.reporting.methods_text import methods_paragraphs
from pipeline_src.reporting.reviewers.chosen import chosen_anew
from pipeline_src.reporting.reviewers.page import TEMPLATE, reviewers_parts
from pipeline_src.reporting.reviewers.records import read_records
from pipeline_src.reporting.tables.answers import (
    CANNOT,
    COLUMNS,
    NOT_SHOWN,
    NUMBERS,
    REFUTED,
    SHOWN,
    answer_text,
    by_question,
)
from pipeline_src.reporting.tables.formats import sorting_script
from pipeline_src.reporting.tables.labels import MOST_ABREAST
from pipeline_src.tabular import read_rows
from pipeline_src.text import one_line

#: Kinds of figure for the first screen: the first one that exists is shown.
FIRST_SCREEN = ("boxplot_ssim",)
#: Data sets, or settings, that are listed one by one; of more, the page first says how many.
AT_A_GLANCE = 8
#: CSS classes of the page for the words of the answers.
TONES = {SHOWN: "shown", REFUTED: "refuted", NOT_SHOWN: "open", CANNOT: "cannot"}


@dataclass(frozen=True)
class Shown:
    """A figure (as a data address) or table (as a fragment) on the page.

    Attributes:
        kind: the file's name without its suffix.
        heading: the heading under which it appears.
        title: distinguishes it from others there.
    """

    kind: str
    heading: str
    title: str
    source: str
    caption: Markup


def caption_html(name: str, wildcards: dict[str, str]) -> Markup:
    """The caption of `captions/{name}.rst` for the given wildcards, as HTML.

    Raises:
        InputError: there is no such caption.
    """
    path = CAPTIONS / f"{name}.rst"
    template = Template(_text(path, "caption"), undefined=StrictUndefined)
    text = template.render(snakemake=SimpleNamespace(wildcards=SimpleNamespace(**wildcards)))
    # A name with special characters must not insert HTML or include files.
    safe = {"raw_enabled": False, "file_insertion_enabled": False}
    return Markup(publish_parts(text, writer="html5", settings_overrides=safe)["body"])


def _text(path: Path, what: str) -> str:
    try:
        return read_bytes(path).decode("utf-8")
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: {what} cannot be read ({error.reason})") from None


def embedded_image(path: Path) -> str:
    """A PNG file as a data address; see `packed_picture`."""
    kind, content = packed_picture(path)
    return f"data:image/{kind};base64,{base64.b64encode(content).decode()}"


def figure_place(path: Path) -> tuple[str, dict[str, str]]:
    """Kind and wildcards of `.../figures/[{dataset}/[{acceleration}/]]{kind}.png`.

    Raises:
        InputError: the path does not have that form.
    """
    parts = path.parts
    if "figures" not in parts or not 2 <= len(below := parts[parts.index("figures") :]) <= 4:
        raise InputError(f"{path}: is not a figure of a study; those lie below its folder figures")
    wildcards = dict(zip(("dataset", "acceleration"), below[1:-1], strict=False))
    return path.stem, wildcards


def _shown_figure(study: Study, path: Path) -> Shown:
    kind, wildcards = figure_place(path)
    title = study.setting_title(**wildcards) if wildcards else ""
    heading = figure_kind(kind).heading
    return Shown(kind, heading, title, embedded_image(path), caption_html(kind, wildcards))


def _shown_table(study: Study, path: Path) -> Shown:
    """A table by its file's name; `ablation_{name}` is one of the study's ablations."""
    fragment, kind = _text(path, "table"), path.stem
    ablation = kind.removeprefix("ablation_")
    if ablation == kind:
        if kind not in TABLE_TITLES:
            raise InputError(f"{path}: the report knows no table {kind!r}")
        caption = caption_html(table_caption(kind), {})
        return Shown(kind, "Tables", TABLE_TITLES[kind], fragment, caption)
    if ablation not in study.ablations:
        raise InputError(f"{path}: the study has no ablation {ablation!r}")
    title = study.ablations[ablation].title or ablation
    return Shown(kind, "Ablations", title, fragment, caption_html(table_caption(kind), {}))


@dataclass(frozen=True)
class Asked:
    """Part of a question: what it asks, and in each setting the sign, setting, word and rest of the
    answer.
    """

    asks: str
    answers: list[tuple[str, str, str, str]]

    @property
    def in_short(self) -> list[tuple[str, str, int]]:
        """Sign and word of the answers, and in how many settings; none of a few answers, which can
        be read at a glance.
        """
        if len(self.answers) <= AT_A_GLANCE:
            return []
        counts = Counter((tone, word) for tone, _, word, _ in self.answers)
        return [(*answer, count) for answer, count in counts.most_common()]


def _listed(study: Study, names: Sequence[str]) -> str:
    """Titles of data sets; of many their number alone."""
    if len(names) <= AT_A_GLANCE:
        return ", ".join(map(study.dataset_title, names))
    of_all = "" if len(names) == len(study.datasets) else f" of {len(study.datasets)}"
    return f"{len(names)}{of_all} data sets"


def _questions(study: Study, tables: Sequence[Path]) -> dict[str, list[Asked]]:
    """The questions, from the CSV file beside the table `answers`."""
    paths = [path.with_suffix(".csv") for path in tables if path.stem == "answers"]
    if not paths:
        raise InputError("report: the table 'answers' is not among --tables")
    rows = read_rows(paths[0], "answers", NUMBERS, needed=COLUMNS, of_spreadsheet=True)
    if unknown := sorted(set(rows["word"]) - set(TONES)):
        raise InputError(
            f"{paths[0]}: {unknown[0]!r} is not an answer; there are {', '.join(TONES)}"
        )
    if unknown := sorted(set(rows["dataset"]) - set(study.datasets)):
        raise InputError(f"{paths[0]}: the study has no data set {unknown[0]!r}")
    several = len(list(study.settings())) > 1

    def told(row: Any) -> tuple[str, str, str, str]:
        setting = study.setting_title(row["dataset"], row["acceleration"]) if several else ""
        word, colon, found = answer_text(row).partition(" ")[2].partition(":")
        why = f"; {row['reason']}" if row["word"] == CANNOT else ""
        return TONES[row["word"]], setting, word, colon + found + why

    def all_told(part: Any) -> list[tuple[str, str, str, str]]:
        answers = [told(row) for _, row in part.iterrows()]
        same = {(tone, *texts) for tone, _, *texts in answers}
        if len(answers) == 1 or len(same) > 1:
            return answers
        [(tone, word, rest)] = same
        return [(tone, "all settings", word, rest)]

    return {
        question: [Asked(asks, all_told(part)) for asks, part in parts]
        for question, parts in by_question(rows)
    }


def page_environment() -> Environment:
    """The Jinja environment of the page's templates: it escapes text, and its filter `line` puts
    text on one line.
    """
    environment = Environment(
        loader=PackageLoader("pipeline_src.reporting", "."),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["line"] = one_line
    return environment


def write_report(
    study: Study,
    tables: Sequence[Path],
    figures: Sequence[Path],
    configuration: str,
    output: Path,
    results: Path | None = None,
) -> list[Path]:
    """Write the page; returns the records, of how the study was made, that it shows.

    Args:
        study: what was run.
        tables: HTML fragments by name, each with its CSV beside it.
        figures: PNG files of the study.
        configuration: the text of the configuration file that ran.
        output: the page.
        results: folder of the study; None: the page shows no such records.

    Raises:
        InputError: a file is missing, a record is damaged, or a figure or table has no caption.
    """
    shown_tables = [_shown_table(study, path) for path in tables]
    shown_figures = [_shown_figure(study, path) for path in figures]
    main = [t for t in shown_tables if t.kind == "main"]
    if not main:
        raise InputError("report: the table 'main' is not among --tables")
    first = [f for kind in FIRST_SCREEN for f in shown_figures if f.kind == kind][:1]
    environment = page_environment()
    made: dict[str, Any] = record()
    records, code = read_records(study, results), package_digest()
    parts = reviewers_parts(study, records, made, code)
    settings = len(list(study.settings()))
    headings = dict.fromkeys(kind.heading for kind in KINDS.values())
    page = environment.get_template("report.html.j2").render(
        study=study,
        counted=counted,
        title=study.title or study.study,
        datasets=_listed(study, list(study.datasets)),
        synthetic=_listed(study, [n for n, d in study.datasets.items() if d.synthetic]),
        reported_on_validation=_listed(
            study, [n for n, d in study.datasets.items() if d.report_on != "test"]
        ),
        chosen_anew=chosen_anew(study, records),
        main_table=main[0],
        questions=_questions(study, tables),
        first=first[0] if first else None,
        # A wide table takes the width it needs, and the answers the rest.
        narrow=settings <= 2,
        many=settings > MOST_ABREAST,
        tables=_by_heading(shown_tables, ["Tables", "Ablations"]),
        figures=_by_heading(shown_figures, list(headings)),
        methods=methods_paragraphs(study),
        reviewers=Markup(environment.get_template(f"reviewers/{TEMPLATE}").render(parts=parts)),
        configuration=escape(configuration),
        made=made,
        code=code,
        code_elsewhere=sorted(records.code_elsewhere),
        script_sha256=base64.b64encode(hashlib.sha256(sorting_script().encode()).digest()).decode(),
    )
    write_text(output, page)
    return records.files


def _by_heading(shown: list[Shown], headings: list[str]) -> dict[str, list[Shown]]:
    """What there is under each heading, in the order of the headings."""
    groups = {heading: [s for s in shown if s.heading == heading] for heading in headings}
    return {heading: members for heading, members in groups.items() if members}
