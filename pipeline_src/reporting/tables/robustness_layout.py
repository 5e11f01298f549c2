"""How the table of robustness is shown and read."""

from __future__ import annotations

import pandas as pd

from pipeline_src.config.shifts import KINDS
from pipeline_src.evaluation.metrics import MAIN, METRICS
from pipeline_src.reporting.display_names import MISSING, effect_texts, value_text
from pipeline_src.reporting.tables.differences import (
    INTERVALS,
    OWN_SPLITS,
    scope_notes,
    verdict_text,
)
from pipeline_src.reporting.tables.labels import Labels

CELLS = ("mean", "loss", "95 % interval", "verdict")
#: What a measurement under a shift is told from.
UNSHIFTED = "unshifted"


def robustness_layout(table: pd.DataFrame, labels: Labels) -> pd.DataFrame:
    """One row per setting, shift and model, or pair of models; the answers of a setting first."""
    several = len(table[["dataset", "acceleration"]].drop_duplicates()) > 1
    rows: dict[str, dict[tuple[str, str], str]] = {}
    for _, row in table.iterrows():
        setting = f"{labels.title(row['dataset'], row['acceleration'])}: " if several else ""
        name = f"{setting}{row['shift_title']}: {row['title']}"
        metric = str(row["metric"])
        texts = effect_texts(row[["loss", "low", "high"]], metric, str(row["verdict"]))
        rows.setdefault(name, {}).update(
            {
                (METRICS[metric].heading, cell): text
                for cell, text in zip(
                    CELLS,
                    (
                        MISSING if pd.isna(row["value"]) else value_text(row["value"], metric),
                        texts[0] if texts else MISSING,
                        " to ".join(texts[1:]) or MISSING,
                        MISSING if row["against"] == UNSHIFTED else verdict_text(row),
                    ),
                    strict=True,
                )
            }
        )
    columns = pd.MultiIndex.from_product(
        [[METRICS[metric].heading for metric in MAIN], CELLS], names=[None, "shift"]
    )
    return pd.DataFrame(list(rows.values()), index=list(rows), columns=columns)


def robustness_notes(table: pd.DataFrame) -> list[str]:
    """How the table is read."""
    lacking = sorted(set(table.loc[table["against"] == UNSHIFTED, "reason"]) - {""})
    untold = table[table["verdict"] == "cannot tell"]
    # A loss has no verdict.
    tested = table[table["against"] != UNSHIFTED]
    families = tested["kind"].map(KINDS).fillna(tested["shift_title"])
    return [
        "Nothing was trained for this table. Loss: the mean without the shift minus that with it, "
        "paired by patient; negative where the shift makes it easier. Of other images, the loss is "
        "against the same model that was trained on them.",
        "Zero filling tells what the shift itself does to the images; what a network loses beyond "
        "that, or less, is its own.",
        "SFT-KD minus Std-KD: the loss of one student minus that of the other; negative where "
        "student-friendly training makes a student lose less (more robust). "
        f"{INTERVALS[OWN_SPLITS in set(table['scope'])]} Holm-corrected over the shifts of a "
        "setting, and the mean of all shifts for itself.",
        *scope_notes(tested.assign(family=families)),
        *(f"No loss: {reason}." for reason in lacking),
        *(f"Cannot tell: {reason}." for reason in sorted(set(untold["reason"]))[:3]),
    ]
