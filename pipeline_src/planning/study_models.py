"""All models of a study, including those of its ablations, and how they depend on each other."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from pipeline_src.config.datasets import OwnSource
from pipeline_src.config.distillation import is_papers
from pipeline_src.config.load import check_study
from pipeline_src.config.presets import preset_values
from pipeline_src.config.recipes import RECIPES
from pipeline_src.config.section import merge
from pipeline_src.config.setting import Setting
from pipeline_src.config.study import TRAINED_START, Study
from pipeline_src.errors import InputError
from pipeline_src.modules import source_of_module
from pipeline_src.planning.model_names import split_model_name, split_variant
from pipeline_src.planning.places import STUDENT_WEIGHTS, WEIGHTS
from pipeline_src.planning.plans import TrainingPlan, training_plan


class NamedModule(NamedTuple):
    """A module outside this project that a study names.

    Attributes:
        kind: of what it registers: `network`, `method` or `data set`.
        name: what the study calls that.
        module: its import path.
        key: of the configuration that names it.
    """

    kind: str
    name: str
    module: str
    key: str

    def source(self) -> Path:
        """Its file; nothing of it is imported.

        Raises:
            InputError: there is no such module.
        """
        return source_of_module(self.module, self.key)


def _refuse_controls_of_another_start(study: Study) -> None:
    """Refuse recipes that are the same training, and controls that no distilled student starts
    like, where `distillation.start` overrides the recipes; a variant of an ablation may override
    them, since it compares no recipes.

    Raises:
        InputError: the line names the key.
    """
    start = study.distillation.start
    lacking = {"random": "student_sft_start", "sft": "student_matched"}.get(start)
    if lacking is None:
        return
    if lacking in study.controls:
        raise InputError(
            f"controls: {lacking} starts otherwise than every distilled student under "
            f"distillation.start {start!r}, so it is the control of none; leave it out, or set "
            "start to recipe"
        )
    for recipe in sorted(study.recipes_used()):
        if not RECIPES[recipe].of_paper:
            raise InputError(
                f"recipes: {recipe} differs from another recipe in the start alone, and "
                f"distillation.start {start!r} is one for all; leave it out, or set start to recipe"
            )


class Models:
    """Models by name: `teacher`, `sft_kd_at`, or with a variant `sft_kd_at@ablation.variant`.

    If a variant changes neither a model nor what it is trained from, the model is the study's own
    and is trained once.

    Raises:
        InputError: a variant does not give a valid study; or recipes or controls that are compared
            differ in nothing, or in more than they say, under the study's `distillation.start`.
    """

    def __init__(self, study: Study) -> None:
        self.study = study
        self._studies = {"": study}
        self._plans: dict[tuple[str, int], TrainingPlan] = {}
        _refuse_controls_of_another_start(study)
        for ablation, spec in study.ablations.items():
            for variant in spec.variants:
                self._studies[f"{ablation}.{variant}"] = self._changed(ablation, variant)

    def _changed(self, ablation: str, variant: str) -> Study:
        changes = self.study.ablations[ablation].variants[variant].set
        data = self.study.model_dump(mode="json", exclude={"ablations"})
        # The dump holds every value; a preset of the study is in them, one of the variant is laid
        # over them.
        data["preset"] = None
        chosen = changes.get("preset")
        if isinstance(chosen, str):
            networks = merge(data, changes)["networks"]
            papers = [n for n, m in self.study.methods.items() if is_papers(n, m.module)]
            data = merge(data, preset_values(chosen, papers, networks))
        origin = f"ablations.{ablation}.variants.{variant}.set"
        for key in ("study", "data_root", "ablations", "robustness"):
            if key in changes:
                raise InputError(f"{origin}: {key} cannot be changed within a study")
        changed = check_study(merge(data, changes), origin)
        own = self.study
        for key in ("seeds", "repeat_over", "accelerations", "datasets", "sampling"):
            if getattr(changed, key) != getattr(own, key):
                raise InputError(f"{origin}: {key} cannot be changed within a study")
        # Those of another start come with it.
        if (set(changed.distilled_names()), changed.controls) != (
            set(own.distilled_names()),
            own.controls,
        ):
            raise InputError(
                f"{origin}: methods, recipes and controls cannot be added or removed here"
            )
        return changed

    @property
    def studies(self) -> list[Study]:
        """The study, and each of its variants."""
        return list(self._studies.values())

    def named_modules(self) -> list[NamedModule]:
        """The modules outside this project that the study or its variants name, each once."""
        found = set()
        for study in self.studies:
            for role, network in study.networks.others.items():
                if network.module:
                    key = f"networks.{role}.module"
                    found.add(NamedModule("network", role, network.module, key))
            for name, method in study.methods.items():
                if method.module:
                    key = f"methods.{name}.module"
                    found.add(NamedModule("method", name, method.module, key))
            for name, dataset in study.datasets.items():
                if isinstance(dataset.source, OwnSource):
                    key = f"datasets.{name}.source.module"
                    found.add(NamedModule("data set", name, dataset.source.module, key))
        return sorted(found)

    def study_of(self, name: str) -> Study:
        """The study, with the changes of the name's variant.

        Raises:
            InputError: there is no such variant.
        """
        variant = split_variant(name)[1]
        if variant not in self._studies:
            known = ", ".join(v for v in self._studies if v) or "none"
            raise InputError(f"model {name!r}: no variant {variant!r}; variants: {known}")
        return self._studies[variant]

    def plan(self, name: str, seed: int) -> TrainingPlan:
        """What defines the training of a model.

        Raises:
            InputError: there is no such model.
        """
        # Snakemake asks for it several times per job.
        if (name, seed) not in self._plans:
            try:
                found = training_plan(self.study_of(name), split_variant(name)[0], seed)
            except ValueError as error:
                raise InputError(str(error)) from None
            self._plans[name, seed] = found
        return self._plans[name, seed]

    def teacher(self, name: str) -> str | None:
        """The frozen teacher that a model is distilled from, if it is distilled."""
        if self.plan(name, 0).distillation is None:
            return None
        recipe = split_model_name(name)[1]
        return self.resolve(self._beside(RECIPES[recipe].teacher, name))

    def warm_start(self, name: str) -> str | None:
        """The training that a model starts from, if any: the student-friendly one, from which it
        takes the student blocks, or a student's.
        """
        start = self.plan(name, 0).warm_start
        if start is None:
            return None
        source = TRAINED_START if start == "student" else "sft_teacher"
        return self.resolve(self._beside(source, name))

    def warm_start_file(self, name: str) -> str | None:
        """The file of that training that a model starts from, if any."""
        source = self.warm_start(name)
        if source is None:
            return None
        return STUDENT_WEIGHTS if self.plan(source, 0).sft is not None else WEIGHTS

    def resolve(self, name: str) -> str:
        """The name under which a model is trained: without its variant if that changes nothing."""
        model, variant = split_variant(name)
        if not variant or self.plan(name, 0) != self.plan(model, 0):
            return name
        same = (self.teacher(name), self.warm_start(name)) == (
            self.teacher(model),
            self.warm_start(model),
        )
        return model if same else name

    def ablated(self, ablation: str) -> dict[str, dict[str, str]]:
        """The models of an ablation's table: row (`""` is the study) to model to trained name."""
        spec = self.study.ablations[ablation]
        rows = {"": {model: model for model in spec.models}}
        for variant in spec.variants:
            rows[variant] = {m: self.resolve(f"{m}@{ablation}.{variant}") for m in spec.models}
        return rows

    def names(self, setting: Setting | None = None) -> list[str]:
        """Every model that is trained, or that is trained for one setting, each once."""
        found = dict.fromkeys(self.study.model_names())
        for ablation in self.study.ablations:
            if setting is not None and setting not in self.study.settings(ablation):
                continue
            for row in self.ablated(ablation).values():
                for name in row.values():
                    found |= dict.fromkeys([*self._needed(name), name])
        return list(found)

    def _needed(self, name: str) -> Iterator[str]:
        """All trainings that a model depends on, in the order in which they must run."""
        for needed in (self.teacher(name), self.warm_start(name)):
            if needed is not None:
                yield from self._needed(needed)
                yield needed

    @staticmethod
    def _beside(model: str, name: str) -> str:
        """Another model under the variant of a name."""
        variant = split_variant(name)[1]
        return f"{model}@{variant}" if variant else model
