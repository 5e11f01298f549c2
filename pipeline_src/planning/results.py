"""A study's results as the rules make them: what defines each, and where it lies."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

from pipeline_src.config.robustness import tried_models
from pipeline_src.config.setting import Setting
from pipeline_src.config.shifts import Shift
from pipeline_src.errors import InputError
from pipeline_src.planning import places as layout
from pipeline_src.planning import steps
from pipeline_src.planning.given_files import reconstructed_files
from pipeline_src.planning.outdated import is_outdated
from pipeline_src.planning.repeats import of_repeat
from pipeline_src.planning.reported import Reported
from pipeline_src.planning.study_models import Models
from pipeline_src.reporting.display_names import CAPTIONS
from pipeline_src.reporting.figures.kinds import KINDS

#: What defines a result, its manifest and its first file.
Result = tuple[steps.Step, str, str]


class Results:
    """The results of a study by the wildcards of their rules: `dataset`, `acceleration` (`4x`),
    `seed` if there is one result per seed, `model`.

    Args:
        models: of the study.
        reported: the study's tables and figures.
        root: folder of the study, `results/{study}`.
        paper: table of the paper's results.
        paper_config: configuration of the paper's study.
    """

    def __init__(
        self, models: Models, reported: Reported, root: str, paper: Path, paper_config: Path
    ) -> None:
        self._models, self._study, self._reported = models, models.study, reported
        self._root, self._paper, self._paper_config = root, paper, paper_config
        self._places = layout.Places(models.study)
        # The same in all settings, and there may be thousands.
        self._train_step = cache(lambda model, seed: steps.train_step(models.plan(model, seed)))

    def _named(self, step: steps.Step, place: str) -> Result:
        """With the manifest that is named after the file."""
        return step, f"{self._root}/{layout.manifest_of(place)}", f"{self._root}/{place}"

    def _made_from(self, result: Result, places: Sequence[str], *others: Path) -> Result:
        """With the results that it is made from, and other files: Snakemake compares dates, which
        say nothing of what was copied, and knows the list of them only where it has made them.
        """
        files = [*(Path(self._root, place) for place in places), *others]
        there = all(file.exists() for file in files)
        return replace(result[0], made_from=files if there else None), *result[1:]

    def _files(self, setting: Setting, seed: Any, *models: str | None) -> list[str]:
        """Store and mask of a setting and seed, and the weights of models."""
        data = [self._places.store(setting.dataset, seed), self._places.mask(*setting, seed)]
        folders = [self._places.model(*setting, seed, model) for model in models if model]
        return [*data, *(f"{folder}/{layout.WEIGHTS}" for folder in folders)]

    def store(self, wildcards: Any) -> Result:
        """The store of a data set; that of a repeat if stores are repeated."""
        seed = wildcards.get("seed")
        step = steps.prepare_step(of_repeat(self._study, seed), wildcards.dataset)
        return self._named(step, self._places.store(wildcards.dataset, seed))

    def mask(self, wildcards: Any) -> Result:
        """The mask of a setting; that of a repeat if masks are repeated."""
        seed, setting = wildcards.get("seed"), _setting(wildcards)
        step = steps.mask_step(of_repeat(self._study, seed), setting.dataset, setting.factor)
        return self._named(step, self._places.mask(*setting, seed))

    def training(self, wildcards: Any) -> Result:
        """A trained model."""
        step = self._train_step(wildcards.model, int(wildcards.seed))
        folder = self._folder(wildcards, wildcards.model)
        result = step, f"{folder}/{layout.MANIFEST}", f"{folder}/{layout.WEIGHTS}"
        setting, model = _setting(wildcards), wildcards.model
        files = self._files(setting, wildcards.seed, self._models.teacher(model))
        if source := self._models.warm_start(model):
            start = self._places.model(*setting, wildcards.seed, source)
            files.append(f"{start}/{self._models.warm_start_file(model)}")
        return self._made_from(result, files)

    def _folder(self, wildcards: Any, model: str) -> str:
        place = self._places.model(*_setting(wildcards), wildcards.seed, model)
        return f"{self._root}/{place}"

    def _metrics(self, dataset: str, folder: str) -> Result:
        place = f"{folder}/{layout.VOLUMES}"
        part = self._study.datasets[dataset].report_on
        return steps.evaluate_step(part), layout.manifest_of(place), place

    def metrics(self, wildcards: Any) -> Result:
        """The metrics of the study's own models: all are measured together, and the first outdated
        one represents them.
        """
        found = [self._metrics_of(wildcards, name) for name in self._study.model_names()]
        return next((one for one in found if is_outdated(*one)), found[0])

    def metrics_of_variant(self, wildcards: Any) -> Result:
        """The metrics of a model of an ablation."""
        return self._metrics_of(wildcards, wildcards.model)

    def _metrics_of(self, wildcards: Any, model: str) -> Result:
        result = self._metrics(wildcards.dataset, self._folder(wildcards, model))
        return self._made_from(result, self._files(_setting(wildcards), wildcards.seed, model))

    def metrics_of_zero_filling(self, wildcards: Any) -> Result:
        """The metrics of zero filling."""
        folder = self._places.zero_filled(*_setting(wildcards), wildcards.get("seed"))
        result = self._metrics(wildcards.dataset, f"{self._root}/{folder}")
        return self._made_from(result, self._files(_setting(wildcards), wildcards.get("seed")))

    def robustness(self, wildcards: Any) -> Result:
        """The metrics of a setting's models, with one seed, under a shift."""
        setting, shift = _setting(wildcards), Shift.of_name(wildcards.shift)
        of_data = shift.value if shift.kind == "data" else setting.dataset
        section = self._study.robustness
        step = steps.robustness_step(
            self._study.datasets[of_data].report_on,
            shift,
            section.seed if section else 0,
            self._study.sampling.center_lines,
        )
        result = self._named(step, self._places.robustness(*setting, wildcards.seed, shift.name))
        _, *files = self._files(setting, wildcards.seed, *tried_models(self._study))
        return self._made_from(result, [self.store_of_shift(wildcards), *files])

    def store_of_shift(self, wildcards: Any) -> str:
        """The store that a shift is measured on: its own where it is one of other images."""
        shift = Shift.of_name(wildcards.shift)
        dataset = shift.value if shift.kind == "data" else wildcards.dataset
        return self._places.store(dataset, wildcards.seed)

    def cost(self, wildcards: Any) -> Result:
        """What teacher and student cost."""
        return self._of_pair(steps.cost_step(), layout.COST)

    def _of_pair(self, step: steps.Step, place: str) -> Result:
        """What is measured of the first setting's teacher and student."""
        first = next(self._study.settings()), self._study.seeds[0]
        return self._made_from(self._named(step, place), self._files(*first, "teacher", "student"))

    def runtimes(self, wildcards: Any) -> Result:
        """What the first setting's teacher and student cost in other runtimes."""
        first = self._study.datasets[next(self._study.settings()).dataset]
        step = steps.runtimes_step(first.report_on, self._study.evaluation.runtimes)
        return self._of_pair(step, layout.RUNTIME_COST)

    def error_bound(self, wildcards: Any) -> Result:
        """The bound of the errors of a model."""
        section = self._study.evaluation.error_bounds
        assert section is not None
        step = steps.calibrate_step(section.pixels, section.patients)
        setting, seed, model = _setting(wildcards), wildcards.seed, wildcards.model
        result = self._named(step, self._places.error_bound(*setting, seed, model))
        return self._made_from(result, self._files(setting, seed, model))

    def reconstructions(self, wildcards: Any) -> Result:
        """Files of others, by a model of the study."""
        asked = self._study.reconstruct[wildcards.name]
        trained = self._places.model(**asked.training(self._study.seeds))
        place = f"{layout.RECONSTRUCTED}/{wildcards.name}"
        files = reconstructed_files(self._study, wildcards.name, f"{self._root}/{place}")
        files.append(f"{self._root}/{trained}/{layout.WEIGHTS}")
        step = steps.reconstruct_step(asked.settings(self._study.seeds), [*map(Path, files)])
        return self._named(step, f"{place}/{layout.RECONSTRUCTIONS}")

    def tables(self, wildcards: Any) -> Result:
        """All tables, represented by the first."""
        step = steps.tables_step(self._study, self._paper)
        result = self._named(step, f"{layout.TABLE_FOLDER}/{self._reported.tables[0]}.csv")
        measured = self._reported.measurements.values()
        files = [*self._reported.metrics(), *(file for files in measured for file in files)]
        return self._made_from(result, files, self._paper)

    def report(self, wildcards: Any) -> Result:
        """The report."""
        return self._named(steps.report_step(self._study, self._paper_config), layout.REPORT)

    def figure(self, kind: str, shown: int = 1) -> Callable[[Any], Result]:
        """A figure of ``shown`` files, by the wildcards of its rule.

        The function that is returned raises InputError if its module or caption is missing.
        """
        made = KINDS[kind]

        def result(wildcards: Any) -> Result:
            named = (wildcards.get("dataset"), wildcards.get("acceleration"))
            # Not when a run has come to the report, which is its last step.
            if not (CAPTIONS / f"{kind}.rst").is_file():
                raise InputError(f"figure {kind}: {CAPTIONS}/{kind}.rst is missing, its caption")
            step = steps.figure_step(
                kind,
                self._reported.title(kind, *named),
                shown,
                named if made.picks_setting else None,
                self._models if made.shows_plan else None,
            )
            place = f"{layout.FIGURE_FOLDER}/{made.folder.format(**wildcards)}{kind}.png"
            files = self._reported.shown(kind, *(name or "" for name in named))
            return self._made_from(self._named(step, place), files)

        return result


def _setting(wildcards: Any) -> Setting:
    return Setting(wildcards.dataset, wildcards.acceleration)


def shift_options(result: Callable[[Any], Result]) -> Callable[[Any], list[str]]:
    """Options of the robustness command from the configuration, by the wildcards of its rule."""

    def words(wildcards: Any) -> list[str]:
        settings = {**result(wildcards)[0].settings}
        del settings["shift"]  # the rule names it
        pairs = ((f"--{key.replace('_', '-')}", value) for key, value in settings.items())
        return [str(word) for pair in pairs for word in pair]

    return words


def measured_words(measurements: Mapping[str, Sequence[str]]) -> list[str]:
    """Options of the tables command for measurements besides the metrics."""
    return [
        word
        for name, paths in measurements.items()
        for word in (f"--{name.replace('_', '-')}", *paths)
    ]


def figure_options(result: Callable[[Any], Result]) -> Callable[[Any], list[str]]:
    """Options of the figure command besides what it shows, by the wildcards of its rule."""

    def words(wildcards: Any) -> list[str]:
        chosen = result(wildcards)[0].settings
        return figure_words(chosen["title"], chosen["setting"])

    return words


def figure_words(title: str, setting: Sequence[str | None] | None) -> list[str]:
    """Options of the figure command besides what it shows."""
    named = zip(("--dataset", "--acceleration"), setting or [], strict=False)
    return [f"--title={title}", *(str(word) for pair in named for word in pair)]
