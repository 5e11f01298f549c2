"""Chooses the models that figures and curves show."""

from __future__ import annotations

from pipeline_src.config.recipes import RECIPES
from pipeline_src.config.study import Study
from pipeline_src.planning.study_models import Models

#: Method whose learning curves the paper shows (its figure 4b).
CURVES_METHOD = "at"


def shown_methods(study: Study) -> list[str]:
    """Methods in panels: those chosen by the configuration, or the first by which students are
    distilled.
    """
    distilled = [method for method in study.methods if study.recipes_of(method)]
    chosen = study.evaluation.panel_methods
    return distilled[:1] if chosen is None else [m for m in chosen if m in distilled]


def shown_models(study: Study) -> list[str]:
    """Models in panels: both teachers, the student, and the shown methods' students."""
    return _with_students(study, shown_methods(study))


def curves_models(study: Study) -> list[str]:
    """Models in learning curves: as in panels, except that if the configuration chooses no methods,
    attention transfer is shown as in the paper.
    """
    methods = shown_methods(study)
    if study.evaluation.panel_methods is None and CURVES_METHOD in study.methods:
        methods = [CURVES_METHOD]
    return _with_students(study, methods)


def _with_students(study: Study, methods: list[str]) -> list[str]:
    """Of the paper's recipes; of a method that has none of them, of those that it has."""
    students = []
    for method in methods:
        recipes = study.recipes_of(method)
        of_paper = [recipe for recipe in recipes if RECIPES[recipe].of_paper]
        students += [f"{recipe}_{method}" for recipe in of_paper or recipes]
    trained = study.model_names()
    return [m for m in ("teacher", "sft_teacher", "student", *students) if m in trained]


def domain_ablation(study: Study) -> str | None:
    """The first ablation that compares student-friendly training in the image and the feature
    domain, if there is one."""
    models = Models(study)
    for name, ablation in study.ablations.items() if "sft_teacher" in study.model_names() else ():
        domains = {study.sft.imitation_domain} | {
            models.study_of(f"sft_teacher@{name}.{variant}").sft.imitation_domain
            for variant in ablation.variants
        }
        if len(domains) > 1 and len(domain_models(study, name)) > 1:
            return name
    return None


def domain_models(study: Study, ablation: str) -> list[str]:
    """Trained models of an ablation, the rows of each model together, each once."""
    rows = Models(study).ablated(ablation).values()
    models = study.ablations[ablation].models
    return list(dict.fromkeys(row[model] for model in models for row in rows))
