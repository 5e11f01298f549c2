"""From volumes to the store: scaling, cropping, choice of slices, splits, and the round trip."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import h5py
import nibabel
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from pipeline_src.config.data import Dataset, Preparation, Split
from pipeline_src.data.preparation import (
    PreparedData,
    center_crop_or_pad,
    check_image,
    prepare,
    take_slices,
)
from pipeline_src.data.splits import PARTS, split_patients
from pipeline_src.data.store import read_store, write_store
from pipeline_src.data.volume import VolumeReference
from pipeline_src.errors import InputError
from pipeline_src.files import sha256_file


def preparation(**options: Any) -> Preparation:
    return Preparation.model_validate({"matrix": [4, 4], **options})


def never_read() -> NDArray[np.float32]:
    raise AssertionError("a split must not read pixels")


def references(
    patients: list[str], partition: str = "", frames: tuple[str, ...] = ("",)
) -> list[VolumeReference]:
    return [VolumeReference(p, partition, f, None, never_read) for p in patients for f in frames]


def split_of(volumes: list[VolumeReference], **choice: Any) -> dict[str, str]:
    return split_patients(volumes, Split.model_validate(choice))


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


@pytest.fixture
def dataset(tmp_path: Path, write_nifti: Any) -> Dataset:
    """Patients a, b, c and d of two frames each: 6 x 6 x 3 volumes of different maxima."""
    rng = np.random.default_rng(0)
    for number, patient in enumerate("abcd", start=1):
        for run in (1, 2):
            image = rng.random((6, 6, 3), dtype=np.float32)
            # The maximum lies where the crop does not reach.
            image[0, 0, 0] = 10 * number + run
            write_nifti(tmp_path / f"sub-{patient}_run-{run}.nii", image)
    return make_dataset()


def make_dataset(
    split: dict[str, Any] | None = None, report_on: str = "test", **options: Any
) -> Dataset:
    return Dataset.model_validate(
        {
            "source": {"kind": "nifti", "path": ".", "pattern": "sub-*.nii"},
            "preparation": {"matrix": [4, 4], **options},
            "split": split or {"train": ["a", "c"], "validation": ["b"], "test": ["d"]},
            "report_on": report_on,
        }
    )


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


# --- splits ------------------------------------------------------------------------------

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


# --- the store ---------------------------------------------------------------------------

DESCRIPTION = {"dataset": "heads", "title": "Köpfe", "synthetic": False, "split": {"train": 2}}


@pytest.fixture
def prepared(dataset: Dataset, tmp_path: Path) -> PreparedData:
    result = prepare(dataset, tmp_path)
    result.dropped.append({"patient": "x", "frame": "", "slice": -1, "reason": "too small"})
    return result


def test_store_holds_what_was_written(prepared: PreparedData, tmp_path: Path) -> None:
    path = tmp_path / "out" / "volumes.h5"
    write_store(path, prepared, DESCRIPTION)
    assert list(path.parent.iterdir()) == [path]
    store = read_store(path)
    assert store.images.dtype == np.float32
    assert np.array_equal(store.images, np.stack(prepared.images))
    assert store.slices.to_dict("records") == prepared.slices
    assert store.volumes.to_dict("records") == prepared.volumes
    assert store.dropped.to_dict("records") == prepared.dropped
    assert store.description == DESCRIPTION
    assert len(store.digest) == 64


def test_parts_of_a_store_are_disjoint_and_complete(prepared: PreparedData, tmp_path: Path) -> None:
    write_store(tmp_path / "volumes.h5", prepared, DESCRIPTION)
    store = read_store(tmp_path / "volumes.h5")
    for part, patients in (("train", {"a", "c"}), ("validation", {"b"}), ("test", {"d"})):
        images, rows = store.part(part)
        assert set(rows["patient"]) == patients
        assert rows.index.tolist() == list(range(len(images)))
        for image, (_, row) in zip(images, rows.iterrows(), strict=True):
            position = next(
                i
                for i, r in enumerate(prepared.slices)
                if (r["patient"], r["frame"], r["slice"])
                == (row["patient"], row["frame"], row["slice"])
            )
            assert np.array_equal(image, prepared.images[position])
    assert sum(len(store.part(p)[0]) for p in PARTS) == len(store.images)


def test_data_range_of_a_slice_is_the_maximum_of_its_prepared_volume(tmp_path: Path) -> None:
    peaks = [0.2, 0.9, 0.5, 0.4, 0.3]
    rows = [("train", 0), ("test", 1), ("test", 1), ("test", 2), ("test", 2)]
    prepared = PreparedData(
        images=[np.full((2, 2), p, dtype=np.float32) for p in peaks],
        slices=[
            {"patient": f"p{v}", "frame": "", "part": part, "slice": i, "volume": v}
            for i, (part, v) in enumerate(rows)
        ],
    )
    write_store(tmp_path / "volumes.h5", prepared, {})
    maxima = read_store(tmp_path / "volumes.h5").volume_maxima("test")
    assert maxima.dtype == np.float32
    assert maxima.tolist() == np.array([0.9, 0.9, 0.4, 0.4], dtype=np.float32).tolist()


def test_preparing_again_gives_the_same_bytes(dataset: Dataset, tmp_path: Path) -> None:
    for name in ("first.h5", "second.h5"):
        write_store(tmp_path / name, prepare(dataset, tmp_path), DESCRIPTION)
    assert (tmp_path / "first.h5").read_bytes() == (tmp_path / "second.h5").read_bytes()


def test_digest_changes_with_a_pixel_and_with_the_index_alone(
    prepared: PreparedData, tmp_path: Path
) -> None:
    path = tmp_path / "volumes.h5"

    def digest(description: dict[str, Any]) -> str:
        write_store(path, prepared, description)
        return read_store(path).digest

    first = digest(DESCRIPTION)
    assert digest({**DESCRIPTION, "title": "another"}) == first
    prepared.images[5] = prepared.images[5].copy()
    prepared.images[5][0, 0] = np.nextafter(prepared.images[5][0, 0], np.float32(2))
    second = digest(DESCRIPTION)
    assert second != first
    prepared.slices[0]["part"] = "test"
    assert digest(DESCRIPTION) not in (first, second)


def test_missing_store_says_how_to_make_it(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"volumes\.h5: does not exist; make it with the prepare"):
        read_store(tmp_path / "volumes.h5")


def overwrite(path: Path, whole: bytes) -> None:
    path.write_bytes(whole)


def replace_dataset(path: Path, name: str, value: Any) -> None:
    with h5py.File(path, "a") as file:
        del file[name]
        if value is not None:
            file[name] = value


def other_format(path: Path) -> None:
    with h5py.File(path, "a") as file:
        file.attrs["format"] = "sft-kd-recon volume store 0"


def foreign_file(path: Path) -> None:
    with h5py.File(path, "w") as file:
        file["volfs"] = np.ones((2, 2, 2))


@pytest.mark.parametrize(
    ("damage", "fragment"),
    [
        (lambda p: overwrite(p, b""), "is damaged or no volume store"),
        (lambda p: overwrite(p, b"not a store"), "is damaged or no volume store"),
        (lambda p: overwrite(p, p.read_bytes()[:-200]), "is damaged or no volume store"),
        (lambda p: overwrite(p, p.read_bytes()[:500]), "is damaged or no volume store"),
        (lambda p: replace_dataset(p, "images", None), "is damaged or no volume store"),
        (lambda p: replace_dataset(p, "slices", None), "is damaged or no volume store"),
        (lambda p: replace_dataset(p, "slices", "[{"), "is damaged or no volume store"),
        (lambda p: replace_dataset(p, "slices", 3), "is damaged or no volume store"),
        (foreign_file, "is not a volume store; make one with the prepare command"),
        (other_format, "is not a volume store; make one with the prepare command"),
    ],
    ids=[
        "empty",
        "text",
        "end missing",
        "most missing",
        "no images",
        "no index",
        "index is no JSON",
        "index is a number",
        "another HDF5 file",
        "another version",
    ],
)
def test_unusable_store_is_named(
    damage: Any, fragment: str, prepared: PreparedData, tmp_path: Path
) -> None:
    path = tmp_path / "volumes.h5"
    write_store(path, prepared, DESCRIPTION)
    damage(path)
    with pytest.raises(InputError) as caught:
        read_store(path)
    assert str(caught.value).startswith(f"{path}: {fragment}")
