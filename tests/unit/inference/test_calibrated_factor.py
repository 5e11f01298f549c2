"""Which pixel of which patient a bound's factor is taken from, by errors that are given."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from inference_helpers import SIZE, trained
from numpy.typing import NDArray
from training_helpers import prepared_data

from pipeline_src.data.store import Store, read_store, write_store
from pipeline_src.errors import InputError
from pipeline_src.inference import calibration
from pipeline_src.inference.calibration import rank
from pipeline_src.inference.error_bound import ErrorBound, Scale, foreground
from pipeline_src.inference.trained import load_trained

Errors = tuple[str, NDArray[np.float64], NDArray[np.float64]]
PLAIN = Scale(constant=1, change=0, edges=0, brightness=0)
TEN = np.array([7.0, 1, 10, 4, 8, 9, 3, 2, 5, 6])


def store_of(path: Path, patients: int) -> Store:
    """The tiny training volumes, and so many patients to calibrate on."""
    prepared = prepared_data()
    del prepared.images[-3:], prepared.slices[-3:]
    for number in range(patients):
        prepared.images.append(np.full((SIZE, SIZE), 0.5, np.float32))
        row = {"patient": f"p{number}", "frame": "", "part": "validation", "slice": 0}
        prepared.slices.append({**row, "volume": 2 + number})
    write_store(path, prepared, {"dataset": "tiny"})
    return read_store(path)


def bound_of(
    validation: Sequence[Errors],
    test: Sequence[Errors],
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> ErrorBound:
    """The bound for 75 % of the pixels of half of the patients."""
    model = trained(folder)
    store = store_of(folder / "volumes.h5", len(validation))
    parts = {"validation": validation, "test": test}
    monkeypatch.setattr(calibration, "_by_patient", lambda _, __, part, ___: iter(parts[part]))

    def weighed(_: object, images: NDArray[np.float32], __: object) -> Scale:
        np.testing.assert_array_equal(images, store.part("train")[0])
        return PLAIN

    monkeypatch.setattr(calibration, "_weighed", weighed)
    loaded = load_trained(model.folder, model.mask_path)
    return calibration.calibrate(loaded, store, folder / "volumes.h5", 0.75, 0.5)


def test_the_factor_is_that_of_the_wanted_pixel_of_the_wanted_patient(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """7.5 of 10 pixels are 8, and half of four patients and one more is the third of them."""
    scales = np.full(10, 2.0)
    patients = [(f"p{n}", n * TEN, scales) for n in (4, 3, 1, 2)]
    tried = [("t", np.array([10.0, 36.5, 43.5]), np.array([1.0, 3, 4]))]
    bound = bound_of(patients, tried, tmp_path, monkeypatch)
    assert bound.factor == pytest.approx(3 * 8 / 2)
    [one] = bound.tried_on
    assert (one.patient, one.covered) == ("t", pytest.approx(2 / 3))
    assert (one.error, one.bound) == (pytest.approx(30), pytest.approx(12 * 8 / 3))


def test_a_network_without_errors_has_a_bound_nevertheless(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    patients = [(f"p{n}", np.zeros(10), np.ones(10)) for n in range(4)]
    assert bound_of(patients, [], tmp_path, monkeypatch).factor > 0


def test_a_share_that_rounding_makes_larger_takes_no_patient_more() -> None:
    """100 * 0.55 is a little more than 55 in floating point."""
    assert [rank(99, 0.55), rank(99, 0.56), rank(99, 0.07)] == [55, 56, 7]


@pytest.mark.parametrize("sign", [1, -1])
def test_the_scale_is_nearest_to_the_size_of_the_errors_of_the_foreground(
    sign: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whether the reconstruction is too bright or too dark, and whatever it does elsewhere."""
    image = np.zeros((SIZE, SIZE), np.float32)
    image[:, SIZE // 2 :] = 0.5
    target = image - np.float32(sign * 0.0625)
    target[~foreground(image)] = 4
    monkeypatch.setattr(calibration, "_reconstructed", lambda *_: iter([(target, image, image)]))
    model = trained(tmp_path)
    loaded = load_trained(model.folder, model.mask_path)
    scale = calibration._weighed(loaded, target[None], tmp_path)
    found = scale.of(image, image)[foreground(image)]
    np.testing.assert_allclose(found, 0.0625, rtol=1e-6)


def test_a_patients_errors_are_those_of_the_foreground_that_is_reconstructed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The true image is not known where a bound is used."""
    image = np.zeros((SIZE, SIZE), np.float32)
    image[:, SIZE // 2 :] = 0.5
    target = 1 - image
    made = [(target, image, image)]
    monkeypatch.setattr(calibration, "_reconstructed", lambda *_: iter(made))
    loaded = load_trained((model := trained(tmp_path)).folder, model.mask_path)
    store = store_of(tmp_path / "volumes.h5", 1)
    [(patient, errors, _)] = calibration._by_patient(loaded, store, "validation", PLAIN)
    assert patient == "p0"
    there = foreground(image)
    np.testing.assert_array_equal(errors, np.abs(1 - 2 * image)[there])
    made[0] = (target, np.zeros_like(image), image)
    with pytest.raises(InputError, match="patient 'p0': is reconstructed as background alone"):
        list(calibration._by_patient(loaded, store, "validation", PLAIN))
    with pytest.raises(InputError, match="has no training slices"):
        calibration._weighed(loaded, store.images[:0], tmp_path / "volumes.h5")
