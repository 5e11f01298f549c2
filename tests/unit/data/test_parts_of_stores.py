"""Slices of a part that lie between those of others, and volumes of one patient."""

from __future__ import annotations

import numpy as np
import pandas as pd

from pipeline_src.data.store import Store

#: Part, patient and volume of each slice, whose pixels are its number.
SLICES = [
    ("train", "a", 0),
    ("test", "b", 1),
    ("train", "a", 2),
    ("train", "a", 2),
    ("test", "c", 3),
    ("train", "a", 0),
]


def mixed() -> Store:
    """A store whose parts are not in blocks."""
    images = np.arange(len(SLICES), dtype=np.float32)[:, None, None] * np.ones((3, 2), np.float32)
    rows, none = pd.DataFrame(SLICES, columns=["part", "patient", "volume"]), pd.DataFrame()
    patients = {"train": 1, "test": 2}
    return Store(images, rows, none, none, patients, {}, "")


def test_slices_of_a_part_are_its_own_wherever_they_lie() -> None:
    for part, numbers in (("train", [0, 2, 3, 5]), ("test", [1, 4]), ("validation", [])):
        images, rows = mixed().part(part)
        assert images[:, 0, 0].tolist() == numbers
        assert rows["volume"].tolist() == [SLICES[number][2] for number in numbers]


def test_two_volumes_of_a_patient_have_each_its_own_maximum() -> None:
    assert mixed().volume_maxima("train").tolist() == [5, 3, 3, 5]
