"""Writes one line that says which variant of the method ran."""

from __future__ import annotations

from pipeline_src.config.networks import Network, Networks
from pipeline_src.config.study import Study


def method_options(study: Study) -> str:
    """The options in which the paper and its authors' code differ, as they ran."""
    options = study.distillation
    preset = f"preset {study.preset}: " if study.preset else ""
    kept = (
        f" ({options.feature_stage_selection} weights of the feature stage)"
        if options.protocol == "two_stage"
        else ""
    )
    start = f", start {options.start}" if options.start != "recipe" else ""
    return (
        f"{preset}{_forms(study)}protocol {options.protocol}{kept}{start}, imitation normalised by "
        f"{study.sft.imitation_normalisation}, {_of_networks(study.networks)}"
    )


def _forms(study: Study) -> str:
    """The forms of the losses that have some."""
    given = [method.form for method in study.methods.values() if method.form]
    if not given:
        return ""
    some = " where code and paper differ" if len(given) < len(study.methods) else ""
    return f"losses in {' and '.join(sorted(set(given)))} form{some}, "


def _of_networks(networks: Networks) -> str:
    teacher, student = networks.teacher, networks.student
    if isinstance(teacher, Network) and isinstance(student, Network):
        return f"padding {teacher.padding} and {student.padding}"
    return f"networks {teacher.name} and {student.name}"
