"""Sets that are larger than what is held in memory: their images stay in the file."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest
from training_helpers import (
    LABELS,
    TRAIN,
    Files,
    prepared_data,
    std_inputs,
    study_with,
    train,
)

from pipeline_src.data import store as stores
from pipeline_src.data.store import read_store, write_store
from pipeline_src.errors import InputError
from pipeline_src.evaluation.evaluate import Evaluator
from pipeline_src.evaluation.subject import Subject
from pipeline_src.training.engine import Stage

pytest_plugins = ["shared_fixtures"]


@pytest.fixture
def in_the_file(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stores, "MOST_HELD", 0)


def written(path: Path) -> Path:
    write_store(path, prepared_data(), {"dataset": "tiny"})
    return path


def spoil(path: Path) -> None:
    """Write over the last image, in the file that is there."""
    with h5py.File(path, "r+", locking=False) as file:
        file["images"][-1] = 0.25
    os.utime(path, ns=(0, 0))  # however coarse the clock of the disk is


@pytest.mark.usefixtures("in_the_file")
def test_images_are_those_of_the_store_and_stay_in_it(tmp_path: Path) -> None:
    store = read_store(written(tmp_path / "volumes.h5"), parts=["train"])
    assert store.mapped is not None
    assert np.array_equal(store.images, np.stack(prepared_data().images))
    assert not store.images.flags.writeable
    images, rows = store.part("train")
    assert np.shares_memory(images, store.mapped.values)
    assert len(images) == len(rows) == TRAIN
    assert len(store.part("validation")[0]) == 3


def test_a_small_set_is_held_in_memory(files: Files) -> None:
    store = read_store(files.store)
    assert store.mapped is None
    store.require_unchanged()


@pytest.mark.usefixtures("in_the_file")
def test_what_does_not_lie_in_one_piece_is_held(tmp_path: Path) -> None:
    path = written(tmp_path / "volumes.h5")
    with h5py.File(path, "r+") as file:
        images = file["images"][()]
        del file["images"]
        file.create_dataset("images", data=images, chunks=(1, *images.shape[1:]))
    store = read_store(path, parts=["validation"])
    assert store.mapped is None
    assert np.array_equal(store.images, images[TRAIN:])


@pytest.mark.parametrize("model", ["teacher", "sft_teacher", "std_kd_at"])
def test_training_gives_the_same_weights(
    model: str,
    files: Files,
    runs: dict[str, Path],
    tmp_path: Path,
    request: pytest.FixtureRequest,
) -> None:
    """Also where the teacher's answers are not kept either."""
    inputs = std_inputs(files, runs) if model == "std_kd_at" else files.inputs()
    held = train(study_with(), model, inputs, tmp_path / "held")
    request.getfixturevalue("in_the_file")
    little = study_with(distillation={"teacher_cache_mib": 0})
    mapped = train(little, model, inputs, tmp_path / "mapped")
    name = "weights.safetensors"
    assert (mapped / name).read_bytes() == (held / name).read_bytes()


def test_evaluation_gives_the_same_metrics(
    files: Files,
    runs: dict[str, Path],
    tmp_path: Path,
    request: pytest.FixtureRequest,
) -> None:
    def evaluated(output: Path) -> dict[str, bytes]:
        evaluator = Evaluator(files.store, files.mask, "validation", LABELS)
        made = evaluator.evaluate(Subject.of_folder(runs["student"]), output)
        return {path.name: path.read_bytes() for path in made}

    held = evaluated(tmp_path / "held")
    request.getfixturevalue("in_the_file")
    assert evaluated(tmp_path / "mapped") == held


@pytest.mark.usefixtures("in_the_file")
def test_a_store_that_is_replaced_meanwhile_changes_nothing(tmp_path: Path) -> None:
    path = written(tmp_path / "volumes.h5")
    store = read_store(path)
    before = store.images.copy()
    other = prepared_data()
    other.images[:] = [1 - image for image in other.images]
    write_store(path, other, {"dataset": "tiny"})
    store.require_unchanged()
    assert np.array_equal(store.images, before)


@pytest.mark.usefixtures("in_the_file")
def test_training_on_a_store_that_is_written_to_stops(
    files: Files, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = written(tmp_path / "volumes.h5")
    train_epoch: Callable[..., float] = Stage._train_epoch

    def spoiling(self: Stage, *options: object) -> float:
        loss = train_epoch(self, *options)
        spoil(path)
        return loss

    monkeypatch.setattr(Stage, "_train_epoch", spoiling)
    with pytest.raises(InputError, match=r"volumes\.h5: was written to while it was used"):
        train(study_with(), "student", Files(path, files.mask).inputs(), tmp_path / "out")
    assert not (tmp_path / "out" / "weights.safetensors").exists()


@pytest.mark.usefixtures("in_the_file")
def test_metrics_of_a_store_that_is_written_to_are_not_kept(
    files: Files, runs: dict[str, Path], tmp_path: Path
) -> None:
    path = written(tmp_path / "volumes.h5")
    evaluator = Evaluator(path, files.mask, "validation", LABELS)
    spoil(path)
    with pytest.raises(InputError, match="was written to while it was used"):
        evaluator.evaluate(Subject.of_folder(runs["student"]), tmp_path / "out")
    assert not (tmp_path / "out").exists()
