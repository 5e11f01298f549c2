"""Writes notes about missing metrics below the tables."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import pandas as pd

from pipeline_src.evaluation.metrics import METRICS
from pipeline_src.evaluation.metrics_files import KEYS
from pipeline_src.reporting.display_names import PAPER_RECIPES, full_title
from pipeline_src.reporting.tables.labels import Labels
from pipeline_src.reporting.tables.main_table import own_splits

MODEL = ["model", "training", "variant"]
#: How many examples a note names.
EXAMPLES = 3


def note_of(what: str, names: Sequence[str]) -> list[str]:
    """A note with the number of missing items and the first few; none if nothing is missing."""
    if not names:
        return []
    more = "; ..." if len(names) > EXAMPLES else ""
    return [f"{what}: {len(names)} ({'; '.join(names[:EXAMPLES])}{more})."]


def measured_notes(volumes: pd.DataFrame, labels: Labels) -> list[str]:
    """Volumes and seeds with which a model was not measured although others of the same setting
    were.
    """
    names = []
    for (dataset, acceleration, _), here in volumes.groupby(
        ["dataset", "acceleration", "part"], dropna=False, sort=False
    ):
        setting = labels.title(str(dataset), str(acceleration))
        names += [f"{setting} {name}" for name in _not_measured(here)]
    return note_of("Not measured, and so not in the means", names)


def _not_measured(setting: pd.DataFrame) -> Iterator[str]:
    """What is missing, by model and seed; a seed that a model lacks altogether counts as one."""
    wanted = _scans(setting)
    # If each seed has its own split, it has its own patients.
    own_split = own_splits(setting)
    seeds = list(setting.loc[setting["training"] != "none", "seed"].dropna().unique())
    for (model, training, variant), own in setting.groupby(MODEL, dropna=False, sort=False):
        name = " ".join(filter(None, (full_title(str(model), str(training)), str(variant))))
        have = own["seed"].dropna().unique()
        # The plain case, as each volume stands there once.
        if not own_split and len(own) == len(wanted) * (len(seeds) if len(have) else 1):
            continue
        for seed in seeds if len(have) else [None]:
            of_seed = own if seed is None else own[own["seed"] == seed]
            named = name if seed is None else f"{name}, seed {seed:.0f}"
            if of_seed.empty:
                yield named
                continue
            there = set(_scans(of_seed))
            for volume in _scans(setting[setting["seed"] == seed]) if own_split else wanted:
                if volume not in there:
                    yield f"{named}, {_volume(*volume)}"


def _scans(rows: pd.DataFrame) -> list[tuple[str, str]]:
    volumes = zip(rows["patient"].tolist(), rows["frame"].tolist(), strict=True)
    return list(dict.fromkeys(volumes))


def value_notes(volumes: pd.DataFrame, labels: Labels, metrics: Sequence[str]) -> list[str]:
    """Volumes without a value of a metric that their model has for others; if no volume has a
    value, the table shows a dash. Also those that are reconstructed without error, whose PSNR is
    infinite.
    """
    notes = []

    def names(rows: pd.DataFrame) -> list[str]:
        return [
            f"{labels.title(row['dataset'], row['acceleration'])} "
            f"{full_title(row['model'], row['training'])}, {_volume(row['patient'], row['frame'])}"
            for _, row in rows.iterrows()
        ]

    for metric in metrics:
        gaps = volumes[metric].isna()
        of_model = gaps.groupby([volumes[k] for k in (*KEYS, "variant")], dropna=False)
        all_gaps = of_model.transform("all")
        heading, some = METRICS[metric].heading, volumes[gaps & ~all_gaps]
        notes += note_of(f"Without {heading}, and so not in its means", names(some))
        exact = volumes[volumes[metric] == math.inf]
        notes += note_of(f"With slices without error, and so with infinite {heading}", names(exact))
    return notes


def unmeasured_notes(volumes: pd.DataFrame, labels: Labels, metrics: Sequence[str]) -> list[str]:
    """Settings in which no volume has a value of a metric, and models without any in a setting in
    which others have some; the table shows a dash.
    """
    notes = []
    for metric in metrics:
        settings, models = [], []
        for (dataset, acceleration), here in volumes.groupby(
            ["dataset", "acceleration"], sort=False
        ):
            setting, found = labels.title(str(dataset), str(acceleration)), here[metric].notna()
            if not found.any():
                settings.append(setting)
                continue
            have = found.groupby([here["model"], here["training"]], sort=False).any()
            models += [f"{setting} {full_title(*model)}" for model in have.index[~have]]
        without = f"Without {METRICS[metric].heading}, which"
        notes += note_of(
            f"{without} was not measured (evaluate again) or cannot be on these images", settings
        )
        notes += note_of(f"{without} was measured for others alone (evaluate again)", models)
    return notes


def _volume(patient: str, frame: str) -> str:
    return f"patient {patient}, frame {frame}" if frame else f"patient {patient}"


def gap_notes(table: pd.DataFrame, labels: Labels) -> list[str]:
    """Settings of the main table without the teacher that gaps are measured from."""
    teachers = table[(table["model"] == "teacher") & (table["training"] == "standard")]
    have = set(zip(teachers["dataset"], teachers["acceleration"], strict=True))
    settings = dict.fromkeys(zip(table["dataset"], table["acceleration"], strict=True))
    names = [labels.title(*setting) for setting in settings if setting not in have]
    return note_of("No gap, since the standard teacher is missing", names)


def claim_gap_notes(table: pd.DataFrame, labels: Labels) -> list[str]:
    """Methods of the main table with only one recipe, in settings where others have both."""
    names = []
    distilled = table[table["training"].isin(PAPER_RECIPES)]
    for (dataset, acceleration), cells in distilled.groupby(
        ["dataset", "acceleration"], dropna=False, sort=False
    ):
        counts = cells["model"].value_counts(sort=False)
        if counts.max() > 1:
            single = cells[cells["model"].map(counts) == 1]
            setting = labels.title(str(dataset), str(acceleration))
            names += [
                f"{setting} {full_title(model, training)}"
                for model, training in zip(single["model"], single["training"], strict=True)
            ]
    return note_of(
        "Without the other recipe, and so neither in claims about methods nor in the mean of "
        "SFT-KD-Recon against Std-KD",
        names,
    )


def comparison_notes(table: pd.DataFrame, labels: Labels) -> list[str]:
    """Comparisons of the table of differences that exist in one setting but not in another."""
    kinds = ["first_title", "second_title"]
    keys = ["dataset", "acceleration", *kinds]
    have = set(table[keys].itertuples(index=False, name=None))
    settings = table[keys[:2]].drop_duplicates().itertuples(index=False, name=None)
    asked = list(table[kinds].drop_duplicates().itertuples(index=False, name=None))
    names = [
        f"{labels.title(*setting)} {first} minus {second}"
        for setting in settings
        for first, second in asked
        if (*setting, first, second) not in have
    ]
    return note_of("Compared only in other settings, since a model is missing", names)
