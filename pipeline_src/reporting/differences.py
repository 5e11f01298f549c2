"""Which model is better than which: paired differences, their intervals and tests."""

from __future__ import annotations

from collections.abc import Iterator

import pandas as pd

from pipeline_src.evaluation.statistics import compare_family, paired_differences
from pipeline_src.reporting.labels import Labels, of_setting
from pipeline_src.reporting.names import (
    FAMILIES,
    METRIC_TITLES,
    MISSING,
    full_title,
    model_order,
    value_text,
)

Model = tuple[str, str]
TEACHER, SFT_TEACHER, STUDENT = ("teacher", "standard"), ("teacher", "sft"), ("student", "standard")
MATCHED, SFT_START = ("student_matched", "standard"), ("student_sft_start", "sft")
#: Tests are made on these; the others stand in tables of their own.
TESTED = ("psnr_db", "ssim")
COLUMNS = [
    "dataset",
    "dataset_title",
    "acceleration",
    "family",
    "first",
    "first_training",
    "first_title",
    "second",
    "second_training",
    "second_title",
    "metric",
    "effect",
    "low",
    "high",
    "p",
    "p_holm",
    "patients",
    "seeds",
    "verdict",
    "reason",
]
CELLS = ("difference", "95 % interval", "p (Holm)", "verdict")
RESAMPLING_SEED = 0


def pairs_of(family: str, models: list[Model]) -> Iterator[tuple[Model, Model]]:
    """The comparisons of a family among the models that there are, as (first, second)."""
    methods = model_order([m for m, training in models if training in ("std_kd", "sft_kd")])
    std, sft = ([(m, t) for m in methods if (m, t) in models] for t in ("std_kd", "sft_kd"))
    distilled = [pair for m in methods for pair in ((m, "std_kd"), (m, "sft_kd"))]
    candidates: dict[str, list[tuple[Model, Model]]] = {
        "recipe": [((m, "sft_kd"), (m, "std_kd")) for m in methods],
        "student": [(first, STUDENT) for first in (MATCHED, SFT_START, *distilled)],
        "matched": [(first, MATCHED) for first in (SFT_START, *distilled)],
        "sft_start": [(first, SFT_START) for first in sft],
        "teacher": [
            (SFT_TEACHER, TEACHER),
            (STUDENT, TEACHER),
            *((first, TEACHER) for first in std),
            *((first, SFT_TEACHER) for first in sft),
        ],
    }
    for first, second in candidates[family]:
        if first in models and second in models:
            yield first, second


def difference_table(volumes: pd.DataFrame, labels: Labels) -> pd.DataFrame:
    """One row a comparison and metric, with effect, interval, corrected p and verdict.

    The effect is the mean over patients and seeds of first minus second; Holm's correction is
    over the comparisons of a family in one setting and metric.

    Raises:
        InputError: two models were not measured on the same volumes and seeds.
    """
    own = volumes[volumes["variant"] == ""]
    rows = []
    for dataset, acceleration in labels.settings():
        here = of_setting(own, dataset, acceleration)
        groups = {
            (str(model), str(training)): cells
            for (model, training), cells in here.groupby(["model", "training"], sort=False)
        }
        for family in FAMILIES:
            compared = list(pairs_of(family, list(groups)))
            for metric in TESTED:
                matrices = {
                    (first, second): paired_differences(groups[first], groups[second], metric)
                    for first, second in compared
                }
                results = compare_family(matrices, seed=RESAMPLING_SEED)
                for (first, second), found in results.items():
                    rows.append(
                        {
                            "dataset": dataset,
                            "dataset_title": labels.title(dataset),
                            "acceleration": acceleration,
                            "family": family,
                            "first": first[0],
                            "first_training": first[1],
                            "first_title": full_title(*first),
                            "second": second[0],
                            "second_training": second[1],
                            "second_title": full_title(*second),
                            "metric": metric,
                            "effect": found.effect,
                            "low": found.low,
                            "high": found.high,
                            "p": found.p,
                            "p_holm": found.p_holm,
                            "patients": found.patients,
                            "seeds": found.seeds,
                            "verdict": found.verdict,
                            "reason": found.reason,
                        }
                    )
    return pd.DataFrame(rows, columns=COLUMNS)


def difference_layout(table: pd.DataFrame, labels: Labels) -> pd.DataFrame:
    """A comparison a row, with each metric's effect, interval, corrected p and verdict."""
    several = len(list(labels.settings())) > 1
    rows: dict[str, dict[tuple[str, str], str]] = {}
    for _, row in table.iterrows():
        setting = f"{labels.title(row['dataset'], row['acceleration'])}: " if several else ""
        name = f"{setting}{row['first_title']} less {row['second_title']}"
        metric = row["metric"]
        heading = METRIC_TITLES[metric]
        rows.setdefault(name, {}).update(
            {
                (heading, "difference"): value_text(row["effect"], metric, "+"),
                (heading, "95 % interval"): (
                    MISSING
                    if pd.isna(row["low"])
                    else " to ".join(value_text(row[end], metric, "+") for end in ("low", "high"))
                ),
                (heading, "p (Holm)"): _p_text(row["p_holm"]),
                (heading, "verdict"): row["verdict"],
            }
        )
    columns = pd.MultiIndex.from_product(
        [[METRIC_TITLES[metric] for metric in TESTED], CELLS], names=[None, "comparison"]
    )
    return pd.DataFrame(list(rows.values()), index=list(rows), columns=columns)


def _p_text(p: float) -> str:
    if pd.isna(p):
        return MISSING
    return "< 0.001" if p < 0.001 else f"{p:.3f}"


def difference_notes(table: pd.DataFrame) -> list[str]:
    """How the differences were tested, and what kept a verdict from being given."""
    notes = [
        "Differences are first less second, paired by patient (the mean over a patient's volumes) "
        "and averaged over patients and seeds.",
        "Intervals: bootstrap over patients and seeds, stretched for small numbers of either. "
        "p: the larger of Wilcoxon's signed-rank test over patients and the test of the mean over "
        "patients and seeds, Holm-corrected within each family "
        f"({'; '.join(FAMILIES.values())}) of a setting.",
        "better or worse: corrected p below 0.05 and an interval without 0; cannot tell: too few "
        "seeds or patients for any outcome to count.",
    ]
    untold = table[table["verdict"] == "cannot tell"]
    notes += [f"Cannot tell: {reason}." for reason in sorted(untold["reason"].unique())[:6]]
    return notes
