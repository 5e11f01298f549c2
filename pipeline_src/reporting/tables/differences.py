"""Tests which model is better than which: paired differences with intervals and p-values."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import fields
from typing import TypeVar

import pandas as pd

from pipeline_src.evaluation.comparison import THESE_PATIENTS, Comparison, Scope, compare_family
from pipeline_src.evaluation.metrics import MAIN, METRICS, MORE
from pipeline_src.evaluation.pairing import Measured, NotMeasuredError, paired_differences
from pipeline_src.reporting.display_names import (
    ALL_METHODS,
    FAMILIES,
    MISSING,
    counted,
    effect_texts,
    full_title,
    model_title,
)
from pipeline_src.reporting.tables.families import Model, members_of, pairs_of, some_methods
from pipeline_src.reporting.tables.labels import Labels, of_setting

Label = TypeVar("Label", bound=Hashable)
#: Metrics of the table of differences, and those of a second table.
TESTED, TESTED_MORE = MAIN, MORE
#: Columns from the fields of `comparison.Comparison`.
FOUND = [f.name for f in fields(Comparison)]
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
    "methods",
    "metric",
    *FOUND,
]
EFFECT = ["effect", "low", "high"]
CELLS = ("difference", "95 % interval", "p (Holm)", "verdict")
RESAMPLING_SEED = 0
#: The scope of tests if each seed has its own split.
OWN_SPLITS: Scope = "patients, splits and seeds"
#: How intervals and p-values are computed, without and with a split per seed.
INTERVALS = {
    False: "Intervals: bootstrap over patients and seeds, stretched for small numbers of either. "
    "p: the larger of Wilcoxon's signed-rank test over patients and the test of the mean over "
    "patients and seeds,",
    True: "Each seed has a split of its own, so the units are the repeats, each the mean over the "
    "patients that it reports. Intervals: the corrected resampled t test (Nadeau and Bengio 2003), "
    "which allows for the training patients that repeats share. p: the larger of that test's and, "
    "of enough patients, of Wilcoxon's signed-rank test over each patient's mean over repeats,",
}
#: Verdicts that show nothing, for whomever.
SHOW_NOTHING = ("no difference shown", "cannot tell")
#: How many reasons the notes list.
MOST_REASONS = 6


def difference_table(
    volumes: pd.DataFrame, labels: Labels, metrics: Sequence[str] = TESTED
) -> pd.DataFrame:
    """One row per comparison and metric, with effect, interval, corrected p and verdict.

    The effect is the mean over patients and seeds of first minus second; Holm's correction is over
    the comparisons of a family in one setting and metric. If two models were not measured on the
    same volumes and seeds, the verdict is `cannot tell` with the reason, without numbers.

    Raises:
        InputError: a volume was measured twice, or patients of two parts are mixed.
    """
    own = volumes[volumes["variant"] == ""]
    rows = []
    for dataset, acceleration in labels.settings():
        here = of_setting(own, dataset, acceleration)
        groups = Groups(here, ["model", "training"])
        models: list[Model] = [(model, training) for model, training in groups.there()]
        setting = {
            "dataset": dataset,
            "dataset_title": labels.title(dataset),
            "acceleration": acceleration,
        }
        for family in FAMILIES:
            pairs = pairs_of(family, models, labels.compared)
            asked = {pair: members_of(pair, models) for pair in pairs}
            for metric in metrics:
                margin = labels.margins.get(metric)
                for (first, second), found in compared(groups, asked, metric, margin).items():
                    some = some_methods((first, second), models)
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
                            "methods": ", ".join(map(model_title, some)),
                            "metric": metric,
                        }
                        | found
                    )
    table = pd.DataFrame(rows, columns=COLUMNS)
    # Integers, some of which may be missing.
    return table.astype({"patients": "Int64", "seeds": "Int64"})


class Groups:
    """Metrics by model, where ``keys`` are the columns that identify a model; each model's rows are
    sorted once, when it is first compared.
    """

    def __init__(self, rows: pd.DataFrame, keys: Sequence[str]) -> None:
        grouped = rows.groupby(list(keys), dropna=False, sort=False)
        self._rows = {tuple(map(str, key)): cells for key, cells in grouped}
        self._measured: dict[tuple[str, ...], Measured] = {}

    def there(self) -> list[tuple[str, ...]]:
        """The models that have metrics."""
        return list(self._rows)

    def measured(self, key: tuple[str, ...]) -> Measured:
        """A model's metrics.

        Raises:
            NotMeasuredError: there are none, or as in `Measured`.
            InputError: as in `Measured`.
        """
        if key not in self._rows:
            raise NotMeasuredError(f"{' '.join(filter(None, key))}: not measured")
        if key not in self._measured:
            self._measured[key] = Measured(self._rows[key])
        return self._measured[key]


def compared(
    groups: Groups,
    pairs: Mapping[Label, Sequence[tuple[tuple[str, ...], tuple[str, ...]]]],
    metric: str,
    margin: float | None,
) -> dict[Label, dict[str, object]]:
    """Compare the mean of each label's pairs, as one family; results are in the order of the
    labels.

    A label that cannot be compared has no numbers, and is not counted in the correction.
    """
    matrices, reasons = {}, {}
    for label, members in pairs.items():
        try:
            matrices[label] = mean_over_members(
                [
                    paired_differences(groups.measured(first), groups.measured(second), metric)
                    for first, second in members
                ]
            )
        except NotMeasuredError as error:
            reasons[label] = str(error)
    results = compare_family(
        matrices,
        seed=RESAMPLING_SEED,
        higher_is_better=METRICS[metric].higher_is_better,
        margin=margin,
    )
    found: dict[Label, dict[str, object]] = {}
    for label in pairs:
        if label in results:
            found[label] = {name: getattr(results[label], name) for name in FOUND}
        else:
            found[label] = {"verdict": "cannot tell", "reason": reasons[label]}
    return found


def mean_over_members(matrices: list[pd.DataFrame]) -> pd.DataFrame:
    """Mean of matrices `(seeds, patients)`.

    Raises:
        NotMeasuredError: their seeds or patients differ.
    """
    first = matrices[0]
    for other in matrices[1:]:
        same = first.index.equals(other.index) and first.columns.equals(other.columns)
        if not same or not first.isna().equals(other.isna()):
            raise NotMeasuredError("the methods are not all measured on the same volumes and seeds")
    return sum(matrices[1:], start=first) / len(matrices)


def difference_layout(table: pd.DataFrame, labels: Labels) -> pd.DataFrame:
    """One comparison per row, with each metric's effect, interval, corrected p and verdict."""
    several = len(list(labels.settings())) > 1
    rows: dict[str, dict[tuple[str, str], str]] = {}
    metrics = list(dict.fromkeys(table["metric"])) or list(TESTED)
    for _, row in table.iterrows():
        setting = f"{labels.title(row['dataset'], row['acceleration'])}: " if several else ""
        name = f"{setting}{_mean_text(row)}{row['first_title']} minus {row['second_title']}"
        metric = row["metric"]
        heading, texts = METRICS[metric].heading, effect_texts(row[EFFECT], metric, row["verdict"])
        rows.setdefault(name, {}).update(
            {
                (heading, "difference"): texts[0] if texts else MISSING,
                (heading, "95 % interval"): " to ".join(texts[1:]) or MISSING,
                (heading, "p (Holm)"): _p_text(row["p_holm"]),
                (heading, "verdict"): verdict_text(row),
            }
        )
    columns = pd.MultiIndex.from_product(
        [[METRICS[metric].heading for metric in metrics], CELLS], names=[None, "comparison"]
    )
    return pd.DataFrame(list(rows.values()), index=list(rows), columns=columns)


def _mean_text(row: pd.Series) -> str:
    """What a comparison is the mean over, before its models."""
    if row["first"] != ALL_METHODS:
        return ""
    if not row["methods"]:
        return "mean over methods, "
    several = "," in row["methods"]
    return f"mean over {row['methods']}, " if several else f"{row['methods']} alone, "


def verdict_text(row: pd.Series) -> str:
    """A verdict, and for whom what it shows holds if not for other patients too."""
    verdict = str(row["verdict"])
    alone = verdict not in SHOW_NOTHING and row["scope"] == THESE_PATIENTS
    return f"{verdict} (these patients)" if alone else verdict


def _p_text(p: float) -> str:
    if pd.isna(p):
        return MISSING
    return "< 0.001" if p < 0.001 else f"{p:.3f}"


def difference_notes(table: pd.DataFrame) -> list[str]:
    """How the differences were tested, and why some have no verdict."""
    of_table = set(table["family"])
    notes = [
        "Differences are first minus second, paired by patient (the mean over a patient's volumes) "
        "and averaged over patients and seeds.",
        f"{INTERVALS[OWN_SPLITS in set(table['scope'])]} Holm-corrected within each family "
        f"({'; '.join(FAMILIES[name] for name in FAMILIES if name in of_table)}) of a setting, "
        "for each metric by itself.",
        "better or worse: corrected p below 0.05 and an interval without 0; equivalent: shown to "
        f"differ by less than the margin ({_margins(table)}; two one-sided tests, corrected p "
        "below 0.05); cannot tell: too few seeds for any outcome to count, or some that were not "
        "measured.",
        *scope_notes(table),
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


def _margins(table: pd.DataFrame) -> str:
    """Each metric's margin, fixed in the configuration."""
    known = table.dropna(subset=["margin"]).drop_duplicates("metric")
    told = [f"{METRICS[row['metric']].heading} {row['margin']:g}" for _, row in known.iterrows()]
    return ", ".join(told) or "none is set"


def scope_notes(table: pd.DataFrame) -> list[str]:
    """Which verdicts are only about the measured patients; a family of another table than that of
    differences is given by its title."""
    told = table[table["verdict"] != "cannot tell"]
    some = told[told["scope"] == THESE_PATIENTS]
    if some.empty:
        return []
    families = [FAMILIES.get(family, family) for family in dict.fromkeys(some["family"])]
    which = f" ({'; '.join(families)})" if len(some) < len(told) else ""
    return [
        f"These patients: there are too few ({counted(some['patients'], 'patient')}) for a "
        "statement about others; tested over seeds alone, the verdicts hold for repeated training "
        f"and measuring the same patients{which}.",
    ]
