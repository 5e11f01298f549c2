"""Which model is better than which: paired differences, their intervals and tests."""

from __future__ import annotations

from collections.abc import Iterator

import pandas as pd

from pipeline_src.evaluation.statistics import (
    NotMeasuredError,
    compare_family,
    paired_differences,
)
from pipeline_src.reporting.labels import Labels, of_setting
from pipeline_src.reporting.names import (
    ALL_METHODS,
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
#: Of `statistics.Comparison`.
FOUND = ["effect", "low", "high", "p", "p_holm", "patients", "seeds", "verdict", "reason"]
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
    *FOUND,
]
CELLS = ("difference", "95 % interval", "p (Holm)", "verdict")
RESAMPLING_SEED = 0
#: How many reasons the notes tell.
MOST_REASONS = 6


def pairs_of(family: str, models: list[Model]) -> Iterator[tuple[Model, Model]]:
    """The comparisons of a family among the models that there are, as (first, second)."""
    methods = model_order([m for m, training in models if training in ("std_kd", "sft_kd")])
    std, sft = ([(m, t) for m in methods if (m, t) in models] for t in ("std_kd", "sft_kd"))
    distilled = [pair for m in methods for pair in ((m, "std_kd"), (m, "sft_kd"))]
    both = any((m, "std_kd") in models and (m, "sft_kd") in models for m in methods)
    candidates: dict[str, list[tuple[Model, Model]]] = {
        "primary": [((ALL_METHODS, "sft_kd"), (ALL_METHODS, "std_kd"))] if both else [],
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
        if all(model in models for pair in members_of((first, second), models) for model in pair):
            yield first, second


def members_of(pair: tuple[Model, Model], models: list[Model]) -> list[tuple[Model, Model]]:
    """The comparisons whose mean a pair is: itself, or those of every method that both recipes
    have."""
    (first, recipe), (_, other) = pair
    if first != ALL_METHODS:
        return [pair]
    methods = model_order([m for m, training in models if training == recipe])
    return [((m, recipe), (m, other)) for m in methods if (m, other) in models]


def difference_table(volumes: pd.DataFrame, labels: Labels) -> pd.DataFrame:
    """One row per comparison and metric, with effect, interval, corrected p and verdict.

    The effect is the mean over patients and seeds of first minus second; Holm's correction is
    over the comparisons of a family in one setting and metric. Where two models were not measured
    on the same volumes and seeds, the verdict is `cannot tell` with the reason, without numbers.

    Raises:
        InputError: a volume was measured twice, or patients of two parts are mixed.
    """
    own = volumes[volumes["variant"] == ""]
    rows = []
    for dataset, acceleration in labels.settings():
        here = of_setting(own, dataset, acceleration)
        groups = {
            (str(model), str(training)): cells
            for (model, training), cells in here.groupby(
                ["model", "training"], dropna=False, sort=False
            )
        }
        setting = {
            "dataset": dataset,
            "dataset_title": labels.title(dataset),
            "acceleration": acceleration,
        }
        for family in FAMILIES:
            compared = list(pairs_of(family, list(groups)))
            for metric in TESTED:
                for (first, second), found in _compared(groups, compared, metric).items():
                    rows.append(
                        setting
                        | {
                            "family": family,
                            "first": first[0],
                            "first_training": first[1],
                            "first_title": full_title(*first),
                            "second": second[0],
                            "second_training": second[1],
                            "second_title": full_title(*second),
                            "metric": metric,
                        }
                        | found
                    )
    table = pd.DataFrame(rows, columns=COLUMNS)
    # Whole numbers, of which some may be missing.
    return table.astype({"patients": "Int64", "seeds": "Int64"})


def _compared(
    groups: dict[Model, pd.DataFrame], pairs: list[tuple[Model, Model]], metric: str
) -> dict[tuple[Model, Model], dict[str, object]]:
    """What is found for each pair of a family, in their order; a pair that cannot be compared has
    no numbers, and does not count in the correction."""
    matrices, reasons = {}, {}
    for pair in pairs:
        try:
            members = [
                paired_differences(groups[first], groups[second], metric)
                for first, second in members_of(pair, list(groups))
            ]
            matrices[pair] = _mean(members)
        except NotMeasuredError as error:
            reasons[pair] = str(error)
    results = compare_family(matrices, seed=RESAMPLING_SEED)
    found: dict[tuple[Model, Model], dict[str, object]] = {}
    for pair in pairs:
        if pair in results:
            found[pair] = {name: getattr(results[pair], name) for name in FOUND}
        else:
            found[pair] = {"verdict": "cannot tell", "reason": reasons[pair]}
    return found


def _mean(matrices: list[pd.DataFrame]) -> pd.DataFrame:
    """Mean of matrices `(seeds, patients)`.

    Raises:
        NotMeasuredError: they are not of the same seeds and patients.
    """
    first = matrices[0]
    for other in matrices[1:]:
        if not (first.index.equals(other.index) and first.columns.equals(other.columns)):
            raise NotMeasuredError("the methods are not all measured on the same volumes and seeds")
    return sum(matrices[1:], start=first) / len(matrices)


def difference_layout(table: pd.DataFrame, labels: Labels) -> pd.DataFrame:
    """One comparison per row, with each metric's effect, interval, corrected p and verdict."""
    several = len(list(labels.settings())) > 1
    rows: dict[str, dict[tuple[str, str], str]] = {}
    for _, row in table.iterrows():
        setting = f"{labels.title(row['dataset'], row['acceleration'])}: " if several else ""
        mean = "mean over methods, " if row["first"] == ALL_METHODS else ""
        name = f"{setting}{mean}{row['first_title']} less {row['second_title']}"
        metric = row["metric"]
        heading = METRIC_TITLES[metric]
        rows.setdefault(name, {}).update(
            {
                (heading, "difference"): (
                    MISSING if pd.isna(row["effect"]) else value_text(row["effect"], metric, "+")
                ),
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
        "seeds or patients for any outcome to count, or some that were not measured.",
    ]
    untold = table[table["verdict"] == "cannot tell"]
    reasons = sorted(untold["reason"].unique())
    notes += [f"Cannot tell: {reason}." for reason in reasons[:MOST_REASONS]]
    if len(reasons) > MOST_REASONS:
        notes.append(
            f"Cannot tell: {len(reasons) - MOST_REASONS} more reasons in the column reason of the "
            "CSV file."
        )
    return notes
