"""Which patients are for training, validation and test."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from preparation_helpers import references, split_of

from pipeline_src.config.datasets import Dataset
from pipeline_src.data.preparation import (
    prepare,
)
from pipeline_src.data.splits import PARTS
from pipeline_src.data.volume_reference import VolumeReference
from pipeline_src.errors import InputError

PATIENTS = [f"patient{n:03d}" for n in range(1, 13)]


@settings(max_examples=60, deadline=None, database=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    train=st.integers(1, 6),
    validation=st.integers(1, 3),
    test=st.integers(0, 3),
    order=st.permutations(references(PATIENTS, frames=("ED", "ES"))),
)
def test_drawn_split_has_the_numbers_asked_for_whatever_the_order_of_volumes(
    seed: int, train: int, validation: int, test: int, order: list[VolumeReference]
) -> None:
    choice = {"train": train, "validation": validation, "test": test, "seed": seed}
    parts = split_of(order, **choice)
    counts = {part: list(parts.values()).count(part) for part in PARTS}
    assert counts == {"train": train, "validation": validation, "test": test}
    assert set(parts) <= set(PATIENTS)
    assert parts == split_of(references(PATIENTS, frames=("ED", "ES")), **choice)


@pytest.mark.parametrize("seed", range(6))
def test_frames_of_a_patient_are_never_in_different_parts(seed: int, tmp_path: Path) -> None:
    dataset = Dataset.model_validate(
        {
            "source": {
                "kind": "phantom",
                "anatomy": "cardiac",
                "patients": 6,
                "slices": 1,
                "matrix": 16,
            },
            "preparation": {"matrix": [16, 16]},
            "split": {"train": 3, "validation": 1, "test": 2, "seed": seed},
        }
    )
    prepared = prepare(dataset, tmp_path)
    for patient in {v["patient"] for v in prepared.volumes}:
        rows = [v for v in prepared.volumes if v["patient"] == patient]
        assert sorted(str(r["frame"]) for r in rows) == ["ED", "ES"]
        assert len({r["part"] for r in rows}) == 1
    assert len(prepared.volumes) == 12


def test_seed_decides_the_split() -> None:
    volumes = references(PATIENTS)
    splits = [split_of(volumes, train=6, validation=3, test=3, seed=s) for s in (0, 0, 1, 2, 3)]
    assert splits[0] == splits[1]
    assert any(other != splits[0] for other in splits[2:])


def test_lists_patterns_and_partitions_choose_patients() -> None:
    volumes = references(["p1", "p2", "p3"], "training") + references(["q1", "q2"], "testing")
    parts = split_of(volumes, train=["training/*"], validation=["q1"], test=["q2"])
    assert parts == {
        "p1": "train",
        "p2": "train",
        "p3": "train",
        "q1": "validation",
        "q2": "test",
    }
    assert split_of(volumes, train=["p[12]"], validation=["p3"]) == {
        "p1": "train",
        "p2": "train",
        "p3": "validation",
    }


def test_patients_that_a_list_names_are_not_drawn() -> None:
    volumes = references(PATIENTS[:10], "training") + references(PATIENTS[10:], "testing")
    for seed in range(10):
        parts = split_of(volumes, train=7, validation=3, test=["testing/*"], seed=seed)
        assert {p for p, part in parts.items() if part == "test"} == set(PATIENTS[10:])
        assert len(parts) == 12


def test_upper_and_lower_case_are_different_patients() -> None:
    with pytest.raises(InputError, match=r"split\.train: 'P1' matches no patient"):
        split_of(references(["p1", "p2"]), train=["P1"], validation=["p2"])


def test_entry_that_matches_no_patient_is_named_with_some_that_exist() -> None:
    with pytest.raises(InputError) as caught:
        split_of(references(PATIENTS), train=["patient001", "patent002"], validation=1)
    assert "split.train: 'patent002' matches no patient" in str(caught.value)
    assert "patient001" in str(caught.value)
    assert "12 in all" in str(caught.value)


def test_patterns_that_share_a_patient_are_refused() -> None:
    with pytest.raises(InputError) as caught:
        split_of(references(PATIENTS), train=["patient00?"], validation=["patient*1"])
    assert "'patient*1' takes patient 'patient001', which is already in train" in str(caught.value)


@pytest.mark.parametrize(
    ("choice", "said"),
    [
        ({"train": 8, "validation": 3, "test": 2}, "8 train + 3 validation + 2 test"),
        ({"train": 12, "validation": ["patient001"]}, "12 train"),
    ],
)
def test_more_patients_than_are_free_are_refused(choice: dict[str, Any], said: str) -> None:
    with pytest.raises(InputError, match=r"patients asked for, but only 1[12] are free") as caught:
        split_of(references(PATIENTS), **choice)
    assert f"split: {said} patients" in str(caught.value)
