"""Measurements of two models, paired by seed, patient and frame."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pandas as pd
import pytest

from pipeline_src.errors import InputError
from pipeline_src.evaluation import pairing
from pipeline_src.evaluation.pairing import Measured

VOLUMES = (("p1", "ED"), ("p1", "ES"), ("p2", "ED"), ("p2", "ES"))


def rows(values: dict[tuple[int, str, str], float], **others: Any) -> pd.DataFrame:
    """Rows of a model of the values of each seed, patient and frame."""
    fixed = {
        "dataset": "heart",
        "acceleration": "4x",
        "model": "at",
        "training": "sft_kd",
        "variant": "",
        "part": "test",
    }
    return pd.DataFrame(
        [
            fixed | {"seed": s, "patient": p, "frame": f, "psnr_db": value} | others
            for (s, p, f), value in values.items()
        ]
    )


def numbered(start: float, step: float, seeds: tuple[int, ...] = (0, 1)) -> dict[Any, float]:
    keys = [(s, p, f) for s in seeds for p, f in VOLUMES]
    return {key: start + step * k for k, key in enumerate(keys)}


FIRST = rows(numbered(30, 2))  # 30, 32, ..., 44
SECOND = rows(numbered(29, 1), training="std_kd")  # 29, 30, ..., 36


def paired_differences(first: pd.DataFrame, second: pd.DataFrame, metric: str) -> pd.DataFrame:
    return pairing.paired_differences(Measured(first), Measured(second), metric)


def test_differences_are_the_mean_over_a_patients_volumes() -> None:
    # First minus second is 1, 2, 3, 4 with seed 0 and 5, 6, 7, 8 with seed 1.
    matrix = paired_differences(FIRST, SECOND, "psnr_db")
    expected = pd.DataFrame(
        [[1.5, 3.5], [5.5, 7.5]],
        index=pd.Index([0, 1], name="seed"),
        columns=pd.Index(["p1", "p2"], name="patient"),
    )
    pd.testing.assert_frame_equal(matrix, expected, check_column_type=False, check_dtype=False)


def test_volumes_are_paired_whatever_the_order_of_the_rows() -> None:
    shuffled = SECOND.sample(frac=1, random_state=0)
    assert not shuffled.index.equals(SECOND.index)
    pd.testing.assert_frame_equal(
        paired_differences(FIRST, shuffled, "psnr_db"),
        paired_differences(FIRST, SECOND, "psnr_db"),
    )


def test_a_patient_counts_once_however_many_volumes_there_are() -> None:
    one = {(0, "p1", "ED"): 1.0, (0, "p1", "ES"): 3.0, (0, "p2", ""): 8.0}
    other = dict.fromkeys(one, 0.0)
    matrix = paired_differences(rows(one), rows(other), "psnr_db")
    assert matrix.to_numpy().tolist() == [[2, 8]]
    assert matrix.to_numpy().mean() == 5


@pytest.mark.parametrize("empty", ["", None, math.nan])
def test_frames_may_be_empty(empty: Any) -> None:
    values = {(0, "p1", ""): 2.0, (0, "p2", ""): 5.0}
    one, other = rows(values), rows(dict.fromkeys(values, 1.0))
    one["frame"] = empty
    assert paired_differences(one, other, "psnr_db").to_numpy().tolist() == [[1, 4]]
    other["frame"] = empty
    assert paired_differences(one, other, "psnr_db").to_numpy().tolist() == [[1, 4]]


def without(table: pd.DataFrame, **where: Any) -> pd.DataFrame:
    drop = np.logical_and.reduce([table[column] == value for column, value in where.items()])
    assert drop.any()
    return table[~drop]


@pytest.mark.parametrize(
    ("first", "second", "message"),
    [
        (
            without(FIRST, patient="p2"),
            SECOND,
            "at sft_kd: not measured, but at std_kd is: seed 0, patient p2, frame ED and 3 more",
        ),
        (
            FIRST,
            without(SECOND, seed=1, patient="p2", frame="ES"),
            "at std_kd: not measured, but at sft_kd is: seed 1, patient p2, frame ES",
        ),
        (
            FIRST,
            without(SECOND, seed=1),
            "at std_kd: not measured, but at sft_kd is: seed 1, patient p1, frame ED and 3 more",
        ),
        (
            without(FIRST, seed=0, frame="ES"),
            without(SECOND, seed=0, frame="ES"),
            "at sft_kd: not measured, but with another seed: "
            "seed 0, patient p1, frame ES and 1 more",
        ),
        (
            pd.concat([FIRST, FIRST.head(1)]),
            SECOND,
            "at sft_kd: measured more than once: seed 0, patient p1, frame ED",
        ),
        (
            FIRST.assign(psnr_db=[math.inf] + [30.0] * 7),
            SECOND,
            "at sft_kd: psnr_db is not a finite number: seed 0, patient p1, frame ED",
        ),
        (
            FIRST,
            SECOND.assign(frame="", patient=list("abcdefgh"), psnr_db=[1.0] * 7 + [math.nan]),
            "at std_kd: psnr_db is not a finite number: seed 1, patient h",
        ),
        (FIRST, SECOND.assign(seed=math.nan), "at std_kd: has no seed"),
        (FIRST, SECOND.drop(columns="psnr_db"), "no metric 'psnr_db'"),
        (FIRST.head(0), SECOND, "rows of one model are compared, not of none"),
        (pd.concat([FIRST, SECOND]), SECOND, "rows of one model .* of at sft_kd and at std_kd"),
        (FIRST, SECOND.assign(acceleration="5x"), "of one acceleration .* not of 4x and 5x"),
        (FIRST, SECOND.assign(dataset="brain"), "of one dataset .* not of brain and heart"),
        (FIRST, SECOND.assign(part="train"), "of one part .* not of test and train"),
    ],
)
def test_models_that_cannot_be_paired_are_refused(
    first: pd.DataFrame, second: pd.DataFrame, message: str
) -> None:
    with pytest.raises(InputError, match=f"{message}(;|$| in)"):
        paired_differences(first, second, "psnr_db")
