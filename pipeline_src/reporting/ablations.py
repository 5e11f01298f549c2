"""The table of an ablation: the study and its variants, a row each."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import pandas as pd

from pipeline_src.config.study import Study
from pipeline_src.evaluation.results import KEYS
from pipeline_src.planning.models import Models
from pipeline_src.planning.names import split_model_name, split_variant
from pipeline_src.reporting.labels import Labels
from pipeline_src.reporting.missing import note_of
from pipeline_src.reporting.names import MISSING, full_title
from pipeline_src.reporting.tables import aggregate, cell_text

IDENTITY = [*KEYS, "variant"]


@dataclass(frozen=True)
class _Cell:
    """A place of the table: its row (`""` is the study) and the model that stands there."""

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
        """Its values of `IDENTITY`."""
        return (self.dataset, self.acceleration, *self.model, split_variant(self.name)[1])


def _cells(study: Study, ablation: str) -> Iterator[_Cell]:
    for row, models in Models(study).ablated(ablation).items():
        for name in models.values():
            for dataset, acceleration in study.settings(ablation):
                yield _Cell(row, name, dataset, f"{acceleration}x")


def ablation_table(volumes: pd.DataFrame, study: Study, ablation: str) -> pd.DataFrame:
    """One row per cell: the columns of the main table, and `row` (`""` is the study).

    A model that a variant does not change stands in its row with the study's own figures; one
    without metrics is left out.
    """
    cells = aggregate(volumes, Labels.of_study(study))
    known = {tuple(row[key] for key in IDENTITY): row.to_dict() for _, row in cells.iterrows()}
    found = [
        {"row": cell.row, **known[cell.key]}
        for cell in _cells(study, ablation)
        if cell.key in known
    ]
    return pd.DataFrame(found, columns=["row", *cells.columns])


def ablation_layout(table: pd.DataFrame, study: Study, ablation: str) -> pd.DataFrame:
    """The study and its variants, a row each; a column per setting and model."""
    spec, labels = study.ablations[ablation], Labels.of_study(study)
    titles = {"": spec.base} | {name: v.title or name for name, v in spec.variants.items()}
    texts = {
        (row["row"], *(row[key] for key in IDENTITY)): cell_text(row) for _, row in table.iterrows()
    }
    columns: dict[tuple[str, str], dict[str, str]] = {}
    for cell in _cells(study, ablation):
        heading = (labels.title(cell.dataset, cell.acceleration), full_title(*cell.model))
        text = texts.get((cell.row, *cell.key), MISSING)
        columns.setdefault(heading, {})[titles[cell.row]] = text
    layout = pd.DataFrame(columns).reindex(list(titles.values()))
    layout.columns.names = [None, "PSNR (dB) / SSIM"]
    return layout


def ablation_notes(table: pd.DataFrame, study: Study, ablation: str) -> list[str]:
    """How the table is read, and which of its cells have no metrics."""
    labels = Labels.of_study(study)
    have = set(table[["row", *IDENTITY]].itertuples(index=False, name=None))
    names = [
        f"{labels.title(cell.dataset, cell.acceleration)} {cell.name}"
        for cell in _cells(study, ablation)
        if (cell.row, *cell.key) not in have
    ]
    return [
        "A row changes what it names and nothing else.",
        *note_of("Without metrics, and so a dash", list(dict.fromkeys(names))),
    ]
