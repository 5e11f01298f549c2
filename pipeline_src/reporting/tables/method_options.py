"""Writes one line that says which variant of the method ran."""

from __future__ import annotations

from pipeline_src.config.networks import Network, Networks
from pipeline_src.config.study import Study


def method_options(study: Study) -> str:
    """The options in which the paper and its authors' code differ, as they ran."""
    forms = sorted({m.form for m in study.methods.values()})
    options = study.distillation
    preset = f"preset {study.preset}: " if study.preset else ""
    kept = (
        f" ({options.feature_stage_selection} weights of the feature stage)"
        if options.protocol == "two_stage"
        else ""
    )
    start = f", start {options.start}" if options.start != "recipe" else ""
    return (
        f"{preset}losses in {' and '.join(forms) or 'no'} form, protocol "
        f"{options.protocol}{kept}{start}, imitation normalised by "
        f"{study.sft.imitation_normalisation}, {_of_networks(study.networks)}"
    )


def _of_networks(networks: Networks) -> str:
    teacher, student = networks.teacher, networks.student
    if isinstance(teacher, Network) and isinstance(student, Network):
        return f"padding {teacher.padding} and {student.padding}"
    return f"networks {teacher.name} and {student.name}"
