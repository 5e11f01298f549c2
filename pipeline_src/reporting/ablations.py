"""The table of an ablation: the study and its variants, a row each."""

from __future__ import annotations

import pandas as pd

from pipeline_src.config.study import Study
from pipeline_src.errors import InputError
from pipeline_src.planning.models import Models
from pipeline_src.planning.names import split_model_name, split_variant
from pipeline_src.reporting.labels import Labels
from pipeline_src.reporting.names import full_title
from pipeline_src.reporting.tables import aggregate, cell_text


def ablation_table(volumes: pd.DataFrame, study: Study, ablation: str) -> pd.DataFrame:
    """One row a cell: the columns of the main table, and `row` (`""` is the study).

    A model that a variant does not change stands in its row with the study's own figures.

    Raises:
        InputError: the metrics of a model are missing.
    """
    cells = aggregate(volumes, Labels.of_study(study)).set_index(
        ["dataset", "acceleration", "model", "training", "variant"], drop=False
    )
    found = []
    for row, models in Models(study).ablated(ablation).items():
        for name in models.values():
            for dataset, acceleration in study.settings(ablation):
                model, training = split_model_name(name)
                key = (dataset, f"{acceleration}x", model, training, split_variant(name)[1])
                if key not in cells.index:
                    raise InputError(
                        f"ablation {ablation}: no metrics of {name} for {dataset} {acceleration}x"
                    )
                found.append({"row": row, **cells.loc[[key]].iloc[0].to_dict()})
    return pd.DataFrame(found)


def ablation_layout(table: pd.DataFrame, study: Study, ablation: str) -> pd.DataFrame:
    """The study and its variants, a row each; a column a setting and model."""
    spec, labels = study.ablations[ablation], Labels.of_study(study)
    titles = {"": spec.base} | {name: v.title or name for name, v in spec.variants.items()}
    columns: dict[tuple[str, str], dict[str, str]] = {}
    for _, cell in table.iterrows():
        setting = labels.title(cell["dataset"], cell["acceleration"])
        heading = (setting, full_title(cell["model"], cell["training"]))
        columns.setdefault(heading, {})[titles[cell["row"]]] = cell_text(cell)
    layout = pd.DataFrame(columns).reindex(list(titles.values()))
    layout.columns.names = [None, "PSNR (dB) / SSIM"]
    return layout
