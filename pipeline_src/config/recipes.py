"""The recipes of distillation that are compared: which teacher, and where the student starts.

Of the four combinations of teacher and start the paper compares two, Std-KD and SFT-KD-Recon, which
differ in both. The other two show which of them matters.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

RecipeName = Literal["std_kd", "sft_kd", "sft_teacher_only", "sft_start_only"]


@dataclass(frozen=True)
class Recipe:
    """One combination of teacher and start.

    Attributes:
        title: its name in tables and figures.
        teacher: the frozen teacher, `teacher` or `sft_teacher`.
        sft_start: whether the student starts from the student blocks of student-friendly training.
        of_paper: whether the paper has it.
    """

    title: str
    teacher: str
    sft_start: bool
    of_paper: bool = False


RECIPES: dict[str, Recipe] = {
    "std_kd": Recipe("Std-KD", "teacher", sft_start=False, of_paper=True),
    "sft_kd": Recipe("SFT-KD-Recon", "sft_teacher", sft_start=True, of_paper=True),
    "sft_teacher_only": Recipe("SFT teacher alone", "sft_teacher", sft_start=False),
    "sft_start_only": Recipe("SFT start alone", "teacher", sft_start=True),
}


def needs_sft(recipe: str) -> bool:
    """Whether a recipe needs student-friendly training, for its teacher or the student's start."""
    return RECIPES[recipe].sft_start or RECIPES[recipe].teacher == "sft_teacher"
