"""Builds the table of an ablation: one row for the study and one per variant."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import pandas as pd

from pipeline_src.config.section import flat, shown
from pipeline_src.config.study import Study
from pipeline_src.evaluation.metrics_files import KEYS
from pipeline_src.planning.model_names import split_model_name, split_variant
from pipeline_src.planning.study_models import Models
from pipeline_src.reporting.display_names import MAIN_HEADING, MISSING, effect_texts, full_title
from pipeline_src.reporting.tables.differences import (
    EFFECT,
    Groups,
    compared,
    scope_notes,
    verdict_text,
)
from pipeline_src.reporting.tables.labels import Labels
from pipeline_src.reporting.tables.main_table import aggregate, cell_text
from pipeline_src.reporting.tables.missing import note_of

IDENTITY = [*KEYS, "variant"]
#: Columns about the difference of a cell from the reference row.
TESTED = ("effect", "low", "high", "p_holm", "scope", "verdict", "reason")
OF_DIFFERENCE = ", difference (dB)"
DIFFERENCE = [f"difference_{name}" for name in TESTED]


@dataclass(frozen=True)
class _Cell:
    """A cell of the table: its row (`""` is the study) and its model."""

    row: str
    name: str
    dataset: str
    acceleration: str

    @property
    def model(self) -> tuple[str, str]:
        """The model and its training, as in the metrics."""
        return split_model_name(self.name)

    @property
    def key(self) -> tuple[str, ...]:
        """Its values of the columns `IDENTITY`."""
        return (self.dataset, self.acceleration, *self.model, split_variant(self.name)[1])


def _cells(study: Study, ablation: str) -> Iterator[_Cell]:
    for row, models in Models(study).ablated(ablation).items():
        for name in models.values():
            for setting in study.settings(ablation):
                yield _Cell(row, name, *setting)


def ablation_table(volumes: pd.DataFrame, study: Study, ablation: str) -> pd.DataFrame:
    """One row per cell: the columns of the main table, `row` (`""` is the study), and the test of
    its difference in PSNR from the reference row (`DIFFERENCE`).

    A model that a variant does not change appears in its row with the study's own values; one
    without metrics is left out.
    """
    labels = Labels.of_study(study)
    cells = aggregate(volumes, labels)
    known = {tuple(row[key] for key in IDENTITY): row.to_dict() for _, row in cells.iterrows()}
    tested = _tested(volumes, study, ablation, labels.margins["psnr_db"])
    found = [
        {"row": cell.row, **known[cell.key], **tested.get(cell, {})}
        for cell in _cells(study, ablation)
        if cell.key in known
    ]
    return pd.DataFrame(found, columns=["row", *cells.columns, *DIFFERENCE])


def _tested(
    volumes: pd.DataFrame, study: Study, ablation: str, margin: float | None
) -> dict[_Cell, dict[str, object]]:
    """Compare each cell with that of the same model in the reference row; the rows of a model in a
    setting are a family of tests.
    """
    reference = study.ablations[ablation].compare_with or ""
    groups = Groups(volumes, IDENTITY)
    families: dict[tuple[str, ...], list[_Cell]] = {}
    for cell in _cells(study, ablation):
        families.setdefault((cell.dataset, cell.acceleration, *cell.model), []).append(cell)
    found = {}
    for cells in families.values():
        base = next(cell for cell in cells if cell.row == reference)
        # A model that a row does not change is the same network, so nothing is compared.
        pairs = {c: [(c.key, base.key)] for c in cells if c is not base and c.key != base.key}
        for cell, result in compared(groups, pairs, "psnr_db", margin).items():
            found[cell] = {f"difference_{name}": result.get(name) for name in TESTED}
    return found


def ablation_layout(table: pd.DataFrame, study: Study, ablation: str) -> pd.DataFrame:
    """One row for the study and one per variant; one column per setting and model."""
    titles, labels = _row_titles(study, ablation), Labels.of_study(study)
    texts = {
        (row["row"], *(row[key] for key in IDENTITY)): cell_text(row) for _, row in table.iterrows()
    }
    differences = {
        (row["row"], *(row[key] for key in IDENTITY)): _difference_text(row)
        for _, row in table.iterrows()
    }
    columns: dict[tuple[str, str], dict[str, str]] = {}
    for cell in _cells(study, ablation):
        setting, title = labels.title(cell.dataset, cell.acceleration), full_title(*cell.model)
        key = (cell.row, *cell.key)
        columns.setdefault((setting, title), {})[titles[cell.row]] = texts.get(key, MISSING)
        of_difference = columns.setdefault((setting, title + OF_DIFFERENCE), {})
        of_difference[titles[cell.row]] = differences.get(key, MISSING)
    # A model that no row changes has no column of differences.
    told = {
        heading: cells
        for heading, cells in columns.items()
        if not heading[1].endswith(OF_DIFFERENCE) or set(cells.values()) != {MISSING}
    }
    layout = pd.DataFrame(told).reindex(list(titles.values()))
    layout.columns.names = [None, MAIN_HEADING]
    return layout


def _difference_text(row: pd.Series) -> str:
    """`+0.05 (+0.02 to +0.12), better (these patients)`; a dash if nothing is compared."""
    found = row[DIFFERENCE].set_axis(TESTED)
    if pd.isna(found["effect"]):
        return MISSING
    effect, *ends = effect_texts(found[EFFECT], "psnr_db", found["verdict"])
    interval = f" ({' to '.join(ends)})" if ends else ""
    return f"{effect}{interval}, {verdict_text(found)}"


def ablation_notes(table: pd.DataFrame, study: Study, ablation: str) -> list[str]:
    """How to read the table, and which of its cells have no metrics."""
    labels = Labels.of_study(study)
    have = set(table[["row", *IDENTITY]].itertuples(index=False, name=None))
    names = [
        f"{labels.title(cell.dataset, cell.acceleration)} {cell.name}"
        for cell in _cells(study, ablation)
        if (cell.row, *cell.key) not in have
    ]
    reference = _row_titles(study, ablation)[study.ablations[ablation].compare_with or ""]
    # A model's rows in a setting are a family, told by the heading of its column.
    families = [
        f"{labels.title(row['dataset'], row['acceleration'])} "
        f"{full_title(row['model'], row['training'])}"
        for _, row in table.iterrows()
    ]
    tested = table[["patients", *DIFFERENCE]].set_axis(["patients", *TESTED], axis="columns")
    tested = tested.assign(family=families).dropna(subset="verdict")
    return [
        *_changes(study, ablation, reference),
        f'Differences in PSNR from the row "{reference}", with 95 % interval and verdict as in the '
        "table of differences; p corrected by Holm's method over the rows of a model. A dash: that "
        "row itself, or a model that the row does not change.",
        *scope_notes(tested),
        *note_of("Without metrics, and so a dash", list(dict.fromkeys(names))),
    ]


def _row_titles(study: Study, ablation: str) -> dict[str, str]:
    spec = study.ablations[ablation]
    return {"": spec.base} | {name: v.title or name for name, v in spec.variants.items()}


def _changes(study: Study, ablation: str, reference: str) -> list[str]:
    """What each row sets, and which rows are trained for more or fewer epochs than the row that
    they are compared with.
    """
    spec, titles = study.ablations[ablation], _row_titles(study, ablation)
    told = [
        f"{titles[row]}: "
        + (", ".join(f"{key} {shown(value)}" for key, value in flat(v.set).items()) or "nothing")
        for row, v in spec.variants.items()
    ]
    models = Models(study)
    rows = models.ablated(ablation)
    of_reference = rows[spec.compare_with or ""]
    others: dict[tuple[str, int, int], list[str]] = {}
    for row, names in rows.items():
        for model, name in names.items():
            here, there = (_epochs(models, n) for n in (name, of_reference[model]))
            if here != there:
                others.setdefault((titles[row], here, there), []).append(
                    full_title(*split_model_name(model))
                )
    unequal = [
        f"{title} ({here} instead of {there}: {', '.join(trained)})"
        for (title, here, there), trained in others.items()
    ]
    notes = [f"Rows set these keys, and nothing else: {'; '.join(told)}."]
    if unequal:
        notes.append(
            f'Trained for more or fewer epochs in all than the row "{reference}": '
            f"{'; '.join(unequal)}."
        )
    return notes


def _epochs(models: Models, name: str) -> int:
    """How many epochs all stages of a training have."""
    plan = models.plan(name, 0)
    return plan.training.epochs * len(plan.stages)
