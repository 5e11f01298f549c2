"""Lists which models are compared with which: the comparisons of each family."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from pipeline_src.reporting.display_names import ALL_METHODS, PAPER_RECIPES, model_order

#: Name and recipe.
Model = tuple[str, str]
TEACHER, SFT_TEACHER, STUDENT = ("teacher", "standard"), ("teacher", "sft"), ("student", "standard")
MATCHED, SFT_START = ("student_matched", "standard"), ("student_sft_start", "sft")
AS_LONG = ("student_as_long", "standard")


def pairs_of(
    family: str, models: list[Model], compared: Sequence[str] = ()
) -> Iterator[tuple[Model, Model]]:
    """The comparisons of a family among the given models, as (first, second); ``compared`` are the
    methods that are compared with every other one.
    """
    methods = distilled_methods(models)
    std, sft = ([(m, t) for m in methods if (m, t) in models] for t in ("std_kd", "sft_kd"))
    distilled = [pair for m in methods for pair in ((m, "std_kd"), (m, "sft_kd"))]
    mean_std, mean_sft = (ALL_METHODS, "std_kd"), (ALL_METHODS, "sft_kd")
    others = [(ALL_METHODS, recipe) for recipe in ("sft_start_only", "sft_teacher_only")]
    candidates: dict[str, list[tuple[Model, Model]]] = {
        "gap": [(TEACHER, STUDENT)],
        "primary": [(mean_sft, mean_std)],
        "controls": [(mean_sft, second) for second in (*others, AS_LONG)],
        "distillation": [(mean_std, MATCHED), (mean_sft, SFT_START)],
        "gap_left": [
            (first, TEACHER) for first in (mean_sft, mean_std, SFT_START, MATCHED, AS_LONG)
        ],
        "recipe": [((m, "sft_kd"), (m, "std_kd")) for m in methods],
        "methods": [
            ((m, recipe), (other, recipe))
            for recipe, there in (("sft_kd", sft), ("std_kd", std))
            for k, m in enumerate(compared)
            for other, _ in there
            if other not in compared[: k + 1]
        ],
        "student": [(first, STUDENT) for first in (MATCHED, SFT_START, *distilled)],
        "matched": [(first, MATCHED) for first in (SFT_START, *distilled)],
        "as_long": [(first, AS_LONG) for first in sft],
        "sft_start": [(first, SFT_START) for first in sft],
        "teacher": [
            (SFT_TEACHER, TEACHER),
            *((first, TEACHER) for first in std),
            *((first, SFT_TEACHER) for first in sft),
        ],
    }
    for first, second in candidates[family]:
        members = members_of((first, second), models)
        if members and all(model in models for pair in members for model in pair):
            yield first, second


def members_of(pair: tuple[Model, Model], models: list[Model]) -> list[tuple[Model, Model]]:
    """The comparisons that a pair is the mean of: itself, or those of every method that has both
    recipes, or only the one recipe if the other model is not a distilled one.
    """
    (first, recipe), (second, other) = pair
    if first != ALL_METHODS:
        return [pair]
    methods = model_order([m for m, training in models if training == recipe])
    if second != ALL_METHODS:
        return [((m, recipe), (second, other)) for m in methods]
    return [((m, recipe), (m, other)) for m in methods if (m, other) in models]


def some_methods(pair: tuple[Model, Model], models: list[Model]) -> list[str]:
    """The methods that a pair is the mean of, if students are distilled by others too."""
    if pair[0][0] != ALL_METHODS:
        return []
    of_mean = [first for (first, _), _ in members_of(pair, models)]
    return of_mean if set(of_mean) != set(distilled_methods(models)) else []


def distilled_methods(models: list[Model]) -> list[str]:
    """The methods by which students are distilled with either of the paper's recipes."""
    return model_order([m for m, training in models if training in PAPER_RECIPES])
