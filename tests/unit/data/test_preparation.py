"""From volumes to prepared slices: scaling, cropping and choice of slices."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest
from numpy.typing import NDArray
from preparation_helpers import make_dataset, preparation

from pipeline_src.config.datasets import Dataset
from pipeline_src.config.split import Split
from pipeline_src.data.preparation import (
    center_crop_or_pad,
    check_image,
    prepare,
    take_slices,
)
from pipeline_src.data.volume_reference import VolumeReference
from pipeline_src.errors import InputError
from pipeline_src.files import sha256_file

pytest_plugins = ["shared_fixtures"]


# --- crop and pad ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("have", "want", "first"), [(5, 3, 1), (6, 3, 1), (6, 4, 1), (7, 4, 1), (8, 4, 2), (4, 4, 0)]
)
def test_crop_takes_the_centre(have: int, want: int, first: int) -> None:
    plane = np.arange(have * 2, dtype=np.float32).reshape(have, 2)
    assert np.array_equal(center_crop_or_pad(plane, (want, 2)), plane[first : first + want])
    assert np.array_equal(center_crop_or_pad(plane.T, (2, want)), plane.T[:, first : first + want])


@pytest.mark.parametrize(("have", "want", "first"), [(3, 5, 1), (3, 6, 1), (4, 6, 1), (1, 4, 1)])
def test_pad_puts_the_slice_in_the_centre_of_zeros(have: int, want: int, first: int) -> None:
    plane = np.arange(1, have * 2 + 1, dtype=np.float32).reshape(have, 2)
    padded = center_crop_or_pad(plane, (want, 2))
    assert np.array_equal(padded[first : first + have], plane)
    assert padded.sum() == plane.sum()
    assert padded.shape == (want, 2)


def test_one_axis_may_be_cropped_while_the_other_is_padded() -> None:
    plane = np.arange(1, 13, dtype=np.float32).reshape(6, 2)
    out = center_crop_or_pad(plane, (4, 4))
    assert np.array_equal(out[:, 1:3], plane[1:5])
    assert not out[:, [0, 3]].any()


# --- slices of a volume ------------------------------------------------------------------

VOLUME: NDArray[np.float32] = np.arange(1, 6 * 6 * 7 + 1, dtype=np.float32).reshape(6, 6, 7) / (
    6 * 6 * 7
)


@pytest.mark.parametrize(
    ("slices", "indices"),
    [
        ({}, [0, 1, 2, 3, 4, 5, 6]),
        ({"start": 2}, [2, 3, 4, 5, 6]),
        ({"stop": 3}, [0, 1, 2]),
        ({"stop": 99}, [0, 1, 2, 3, 4, 5, 6]),
        ({"step": 3}, [0, 3, 6]),
        ({"start": 1, "stop": 6, "step": 2}, [1, 3, 5]),
    ],
)
def test_configured_slices_are_taken_and_keep_their_index(
    slices: dict[str, int], indices: list[int]
) -> None:
    taken = take_slices(VOLUME, preparation(slices=slices), "file")
    assert taken is not None
    assert [index for index, _ in taken] == indices
    for index, plane in taken:
        assert plane.dtype == np.float32
        assert np.array_equal(plane, VOLUME[1:5, 1:5, index])


@pytest.mark.parametrize("slices", [{"start": 7}, {"start": 5, "stop": 5}])
def test_range_without_slices_is_refused(slices: dict[str, int]) -> None:
    with pytest.raises(InputError, match="file: has 7 slices, none of them in preparation"):
        take_slices(VOLUME, preparation(slices=slices), "file")


def test_downscaling_averages_blocks_before_the_crop() -> None:
    image = np.random.default_rng(0).random((9, 8, 1), dtype=np.float32)
    taken = take_slices(image, preparation(downscale=2), "file")
    assert taken is not None
    ((_, plane),) = taken
    # The ninth row fills no block of two.
    blocks = image[:8, :, 0].reshape(4, 2, 4, 2).mean(axis=(1, 3))
    assert plane == pytest.approx(blocks, abs=1e-6)


@pytest.mark.parametrize(("shape", "downscale"), [((3, 6, 7), 1), ((6, 3, 7), 1), ((7, 8, 7), 2)])
def test_undersized_volume_is_refused_dropped_or_padded(
    shape: tuple[int, int, int], downscale: int
) -> None:
    image = np.ones(shape, dtype=np.float32)
    rows, columns = shape[0] // downscale, shape[1] // downscale
    with pytest.raises(InputError, match=f"file: slices of {rows}x{columns} are smaller than"):
        take_slices(image, preparation(downscale=downscale), "file")
    options = {"downscale": downscale, "undersized": "drop"}
    assert take_slices(image, preparation(**options), "file") is None
    taken = take_slices(image, preparation(**options | {"undersized": "pad"}), "file")
    assert taken is not None
    assert len(taken) == 7
    for _, plane in taken:
        assert plane.shape == (4, 4)
        assert plane.sum() == min(rows, 4) * min(columns, 4)


@pytest.mark.parametrize("undersized", ["error", "drop"])
def test_volume_of_just_the_size_is_not_undersized(undersized: str) -> None:
    image = np.ones((4, 4, 2), dtype=np.float32)
    taken = take_slices(image, preparation(undersized=undersized), "file")
    assert taken is not None
    assert len(taken) == 2


@pytest.mark.parametrize("shape", [(0, 4, 2), (4, 4, 0)])
def test_volume_without_pixels_is_refused(shape: tuple[int, int, int]) -> None:
    with pytest.raises(InputError, match="file: is zero everywhere"):
        check_image(np.zeros(shape, dtype=np.float32), "file")


# --- a whole data set --------------------------------------------------------------------


def test_every_volume_is_scaled_by_the_maximum_of_all_its_pixels(
    dataset: Dataset, tmp_path: Path
) -> None:
    prepared = prepare(dataset, tmp_path)
    for image, row in zip(prepared.images, prepared.slices, strict=True):
        volume = prepared.volumes[int(row["volume"])]
        original = nibabel.load(volume["path"]).get_fdata()
        assert volume["maximum"] == original.max()
        plane = original[1:5, 1:5, int(row["slice"])]
        assert image == pytest.approx(plane / original.max(), rel=1e-6)


def test_volume_whose_maximum_is_in_view_has_maximum_one(dataset: Dataset, tmp_path: Path) -> None:
    del dataset
    prepared = prepare(make_dataset(matrix=[6, 6]), tmp_path)
    for number in range(len(prepared.volumes)):
        planes = [
            i
            for i, r in zip(prepared.images, prepared.slices, strict=True)
            if r["volume"] == number
        ]
        assert len(planes) == 3
        assert max(p.max() for p in planes) == 1.0


def test_index_lists_train_then_validation_then_test_with_both_frames(
    dataset: Dataset, tmp_path: Path
) -> None:
    prepared = prepare(dataset, tmp_path)
    assert [(v["part"], v["patient"], v["frame"]) for v in prepared.volumes] == [
        (part, patient, f"run-{run}")
        for part, patient in (
            ("train", "a"),
            ("train", "c"),
            ("validation", "b"),
            ("test", "d"),
        )
        for run in (1, 2)
    ]
    assert len(prepared.images) == len(prepared.slices) == 8 * 3
    assert [r["slice"] for r in prepared.slices] == [0, 1, 2] * 8
    assert prepared.dropped == []
    for volume in prepared.volumes:
        assert volume["sha256"] == sha256_file(Path(str(volume["path"])))


def test_progress_sees_the_volumes_of_the_split_alone(dataset: Dataset, tmp_path: Path) -> None:
    seen: list[str] = []

    def watch(volumes: list[VolumeReference]) -> list[VolumeReference]:
        seen.extend(v.patient for v in volumes)
        return volumes

    split = {"train": ["a"], "validation": ["b"], "test": ["d"]}
    prepare(dataset.model_copy(update={"split": Split.model_validate(split)}), tmp_path, watch)
    assert seen == ["a", "a", "b", "b", "d", "d"]


def test_patients_of_no_part_are_listed_as_left_out(dataset: Dataset, tmp_path: Path) -> None:
    del dataset
    split = {"train": ["a"], "validation": ["b"], "test": ["d"]}
    prepared = prepare(make_dataset(split), tmp_path)
    assert prepared.dropped == [
        {
            "patient": "c",
            "frame": f"run-{run}",
            "slice": -1,
            "reason": "patient is in no part of the split",
        }
        for run in (1, 2)
    ]
    assert {r["patient"] for r in prepared.slices} == {"a", "b", "d"}


def test_unused_patient_is_not_read(dataset: Dataset, tmp_path: Path) -> None:
    del dataset
    (tmp_path / "sub-c_run-1.nii").write_bytes(b"")
    split = {"train": ["a"], "validation": ["b"], "test": ["d"]}
    assert len(prepare(make_dataset(split), tmp_path).volumes) == 6


def test_empty_slices_are_left_out_with_their_reason(
    dataset: Dataset, tmp_path: Path, write_nifti: Any
) -> None:
    image = np.ones((6, 6, 3), dtype=np.float32)
    image[:, :, 0] = 0
    image[1:5, 1:5, 2] = 0
    write_nifti(tmp_path / "sub-a_run-1.nii", image)
    prepared = prepare(dataset, tmp_path)
    assert prepared.dropped == [
        {
            "patient": "a",
            "frame": "run-1",
            "slice": index,
            "reason": "slice is empty (all zero) after cropping",
        }
        for index in (0, 2)
    ]
    assert [r["slice"] for r in prepared.slices if r["volume"] == 0] == [1]
    assert len(prepared.volumes) == 8


def test_volume_without_a_slice_left_is_left_out_and_numbers_stay_in_step(
    dataset: Dataset, tmp_path: Path, write_nifti: Any
) -> None:
    image = np.zeros((6, 6, 3), dtype=np.float32)
    image[0, 0, :] = 1
    write_nifti(tmp_path / "sub-a_run-1.nii", image)
    prepared = prepare(dataset, tmp_path)
    assert [d["reason"] for d in prepared.dropped][-1] == "no slice left"
    assert len(prepared.volumes) == 7
    for row in prepared.slices:
        volume = prepared.volumes[int(row["volume"])]
        assert (volume["patient"], volume["frame"]) == (row["patient"], row["frame"])


def test_undersized_volume_is_left_out_with_its_reason(
    dataset: Dataset, tmp_path: Path, write_nifti: Any
) -> None:
    del dataset
    write_nifti(tmp_path / "sub-a_run-2.nii", np.ones((3, 6, 3), dtype=np.float32))
    prepared = prepare(make_dataset(undersized="drop"), tmp_path)
    assert prepared.dropped == [
        {
            "patient": "a",
            "frame": "run-2",
            "slice": -1,
            "reason": "slices of 3x6 are smaller than the matrix",
        }
    ]


@pytest.mark.parametrize(
    ("patient", "part", "report_on"),
    [("d", "test", "test"), ("b", "validation", "test"), ("b", "validation", "validation")],
)
def test_part_without_a_slice_is_refused(
    patient: str,
    part: str,
    report_on: str,
    dataset: Dataset,
    tmp_path: Path,
    write_nifti: Any,
) -> None:
    del dataset
    for run in (1, 2):
        small = np.ones((3, 6, 3), dtype=np.float32)
        write_nifti(tmp_path / f"sub-{patient}_run-{run}.nii", small)
    with pytest.raises(InputError, match=rf"split\.{part}: no slice is left"):
        prepare(make_dataset(report_on=report_on, undersized="drop"), tmp_path)
