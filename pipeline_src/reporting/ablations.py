"""The table of an ablation: the study and its variants, a row each."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from pipeline_src.config.models import Models
from pipeline_src.config.plans import split_model_name, split_variant
from pipeline_src.config.study import Study
from pipeline_src.errors import InputError
from pipeline_src.evaluation.results import read_metrics
from pipeline_src.reporting.names import full_title
from pipeline_src.reporting.tables import (
    aggregate,
    cell_text,
    dataset_title,
    table_notes,
    write_table,
)


def ablation_table(volumes: pd.DataFrame, study: Study, ablation: str) -> pd.DataFrame:
    """One row a cell: the columns of the main table, and `row` (`""` is the study).

    A model that a variant does not change stands in its row with the study's own figures.

    Raises:
        InputError: the metrics of a model are missing.
    """
    cells = aggregate(volumes, study).set_index(
        ["dataset", "acceleration", "model", "training", "variant"], drop=False
    )
    found = []
    for row, models in Models(study).ablated(ablation).items():
        for name in models.values():
            for dataset, acceleration in study.settings():
                model, training = split_model_name(name)
                key = (dataset, f"{acceleration}x", model, training, split_variant(name)[1])
                if key not in cells.index:
                    raise InputError(
                        f"ablation {ablation}: no metrics of {name} for {dataset} {acceleration}x"
                    )
                found.append({"row": row, **cells.loc[[key]].iloc[0].to_dict()})
    return pd.DataFrame(found)


def write_ablation_table(
    metrics: Sequence[Path], study: Study, ablation: str, folder: Path
) -> None:
    """Write `ablation_{name}` as CSV, Markdown, LaTeX and HTML.

    Raises:
        InputError: there is no such ablation, or metrics are missing.
    """
    if ablation not in study.ablations:
        known = ", ".join(study.ablations) or "none"
        raise InputError(f"--ablation {ablation}: not in the configuration; there are: {known}")
    spec = study.ablations[ablation]
    table = ablation_table(read_metrics(metrics), study, ablation)
    titles = {"": spec.base} | {name: v.title or name for name, v in spec.variants.items()}
    columns: dict[tuple[str, str], dict[str, str]] = {}
    for _, cell in table.iterrows():
        setting = f"{dataset_title(study, cell['dataset'])} {cell['acceleration']}"
        heading = (setting, full_title(cell["model"], cell["training"]))
        columns.setdefault(heading, {})[titles[cell["row"]]] = cell_text(cell)
    layout = pd.DataFrame(columns).reindex(list(titles.values()))
    layout.columns.names = [None, "PSNR (dB) / SSIM"]
    notes = [*table_notes(table, study), "A row changes what it names and nothing else."]
    write_table(folder / f"ablation_{ablation}", table, layout, notes)
