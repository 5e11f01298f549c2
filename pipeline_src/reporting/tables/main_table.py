"""Builds the tables with one row per model: tidy, and as the paper prints them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial

import pandas as pd

from pipeline_src.errors import InputError
from pipeline_src.evaluation.metrics import MAIN, METRICS
from pipeline_src.evaluation.metrics_files import KEYS
from pipeline_src.reporting.display_names import (
    COLUMN_OF_TRAINING,
    MAIN_HEADING,
    MISSING,
    PAPER_RECIPES,
    RECIPE_TITLES,
    counted,
    model_order,
    model_title,
    pair_text,
    value_text,
)
from pipeline_src.reporting.tables.labels import Labels, of_setting

Cell = Callable[[pd.Series], str]


def main_table(volumes: pd.DataFrame, labels: Labels) -> pd.DataFrame:
    """One row per cell of the paper's table, in its order; see `aggregate`.

    Raises:
        InputError: the metrics belong to another study, only to variants, or to an unknown
            training.
    """
    own = volumes[volumes["variant"] == ""]
    if own.empty:
        raise InputError("metrics are only of variants; give those of the study's own models too")
    if unknown := sorted(set(own["training"]) - set(COLUMN_OF_TRAINING)):
        raise InputError(
            f"metrics are of an unknown training {unknown[0]!r}; there are "
            f"{', '.join(COLUMN_OF_TRAINING)}"
        )
    table = aggregate(own, labels).drop(columns="variant")
    orders = {
        "dataset": list(labels.datasets),
        "acceleration": list(labels.accelerations),
        "model": model_order(list(table["model"].unique())),
        "training": list(COLUMN_OF_TRAINING),
    }
    return table.sort_values(
        KEYS, key=lambda column: column.map(orders[str(column.name)].index), ignore_index=True
    )


def aggregate(volumes: pd.DataFrame, labels: Labels) -> pd.DataFrame:
    """One row for each data set, acceleration, model, training and variant.

    Each metric is the mean over volumes, then over seeds; `*_sd` is the standard deviation over
    seeds (empty for one seed). `part` says which patients are reported, `synthetic` whether the
    images are drawn.

    Raises:
        InputError: the metrics belong to another study, or to two parts of a data set.
    """
    known = {"dataset": list(labels.datasets), "acceleration": list(labels.accelerations)}
    for column, values in known.items():
        for value in volumes[column].unique():
            if value not in values:
                raise InputError(
                    f"metrics are of {column} {value!r}, which the study does not have "
                    f"({', '.join(values)})"
                )
    for dataset, own in volumes.groupby("dataset", sort=False):
        if len(parts := sorted(own["part"].unique())) > 1:
            raise InputError(
                f"metrics of {labels.title(str(dataset))} are of {' and '.join(parts)} patients; "
                "give those of one part"
            )
    keys = [*KEYS, "variant"]
    if "sampled" not in volumes:
        volumes = volumes.assign(sampled=float("nan"))
    groups = volumes.groupby([*keys, "part", "seed"], dropna=False, sort=False)
    a_seed = groups[list(METRICS)].mean()
    counts = groups.agg(
        volumes=("patient", "size"), patients=("patient", "nunique"), sampled=("sampled", "max")
    )
    cells = a_seed.join(counts).reset_index()
    rows = []
    own_split = own_splits(volumes)
    for (*identity, part), cell in cells.groupby([*keys, "part"], dropna=False, sort=False):
        row: dict[str, object] = dict(zip(KEYS, identity[:-1], strict=True))
        row |= {metric: cell[metric].mean() for metric in METRICS}
        row |= {f"{metric}_sd": cell[metric].std(ddof=1) for metric in METRICS}
        row |= {
            "seeds": int(cell["seed"].nunique()),
            "volumes": int(cell["volumes"].iloc[0]),
            "patients": int(cell["patients"].iloc[0]),
            "part": part,
            "synthetic": labels.datasets[str(identity[0])].synthetic,
            "variant": identity[-1],
            "sampled": cell["sampled"].max(),
        }
        if own_split:
            row |= _of_all_seeds(volumes, dict(zip(keys, identity, strict=True)), cell)
        rows.append(row)
    return pd.DataFrame(rows)


def own_splits(volumes: pd.DataFrame) -> bool:
    """Whether each seed has its own split, and therefore its own patients."""
    return "repeated" in volumes and bool(volumes["repeated"].str.contains("split").any())


def _of_all_seeds(
    volumes: pd.DataFrame, identity: dict[str, object], cell: pd.DataFrame
) -> dict[str, object]:
    """Number of volumes and patients of all seeds together, each counted once, and of patients per
    seed.
    """
    own = volumes[(volumes[list(identity)] == pd.Series(identity)).all(axis=1)]
    return {
        "volumes": len(own[["patient", "frame"]].drop_duplicates()),
        "patients": int(own["patient"].nunique()),
        "patients_per_seed": "-".join(
            dict.fromkeys(f"{end:d}" for end in (cell["patients"].min(), cell["patients"].max()))
        ),
    }


def paper_layout(
    table: pd.DataFrame, labels: Labels, cell: Cell | None = None, corner: str = ""
) -> pd.DataFrame:
    """A table as the paper prints it: one row per model, Std-KD beside SFT-KD-Recon, followed by
    the recipes that the paper does not have, if there are any.

    ``cell`` returns a cell's text; by default `PSNR / SSIM`, with the spread over seeds.
    """
    there = {COLUMN_OF_TRAINING[training] for training in table["training"]}
    recipes = [r for r in RECIPE_TITLES if r in there or r in PAPER_RECIPES]
    columns: dict[tuple[str, str], dict[str, str]] = {}
    for dataset, acceleration in labels.settings():
        for recipe in recipes:
            heading = (labels.title(dataset, acceleration), RECIPE_TITLES[recipe])
            columns[heading] = {}
            for _, row in of_setting(table, dataset, acceleration).iterrows():
                if COLUMN_OF_TRAINING[row["training"]] == recipe:
                    columns[heading][model_title(row["model"])] = (cell or cell_text)(row)
    # Of type object, since a column without any model would otherwise be numeric.
    frame = pd.DataFrame(columns, dtype=object)
    titles = [model_title(m) for m in model_order(list(table["model"].unique()))]
    frame = frame.reindex(titles).dropna(how="all").fillna(MISSING)
    frame.columns.names = [None, corner or MAIN_HEADING]
    return frame


def cell_text(row: pd.Series) -> str:
    """`PSNR / SSIM`, with the spread over seeds if there are several."""
    return f"{metric_text(row, 'psnr_db')} / {metric_text(row, 'ssim')}"


def metric_text(row: pd.Series, metric: str) -> str:
    """A metric with its spread over seeds if there are several."""
    if pd.isna(row[metric]):
        return MISSING
    deviation = row[f"{metric}_sd"]
    known = row["seeds"] > 1 and pd.notna(deviation)
    spread = f" ± {value_text(deviation, metric)}" if known else ""
    return f"{value_text(row[metric], metric)}{spread}"


def metric_layout(table: pd.DataFrame, labels: Labels, metric: str) -> pd.DataFrame:
    """One metric of every model, in the paper's layout."""
    return paper_layout(table, labels, partial(metric_text, metric=metric), METRICS[metric].heading)


def metric_notes(metric: str) -> list[str]:
    """How to read a metric."""
    better = "Higher" if METRICS[metric].higher_is_better else "Lower"
    return [f"{METRICS[metric].heading}: {better.lower()} is better."]


def gap_table(table: pd.DataFrame) -> pd.DataFrame:
    """How far each trained model is below the standard teacher of its setting.

    Columns `gap_psnr_db` and `gap_ssim` are the teacher's mean minus the model's, so that a
    negative gap means that the model is above the teacher.
    """
    setting = ["dataset", "acceleration"]
    of_teacher = table[(table["model"] == "teacher") & (table["training"] == "standard")]
    gaps = table[table["training"] != "none"].merge(
        of_teacher[[*setting, *MAIN]], on=setting, suffixes=("", "_teacher")
    )
    for metric in MAIN:
        gaps[f"gap_{metric}"] = gaps[f"{metric}_teacher"] - gaps[metric]
    return gaps[[*KEYS, *(f"gap_{metric}" for metric in MAIN)]]


def gap_layout(gaps: pd.DataFrame, labels: Labels) -> pd.DataFrame:
    """Gaps in the paper's layout; the teacher itself, whose gap is zero, is left out."""
    shown = gaps[(gaps["model"] != "teacher") | (gaps["training"] != "standard")]

    def cell(row: pd.Series) -> str:
        return pair_text(row["gap_psnr_db"], row["gap_ssim"], "+")

    return paper_layout(shown, labels, cell, "gap in PSNR (dB) / SSIM")


def table_notes(table: pd.DataFrame, labels: Labels) -> list[str]:
    """What a reader must know about the table: which images, which patients, how many seeds."""
    kinds = {
        True: "synthetic (drawn phantoms)",
        False: "images from files",
        None: "kind of images not stated",
    }
    notes = []
    for dataset, setting, row in _counted_alike(table):
        chosen, also = f"{row['part']} patient", ""
        if row["part"] == "validation":
            also = ", on which the weights were chosen too (the paper's choice)"
        per_seed = row.get("patients_per_seed")
        if isinstance(per_seed, str):
            also += f", {per_seed.replace('-', ' to ')} with each seed, which has its own split"
        notes.append(
            f"{labels.title(dataset, *setting)}: {kinds[labels.datasets[dataset].synthetic]}; "
            f"mean over {counted([row['volumes']], 'volume')} of "
            f"{counted([row['patients']], chosen)}{also}."
        )
    if labels.options:
        notes.append(f"Method: {labels.options}.")
    return [*notes, *_sampling_notes(table, labels), *_seed_notes(table)]


def _counted_alike(table: pd.DataFrame) -> Iterator[tuple[str, list[str], pd.Series]]:
    """A row per data set, or per setting with its acceleration where their numbers differ."""
    counts = ["part", "volumes", "patients"]
    for dataset, rows in table.groupby("dataset", sort=False):
        firsts = [cells.iloc[0] for _, cells in rows.groupby("acceleration", sort=False)]
        alike = len({tuple(row[counts]) for row in firsts}) == 1
        for row in firsts[:1] if alike else firsts:
            yield str(dataset), [] if alike else [str(row["acceleration"])], row


def _sampling_notes(table: pd.DataFrame, labels: Labels) -> list[str]:
    """The exact fraction of k-space that the masks sample, which the acceleration gives
    approximately.
    """
    known = table.dropna(subset=["sampled"]).drop_duplicates(["dataset", "acceleration"])
    told = [
        f"{labels.title(row['dataset'], row['acceleration'])}: {100 * row['sampled']:.1f} %"
        for _, row in known.iterrows()
    ]
    return [f"{'; '.join(told)} of k-space sampled."] if told else []


def _seed_notes(table: pd.DataFrame) -> list[str]:
    """How many trainings a cell is the mean of; empty if there is no trained model."""
    trained = table[table["training"] != "none"]
    known = trained.loc[trained["seeds"] > 0, "seeds"]
    notes = []
    if len(known):
        spread = "; ± is the standard deviation over seeds" if known.max() > 1 else ""
        notes.append(f"{counted(known, 'seed')} per model{spread}.")
    if len(known) < len(trained):
        notes.append(
            f"The seed of {len(trained) - len(known)} of {len(trained)} models is unknown."
        )
    return notes
