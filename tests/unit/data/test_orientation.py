"""Slices of one data set are of one plane, whatever the files' axes and number of axes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest
from nibabel.orientations import axcodes2ornt, io_orientation, ornt_transform
from numpy.typing import NDArray

from pipeline_src.config.datasets import Dataset
from pipeline_src.data.inspection import inspect_dataset
from pipeline_src.data.preparation import PreparedData, prepare
from pipeline_src.errors import InputError

SPLIT = {"train": ["1", "2"], "validation": ["3"], "test": ["4"]}


def image_of(number: int) -> NDArray[np.float32]:
    return np.random.default_rng(number).random((6, 7, 5), dtype=np.float32)


def write(root: Path, number: int, axes: str = "RAS", code: int = 1) -> Path:
    """An image whose content is stored along these axes."""
    image = nibabel.Nifti1Image(image_of(number), np.eye(4))
    turn = ornt_transform(io_orientation(image.affine), axcodes2ornt(axes))
    turned = image.as_reoriented(turn)
    turned.set_sform(turned.affine, code)
    turned.set_qform(turned.affine, code)
    path = root / f"sub-{number}.nii.gz"
    nibabel.save(turned, path)
    return path


def dataset(matrix: int = 4, **source: Any) -> Dataset:
    return Dataset.model_validate(
        {
            "source": {"kind": "nifti", "path": ".", "pattern": "*.nii.gz", **source},
            "preparation": {"matrix": [matrix, matrix]},
            "split": SPLIT,
        }
    )


def same(first: PreparedData, second: PreparedData) -> bool:
    return len(first.images) == len(second.images) and all(
        np.array_equal(a, b) for a, b in zip(first.images, second.images, strict=True)
    )


@pytest.fixture
def upright(tmp_path: Path) -> PreparedData:
    """What four files of one orientation give; they lie in tmp_path."""
    for number in range(1, 5):
        write(tmp_path, number)
    return prepare(dataset(), tmp_path)


@pytest.mark.parametrize("axes", ["PSR", "LAS", "RSA"])
def test_file_of_another_orientation_is_named(
    axes: str, upright: PreparedData, tmp_path: Path
) -> None:
    odd = write(tmp_path, 4, axes)
    for look in (prepare, inspect_dataset):
        with pytest.raises(InputError) as caught:
            look(dataset(), tmp_path)
        line = str(caught.value)
        for text in (f"{odd} ({axes}): axes point", "(RAS)", "orientation: RAS", "as_stored"):
            assert text in line
        assert "sub-1" not in line
    assert same(prepare(dataset(orientation="RAS"), tmp_path), upright)
    assert not same(prepare(dataset(orientation="as_stored"), tmp_path), upright)


def test_turned_file_has_its_shape_and_slices_along_the_turned_axis(tmp_path: Path) -> None:
    for number, axes in enumerate(("RAS", "PSR", "SLA", "LPI"), start=1):
        write(tmp_path, number, axes)
    prepared = prepare(dataset(orientation="RAS", slice_axis=0), tmp_path)
    assert [row["slice"] for row in prepared.slices] == list(range(6)) * 4
    row = next(i for i, r in enumerate(prepared.slices) if (r["patient"], r["slice"]) == ("2", 3))
    whole = image_of(2)
    np.testing.assert_array_equal(prepared.images[row], whole[3, 1:5, :4] / whole.max())


def test_axes_of_an_unused_patient_do_not_matter(upright: PreparedData, tmp_path: Path) -> None:
    write(tmp_path, 5, "PSR")
    assert same(prepare(dataset(), tmp_path), upright)


def test_header_without_orientation_is_unknown_and_not_different(
    upright: PreparedData, tmp_path: Path
) -> None:
    path = write(tmp_path, 4, "RAS", code=0)
    assert same(prepare(dataset(), tmp_path), upright)
    with pytest.raises(InputError, match="its header gives no orientation; set orientation") as e:
        prepare(dataset(orientation="RAS"), tmp_path)
    assert str(path) in str(e.value)


def thick(root: Path, number: int, *sizes: float) -> Path:
    """An image whose voxels have these sizes."""
    path = root / f"sub-{number}.nii.gz"
    nibabel.save(nibabel.Nifti1Image(image_of(number), np.diag([*sizes, 1.0])), path)
    return path


def test_thick_slices_along_another_axis_are_named(tmp_path: Path) -> None:
    for number in range(1, 5):
        thick(tmp_path, number, 0.9, 0.9, 4)
    assert inspect_dataset(dataset(), tmp_path).patients == 4
    odd = thick(tmp_path, 4, 4, 0.9, 0.9)
    for look in (prepare, inspect_dataset):
        with pytest.raises(InputError) as caught:
            look(dataset(), tmp_path)
        for text in (f"{odd} (axis 0): has thick slices along another axis", "(axis 2)", "RAS"):
            assert text in str(caught.value)
        assert "sub-1" not in str(caught.value)
        for orientation in ("RAS", "as_stored"):
            look(dataset(orientation=orientation), tmp_path)


def test_voxels_of_about_one_size_have_no_thick_axis(tmp_path: Path) -> None:
    sizes = ((1, 1, 1.2), (1.2, 1, 1), (1, 1, 3), (2, 2, 1))
    for number, size in enumerate(sizes, start=1):
        thick(tmp_path, number, *size)
    assert inspect_dataset(dataset(), tmp_path).patients == 4


@pytest.mark.parametrize("value", ["RAX", "RRS", "RA", "RASL", "ras", ""])
def test_what_is_no_orientation_is_refused(value: str) -> None:
    with pytest.raises(ValueError, match="give one letter each of LR, PA and IS"):
        dataset(orientation=value)


def test_further_axes_of_length_one_are_taken_for_what_they_are(
    upright: PreparedData, tmp_path: Path, write_nifti: Any
) -> None:
    write_nifti(tmp_path / "sub-1.nii.gz", image_of(1)[..., None])
    write_nifti(tmp_path / "sub-3.nii.gz", image_of(3)[..., None, None])
    assert same(prepare(dataset(), tmp_path), upright)
    assert same(prepare(dataset(orientation="RAS"), tmp_path), upright)


def test_acdc_stack_with_its_slices_along_another_axis_is_refused(
    tmp_path: Path, write_nifti: Any
) -> None:
    for number in range(1, 5):
        for frame in ("01", "09"):
            path = tmp_path / f"training/patient{number}/patient{number}_frame{frame}.nii.gz"
            write_nifti(path, np.full((8, 9, 3), 10 * number + int(frame), np.float32))
    split = {"train": 2, "validation": 1, "test": 1}
    section = {
        "source": {"kind": "acdc", "path": "."},
        "preparation": {"matrix": [8, 8], "undersized": "pad"},
        "split": split,
    }
    assert inspect_dataset(Dataset.model_validate(section), tmp_path).volumes == 8
    write_nifti(path, np.ones((3, 8, 9), np.float32))
    with pytest.raises(InputError, match="has 9 slices of 3x8, so its slices are not along") as e:
        prepare(Dataset.model_validate(section), tmp_path)
    assert str(path) in str(e.value)
