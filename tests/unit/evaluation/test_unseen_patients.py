"""Patients that had a part in a training are not measured as if they had none."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from training_helpers import prepared_data

from pipeline_src.data.store import read_store, write_store
from pipeline_src.errors import InputError
from pipeline_src.evaluation.unseen import refuse_patients_of_training

TRAINED, CHOSEN = "was trained on 2 of the", "had its weights chosen on 1 of the"


def store_at(path: Path, parts: dict[str, str], brighter: float = 0.0, **source: Any) -> Path:
    """The tiny volumes, of these parts instead of their own."""
    prepared = prepared_data()
    prepared.images[0] = prepared.images[0] + brighter
    for row in (*prepared.slices, *prepared.volumes):
        row["part"] = parts.get(row["part"], row["part"])
    write_store(path, prepared, {"dataset": "tiny", "source": source})
    return path


def told(measured: Path, part: str, **made: Any) -> str:
    """What is said of a model that was trained on `trained.h5` beside the measured store."""
    folder = measured.parent
    digest = read_store(folder / "trained.h5").digest
    values = {"data_digest": digest, "inputs": {"store": SimpleNamespace(path="trained.h5")}}
    of_model = SimpleNamespace(**values | made)
    weights = made.get("weights", folder / "weights")
    subject: Any = SimpleNamespace(folder=folder, weights=weights, made=of_model)
    return refuse_patients_of_training(subject, read_store(measured), measured, part)


@pytest.mark.parametrize(
    ("parts", "part", "said"),
    [
        ({}, "train", TRAINED),
        ({"train": "validation", "validation": "train"}, "validation", TRAINED),
        ({"train": "test"}, "test", TRAINED),
        ({"train": "validation", "validation": "train"}, "train", CHOSEN),
        ({"validation": "test"}, "test", CHOSEN),
        # They chose weights in both.
        ({}, "validation", None),
        ({"train": "test"}, "validation", None),
    ],
)
def test_patients_of_another_store_are_refused_for_the_part_that_they_had(
    parts: dict[str, str], part: str, said: str | None, tmp_path: Path
) -> None:
    store_at(tmp_path / "trained.h5", {})
    measured = store_at(tmp_path / "measured.h5", parts, brighter=0.125)
    if said is None:
        assert told(measured, part) == ""
    else:
        with pytest.raises(InputError, match=said):
            told(measured, part)


def test_patients_of_another_source_are_others_whatever_they_are_called(tmp_path: Path) -> None:
    store_at(tmp_path / "trained.h5", {}, seed=0)
    measured = store_at(tmp_path / "measured.h5", {}, brighter=0.125, seed=1)
    assert told(measured, "train") == ""


def test_who_cannot_tell_says_so(tmp_path: Path) -> None:
    store_at(tmp_path / "trained.h5", {})
    measured = store_at(tmp_path / "measured.h5", {}, brighter=0.125)
    assert told(measured, "train", data_digest=None).startswith("nothing tells which patients")
    assert told(measured, "train", inputs={}).startswith("nothing tells which patients")
    # There is another store now where that of the training was.
    assert "is not at" in told(measured, "train", data_digest="0" * 64)
    # Its own store, and images that no weights had a part in.
    assert told(tmp_path / "trained.h5", "train") == ""
    assert told(measured, "train", weights=None) == ""
