"""A study of two data sets, and metrics of all its models as the evaluation writes them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from pipeline_src.config import Study, check_study
from pipeline_src.evaluation.results import METRICS

METHODS = ("fitnets", "at", "cc", "fsp", "sp")


def dataset(**values: Any) -> dict[str, Any]:
    return {
        "source": {"kind": "phantom", "anatomy": "brain", "patients": 6, "slices": 2, "matrix": 64},
        "preparation": {"matrix": [64, 64]},
        "split": {"train": 2, "validation": 2, "test": 2},
    } | values


def study_with(**values: Any) -> Study:
    data: dict[str, Any] = {
        "study": "tiny",
        "seeds": [0, 1],
        "accelerations": [4, 5],
        "datasets": {
            "heart": dataset(title="Heart phantom"),
            "brain": dataset(
                title="Brain MRI",
                source={"kind": "nifti", "path": "brain"},
                split={"train": 2, "validation": 2},
                report_on="validation",
            ),
        },
    }
    return check_study(data | values)


def models() -> list[tuple[str, str]]:
    """Models as a run may happen to list them: not in the paper's order."""
    listed = [("student", "standard"), ("teacher", "sft"), ("zero_filled", "none")]
    listed += [(m, r) for m in reversed(METHODS) for r in ("sft_kd", "std_kd")]
    return [*listed, ("teacher", "standard")]


PATIENTS = (("p2", ""), ("p1", "ED"), ("p1", "ES"))


def value(metric: str, *where: object) -> float:
    """A number for each cell, volume and seed that looks like the metric."""
    wobble = np.random.default_rng(abs(hash_of(*where, metric))).random()
    return 30 + 5 * wobble if metric == "psnr_db" else 0.8 + 0.1 * wobble


def hash_of(*where: object) -> int:
    return int.from_bytes("/".join(map(str, where)).encode(), "big") % (2**31)


def volume_rows(seeds: tuple[int, ...] = (0, 1)) -> pd.DataFrame:
    rows = []
    for name, part in (("brain", "validation"), ("heart", "test")):
        for acceleration in ("5x", "4x"):
            for model, training in models():
                for seed in seeds if training != "none" else [None]:
                    for patient, frame in PATIENTS:
                        where = (name, acceleration, model, training, seed, patient, frame)
                        rows.append(
                            {
                                "dataset": name,
                                "acceleration": acceleration,
                                "seed": seed,
                                "model": model,
                                "training": training,
                                "variant": "",
                                "part": part,
                                "patient": patient,
                                "frame": frame,
                                "slices": 2,
                            }
                            | {metric: value(metric, *where) for metric in METRICS}
                        )
    return pd.DataFrame(rows)


VOLUMES = volume_rows()


def row_of(table: pd.DataFrame, *cell: str) -> pd.Series:
    keys = ["dataset", "acceleration", "model", "training"]
    found = table[(table[keys] == list(cell)).all(axis=1)]
    assert len(found) == 1
    return found.iloc[0]
