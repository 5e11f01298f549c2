"""Splits names of models into their parts."""

from __future__ import annotations

from pipeline_src.config.recipes import RECIPES


def split_variant(name: str) -> tuple[str, str]:
    """A model's name and its variant: `sft_teacher@terms.teacher_only`, or no variant (`""`)."""
    model, _, variant = name.partition("@")
    return model, variant


def split_model_name(name: str) -> tuple[str, str]:
    """The `model` and `training` columns of the paper's table for a model's name.

    `std_kd_at` is model `at` trained by `std_kd`; `sft_teacher` is `teacher` trained by `sft`. The
    controls count as models of their own. A variant does not change them.
    """
    model, _ = split_variant(name)
    if model == "zero_filled":
        return "zero_filled", "none"
    if model == "sft_teacher":
        return "teacher", "sft"
    if model == "student_sft":
        return "student", "sft"
    if model in ("teacher", "student", "student_matched", "student_as_long"):
        return model, "standard"
    if model == "student_sft_start":
        return model, "sft"
    for recipe in RECIPES:
        if model.startswith(recipe + "_"):
            return model.removeprefix(recipe + "_"), recipe
    raise ValueError(f"not a model's name: {model!r}")
