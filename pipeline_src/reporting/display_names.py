"""Names, order and number formats of models, metrics and questions wherever people read them."""

from __future__ import annotations

import math
from collections.abc import Iterable
from pathlib import Path

from pipeline_src.config.recipes import RECIPES
from pipeline_src.evaluation.metrics import MAIN, METRICS, MORE

#: What explains tables and figures, in reStructuredText.
CAPTIONS = Path(__file__).with_name("captions")
#: Represents the mean over all methods that both recipes have; no method can have this name.
ALL_METHODS = "*"
#: Verdicts, and the word of an answer, that say that there is a difference.
DIFFERENT = ("better", "worse", "more robust", "less robust", "shown")
#: Rows of the paper's table.
MODEL_TITLES = {
    "zero_filled": "Zero-filled",
    "teacher": "Teacher",
    "student": "Student",
    "student_matched": "Student, as many epochs",
    "student_sft_start": "Student from SFT blocks",
    "student_as_long": "Student, as long as SFT and KD",
    "fitnets": "FitNets",
    "at": "AT",
    "cc": "CC",
    "fsp": "FSP",
    "sp": "SP",
    "imitation": "Imitation",
}
RUNTIME_TITLES = {
    "torch": "torch",
    "compiled": "this project's kernels",
    "onnxruntime": "ONNX Runtime",
    "onnxruntime_int8": "ONNX Runtime, int8",
    "onnxruntime_fp16": "ONNX Runtime, fp16",
    "openvino": "OpenVINO",
    "openvino_bf16": "OpenVINO, bf16",
}
RECIPE_TITLES = {name: recipe.title for name, recipe in RECIPES.items()}
#: Columns of the paper's table.
PAPER_RECIPES = [name for name, recipe in RECIPES.items() if recipe.of_paper]
#: Models whose names are also used for a training with SFT.
SFT_TITLES = {"teacher": "SFT teacher", "student": "Student that others start from"}
#: Metrics of the main table, as in its cells.
MAIN_HEADING = " / ".join(METRICS[name].heading for name in MAIN)
#: Printed if a table has no value.
MISSING = "\N{EN DASH}"
#: The questions asked, each a family of tests over the models of a setting.
FAMILIES = {
    "gap": "the teacher against the student",
    "primary": "primary: SFT-KD-Recon against Std-KD, mean over methods",
    "controls": "SFT-KD-Recon against its controls, mean over methods",
    "distillation": "distilled or not, mean over methods: same start, as many epochs",
    "gap_left": "students against the standard teacher, distilled ones as mean over methods",
    "recipe": "SFT-KD-Recon against Std-KD",
    "methods": "a method against the others, of the same recipe",
    "student": "against the plain student",
    "matched": "against the student trained for as many epochs",
    "as_long": "SFT-KD-Recon against the student trained as long as SFT and distillation",
    "sft_start": "SFT-KD-Recon against the student from SFT blocks, not distilled",
    "teacher": "against the teacher (of a distilled student: its own)",
}
#: Tables of every study besides its ablations, in the order of the report.
TABLES = (
    "main",
    "answers",
    "claims",
    "differences",
    "differences_more",
    "gap",
    "paper",
    *MORE,
)
TABLE_TITLES = {
    "main": "Image quality",
    "answers": "The study's questions",
    "claims": "The paper's claims",
    "differences": "Differences and their tests",
    "differences_more": "Differences in other metrics",
    "gap": "Gap to the teacher",
    "paper": "Beside the paper's values",
    **{name: METRICS[name].table for name in MORE},
    "cost": "Cost of teacher and student",
    "runtimes": "Teacher and student in other runtimes",
    "robustness": "Beyond what was trained for",
    "error_bounds": "Bounds of reconstruction errors",
}
#: The column of the main table for each training; each recipe has its own.
COLUMN_OF_TRAINING = {
    "none": "std_kd",
    "standard": "std_kd",
    "std_kd": "std_kd",
    "sft": "sft_kd",
    **{name: name for name in RECIPES if name != "std_kd"},
}


def table_caption(table: str) -> str:
    """The file in `captions` that explains a table, without its suffix: all ablations share one,
    and so do metrics that have none of their own.
    """
    own = f"{'ablation' if table.startswith('ablation_') else table}_table"
    there = table not in MORE or (CAPTIONS / f"{own}.rst").exists()
    return own if there else "metric_table"


def model_title(model: str) -> str:
    """A model's title; a user's own method is shown by its name."""
    return MODEL_TITLES.get(model, model)


def full_title(model: str, training: str) -> str:
    """A model and how it was trained, in a few words: `Std-KD AT`, `SFT teacher`."""
    if training in RECIPE_TITLES:
        recipe = RECIPE_TITLES[training]
        # The question already says that it is the mean over methods.
        return recipe if model == ALL_METHODS else f"{recipe} {model_title(model)}"
    return SFT_TITLES.get(model, model_title(model)) if training == "sft" else model_title(model)


def model_order(models: list[str]) -> list[str]:
    """Models in the paper's order, followed by those that it does not have."""
    known = [m for m in MODEL_TITLES if m in models]
    return known + sorted(set(models) - set(known))


def value_text(value: float, metric: str, sign: str = "", decimals: int | None = None) -> str:
    """A metric's value as text, with the metric's ``decimals`` where none are given; the sign `+`
    is for differences, which always have one.
    """
    decimals = METRICS[metric].decimals if decimals is None else decimals
    # A difference that rounds to zero keeps its sign, which tells on which side of it an interval
    # ends; a value has none.
    shown = value if sign and value else round(value, decimals) + 0.0
    return f"{shown:{sign}.{decimals}f}"


def effect_texts(numbers: Iterable[float], metric: str, word: str) -> list[str]:
    """An effect and the ends of its interval as text, as far as they are known.

    Beside a ``word`` that says that there is a difference, the effect is not printed as zero: all
    have as many decimals as it needs.
    """
    effect, *ends = numbers
    decimals = METRICS[metric].decimals
    while word in DIFFERENT and effect and not round(effect, decimals):
        decimals += 1
    known = [value for value in (effect, *ends) if not math.isnan(value)]
    return [value_text(value, metric, "+", decimals) for value in known]


def pair_text(psnr_db: float, ssim: float, sign: str = "") -> str:
    """PSNR and SSIM in one cell."""
    return f"{value_text(psnr_db, 'psnr_db', sign)} / {value_text(ssim, 'ssim', sign)}"


def counted(numbers: Iterable[int], noun: str) -> str:
    """`3 seeds`, `1 patient`, or `18 to 20 patients` if the numbers differ."""
    low, high = min(found := [int(n) for n in numbers]), max(found)
    plural = "" if high == 1 else "s"
    return f"{low} {noun}{plural}" if low == high else f"{low} to {high} {noun}{plural}"
