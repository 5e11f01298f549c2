"""Lists the files that the tables, figures and report of a study are made from."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from pipeline_src.config.study import Study
from pipeline_src.planning import places as layout
from pipeline_src.planning.shown import (
    curves_models,
    domain_ablation,
    domain_models,
    shown_methods,
    shown_models,
)
from pipeline_src.planning.study_models import Models
from pipeline_src.reporting.display_names import TABLES
from pipeline_src.reporting.figures.kinds import KINDS


@dataclass(frozen=True)
class Figure:
    """A figure of a study.

    Attributes:
        kind: its kind, a key of `KINDS`.
        dataset, acceleration: its setting or data set; None if it shows more than one.
        place: its path in the results, without suffix.
    """

    kind: str
    dataset: str | None
    acceleration: str | None
    place: str


class Reported:
    """Files that a study's tables, figures and report are made from, as paths in `results/{study}`.

    Accelerations are given as `4x`; data set and acceleration may be wildcards.
    """

    def __init__(self, models: Models) -> None:
        self._models, self._study = models, models.study
        self._places = layout.Places(models.study)
        self._domain = domain_ablation(models.study)

    @property
    def tables(self) -> list[str]:
        """Names of the tables, the main one first."""
        ablations = [f"ablation_{name}" for name in self._study.ablations]
        return [*TABLES, *self.measurements, *ablations]

    @property
    def measurements(self) -> dict[str, list[str]]:
        """Files of measurements besides the metrics, by the table that shows them (`MEASURED`)."""
        made = {
            "cost": [layout.COST],
            "runtimes": [layout.RUNTIME_COST] if self._study.evaluation.runtimes else [],
            "robustness": self._places.under_shifts(),
            "error_bounds": self._places.error_bounds(),
        }
        return {name: files for name, files in made.items() if files}

    def folders(self, dataset: str, acceleration: str, models: Iterable[str]) -> list[str]:
        """Folders of trained models, with all seeds."""
        return [
            self._places.model(dataset, acceleration, seed, model)
            for model in models
            for seed in self._study.seeds
        ]

    def _measured(self, dataset: str, acceleration: str, name: str) -> list[str]:
        """A file beside the metrics of zero filling and of each of the study's models."""
        folders = [
            self._places.zero_filled(dataset, acceleration, seed)
            for seed in self._places.seeds("zero_filled")
        ]
        folders += self.folders(dataset, acceleration, self._study.model_names())
        return [f"{folder}/{name}" for folder in folders]

    def metrics(self) -> list[str]:
        """Metrics of everything that is in a table, each once."""
        study, files = self._study, []
        for setting in study.settings():
            files += self._measured(*setting, layout.VOLUMES)
        for ablation in study.ablations:
            rows = self._models.ablated(ablation).values()
            names = [name for row in rows for name in row.values()]
            for setting in study.settings(ablation):
                folders = self.folders(*setting, names)
                files += [f"{folder}/{layout.VOLUMES}" for folder in folders]
        return list(dict.fromkeys(files))

    def records(self) -> list[str]:
        """Files that record how the study was made, besides the manifests that come with the
        metrics.
        """
        study, places = self._study, self._places
        files = [
            places.store(dataset, seed)
            for dataset in study.datasets
            for seed in places.seeds("store")
        ]
        for setting in study.settings():
            files += [places.mask(*setting, seed) for seed in places.seeds("mask")]
        for setting in study.settings():
            folders = self.folders(*setting, self._models.names(setting))
            files += [f"{folder}/{layout.MANIFEST}" for folder in folders]
        return files

    def _panels(self, dataset: str, acceleration: str, models: Iterable[str]) -> list[str]:
        """Panels of zero filling and of models, with the first seed."""
        first = self._study.seeds[0]
        folders = [
            self._places.zero_filled(dataset, acceleration, first),
            *[self._places.model(dataset, acceleration, first, model) for model in models],
        ]
        return [f"{folder}/{layout.PANEL}" for folder in folders]

    @property
    def kinds(self) -> list[str]:
        """Kinds of figure for which this study has something to show."""
        left_out = set() if self._domain else {"panel_domain"}
        left_out |= set() if "robustness" in self.measurements else {"robustness"}
        left_out |= set() if shown_methods(self._study) else {"recipes"}
        left_out |= set() if "sft_teacher" in self._study.model_names() else {"panel_teachers"}
        return [kind for kind in KINDS if kind not in left_out]

    def shown(self, kind: str, dataset: str, acceleration: str) -> list[str]:
        """The files that a figure shows; none if it shows the study's configuration.

        Raises:
            KeyError: there is no such kind.
        """
        setting, first = (dataset, acceleration), self._study.seeds[0]
        match KINDS[kind].shows:
            case "plan":
                return []
            case "panels":
                return self._panels(*setting, self._in_panels(kind))
            case "slices":
                return self._measured(*setting, layout.SLICES)
            case "table":
                return [f"{layout.TABLE_FOLDER}/{KINDS[kind].table}.csv"]
            case "manifests":
                folders = self.folders(*setting, curves_models(self._study))
                return [f"{folder}/{layout.MANIFEST}" for folder in folders]
            case "mask":
                return [self._places.mask(*setting, first)]
            case "store":
                return [self._places.store(dataset, first)]

    def _in_panels(self, kind: str) -> Sequence[str]:
        """Models of a figure of reconstructions."""
        if kind == "panel_teachers":
            return ["teacher", "sft_teacher"]
        if kind == "panel_domain":
            compared = domain_models(self._study, self._domain) if self._domain else []
            return list(dict.fromkeys(["teacher", *compared]))
        return [model for model in shown_models(self._study) if model != "sft_teacher"]

    def figures(self) -> Iterator[Figure]:
        """All figures, those of a kind together, in the order of the report."""
        for kind in self.kinds:
            of = KINDS[kind].of
            places = {}
            for dataset, acceleration in self._study.settings(
                self._domain if kind == "panel_domain" else None
            ):
                folder = KINDS[kind].folder.format(dataset=dataset, acceleration=acceleration)
                places[f"{layout.FIGURE_FOLDER}/{folder}{kind}"] = (
                    dataset if of != "study" else None,
                    acceleration if of == "setting" else None,
                )
            for place, of_what in places.items():
                yield Figure(kind, *of_what, place)

    def title(self, kind: str, dataset: str | None, acceleration: str | None) -> str:
        """The beginning of a figure's heading."""
        study = self._study
        if kind == "dag":
            return "Steps of one setting and seed"
        if KINDS[kind].of == "study" or dataset is None:
            return study.title or study.study
        title = study.setting_title(dataset, acceleration or "")
        shows = KINDS[kind].shows
        # Of one store or mask of several.
        one_of = (shows == "mask" or shows == "store") and self._places.repeated(shows)
        return f"{title}, seed {study.seeds[0]}" if one_of else title


def of_study(study: Study) -> Reported:
    """The files that a study's tables, figures and report are made from."""
    return Reported(Models(study))
