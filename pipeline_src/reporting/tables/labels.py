"""What tables must know about a study besides its metrics: titles, order, kind of data."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

import pandas as pd

from pipeline_src.config.evaluation import Margins
from pipeline_src.config.setting import Setting, acceleration_name
from pipeline_src.config.study import Study
from pipeline_src.reporting.display_names import MISSING
from pipeline_src.reporting.tables.method_options import method_options

#: Settings that a table shows side by side at most, as many as the paper's has.
MOST_ABREAST = 4


def of_setting(table: pd.DataFrame, dataset: str, acceleration: str) -> pd.DataFrame:
    """The rows of one data set at one acceleration."""
    return table[(table["dataset"] == dataset) & (table["acceleration"] == acceleration)]


@dataclass(frozen=True)
class DatasetLabel:
    """Labels of one data set.

    Attributes:
        synthetic: whether its images are drawn; None if that is not known.
        paper: the data set of the paper that it represents, prepared in the same way; None:
            another.
    """

    title: str
    synthetic: bool | None = None
    paper: str | None = None


@dataclass(frozen=True)
class Labels:
    """Labels of a whole study.

    Attributes:
        datasets: by name, in the study's order.
        accelerations: such as `4x`, in the study's order.
        options: the line that says which variant of the method ran; empty if not known.
        margins: of equivalence by metric; None: none is given.
        compared: methods that are compared with every other one.
    """

    datasets: dict[str, DatasetLabel]
    accelerations: tuple[str, ...]
    options: str = ""
    margins: Mapping[str, float | None] = field(default_factory=lambda: Margins().model_dump())
    compared: tuple[str, ...] = ()

    @classmethod
    def of_study(cls, study: Study) -> Labels:
        """Labels from the configuration."""
        return cls(
            {
                name: DatasetLabel(study.dataset_title(name), dataset.synthetic, dataset.paper)
                for name, dataset in study.datasets.items()
            },
            tuple(acceleration_name(factor) for factor in study.accelerations),
            method_options(study),
            study.evaluation.margins.model_dump(),
            tuple(study.evaluation.compared_methods),
        )

    @classmethod
    def of_metrics(cls, volumes: pd.DataFrame) -> Labels:
        """Labels from the metrics alone, if there is no configuration."""
        accelerations = sorted(volumes["acceleration"].unique(), key=lambda a: (len(a), a))
        return cls(
            {name: DatasetLabel(name) for name in volumes["dataset"].unique()}, tuple(accelerations)
        )

    def settings(self) -> Iterator[Setting]:
        """Every data set at every acceleration."""
        for dataset in self.datasets:
            for acceleration in self.accelerations:
                yield Setting(dataset, acceleration)

    def panels(self, layout: pd.DataFrame) -> list[pd.DataFrame]:
        """A table as it is printed: whole, or one panel per data set if its headings are more than
        `MOST_ABREAST` settings.
        """
        dataset_of = {self.title(*setting): setting.dataset for setting in self.settings()}
        headings = layout.columns.get_level_values(0)
        if len(set(headings)) <= MOST_ABREAST or not set(headings) <= set(dataset_of):
            return [layout]
        shown = [
            layout.loc[:, [dataset_of[heading] == dataset for heading in headings]]
            for dataset in self.datasets
        ]
        return [panel[(panel != MISSING).any(axis=1)] for panel in shown if panel.size]

    def title(self, dataset: str, acceleration: str = "") -> str:
        """The title of a data set or setting."""
        title = self.datasets[dataset].title
        return f"{title} {acceleration}" if acceleration else title
