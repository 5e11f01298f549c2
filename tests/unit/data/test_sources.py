"""Each kind of source finds the right volumes, patients, partitions and frames."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import h5py
import nibabel
import numpy as np
import pytest
from pydantic import TypeAdapter

from pipeline_src.config.datasets import Source
from pipeline_src.data.sources import list_volumes
from pipeline_src.data.volume_reference import VolumeReference
from pipeline_src.errors import InputError

SOURCE: TypeAdapter[Any] = TypeAdapter(Source)


def volumes_of(root: Path, **source: Any) -> list[VolumeReference]:
    return list_volumes(SOURCE.validate_python(source), root)


def touch(*paths: Path) -> None:
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()


# --- nifti -------------------------------------------------------------------------------


def test_bids_tree_gives_one_volume_a_subject(tmp_path: Path, write_nifti: Any) -> None:
    image = np.arange(24, dtype=np.float32).reshape(2, 3, 4)
    for subject in ("02", "01"):
        write_nifti(tmp_path / f"bids/sub-{subject}/anat/sub-{subject}_T1w.nii.gz", image)
    touch(
        tmp_path / "bids/dataset_description.json",
        tmp_path / "bids/sub-01/anat/sub-01_T2w.nii.gz",
        tmp_path / "bids/sub-01/func/sub-01_bold.nii.gz",
    )
    volumes = volumes_of(tmp_path, kind="nifti", path="bids")
    assert [(v.patient, v.partition, v.frame) for v in volumes] == [("01", "", ""), ("02", "", "")]
    assert volumes[0].path == tmp_path / "bids/sub-01/anat/sub-01_T1w.nii.gz"
    assert np.array_equal(volumes[0].read(), image)
    assert volumes[0].read().dtype == np.float32


def test_bids_sessions_and_runs_are_volumes_of_one_patient(tmp_path: Path) -> None:
    for name in ("ses-a/anat/sub-01_ses-a", "ses-b/anat/sub-01_ses-b_run-2"):
        touch(tmp_path / f"sub-01/{name}_T1w.nii.gz")
    volumes = volumes_of(tmp_path, kind="nifti", path=".", pattern="sub-*/ses-*/anat/*_T1w.nii.gz")
    assert [(v.patient, v.frame) for v in volumes] == [("01", "ses-a"), ("01", "ses-b_run-2")]


@pytest.mark.parametrize(
    ("patient_pattern", "patients"),
    [(r"case_(\d+)", ["7", "9"]), (r"case_\d+", ["case_7", "case_9"])],
)
def test_plain_folder_with_its_own_patterns(
    patient_pattern: str, patients: list[str], tmp_path: Path
) -> None:
    touch(tmp_path / "case_9.nii", tmp_path / "case_7.nii", tmp_path / "atlas.nii.gz")
    volumes = volumes_of(
        tmp_path, kind="nifti", path=".", pattern="*.nii", patient_pattern=patient_pattern
    )
    assert [v.patient for v in volumes] == patients


def test_patient_is_searched_below_the_folder_only(tmp_path: Path) -> None:
    touch(tmp_path / "sub-99/data/sub-01.nii")
    (volume,) = volumes_of(tmp_path, kind="nifti", path="sub-99/data", pattern="*.nii")
    assert volume.patient == "01"


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_slice_axis_becomes_the_last_and_the_others_keep_their_order(
    axis: int, tmp_path: Path, write_nifti: Any
) -> None:
    image = np.arange(24, dtype=np.float32).reshape(2, 3, 4)
    write_nifti(tmp_path / "sub-1.nii", image)
    (volume,) = volumes_of(tmp_path, kind="nifti", path=".", pattern="*.nii", slice_axis=axis)
    read = volume.read()
    for index in range(image.shape[axis]):
        assert np.array_equal(read[:, :, index], image.take(index, axis))


def test_scale_factor_of_the_header_is_applied(tmp_path: Path) -> None:
    stored = nibabel.Nifti1Image(np.full((2, 2, 2), 3, dtype=np.int16), np.eye(4))
    stored.header.set_slope_inter(0.5, 0)
    nibabel.save(stored, tmp_path / "sub-1.nii")
    (volume,) = volumes_of(tmp_path, kind="nifti", path=".", pattern="*.nii")
    assert volume.read() == pytest.approx(1.5)


def test_file_without_patient_id_is_named(tmp_path: Path) -> None:
    touch(tmp_path / "scan.nii")
    with pytest.raises(InputError, match=r"scan\.nii: no patient id found; patient_pattern"):
        volumes_of(tmp_path, kind="nifti", path=".", pattern="*.nii")


def test_folder_without_volumes_is_named(tmp_path: Path) -> None:
    (tmp_path / "bids").mkdir()
    with pytest.raises(InputError, match=r"bids: no nifti volume found"):
        volumes_of(tmp_path, kind="nifti", path="bids")


# --- acdc --------------------------------------------------------------------------------


def acdc_patient(
    root: Path, partition: str, number: int, frames: tuple[int, ...], info: str | None = None
) -> Path:
    name = f"patient{number:03d}"
    folder = root / "acdc" / partition / name
    for frame in frames:
        touch(folder / f"{name}_frame{frame:02d}.nii.gz")
        touch(folder / f"{name}_frame{frame:02d}_gt.nii.gz")
    touch(folder / f"{name}_4d.nii.gz")
    if info is not None:
        (folder / "Info.cfg").write_text(info)
    return folder


def acdc(root: Path, **options: Any) -> list[tuple[str, str, str, str]]:
    volumes = volumes_of(root, kind="acdc", path="acdc", **options)
    return [(v.partition, v.patient, v.frame, v.path.name) for v in volumes if v.path]


def test_acdc_without_info_takes_the_first_frame_as_ed(tmp_path: Path) -> None:
    acdc_patient(tmp_path, "training", 1, (12, 1))
    acdc_patient(tmp_path, "testing", 101, (4, 10))
    touch(tmp_path / "acdc/training/MANDATORY_CITATION.md")
    assert acdc(tmp_path) == [
        ("testing", "patient101", "ED", "patient101_frame04.nii.gz"),
        ("testing", "patient101", "ES", "patient101_frame10.nii.gz"),
        ("training", "patient001", "ED", "patient001_frame01.nii.gz"),
        ("training", "patient001", "ES", "patient001_frame12.nii.gz"),
    ]


def test_acdc_info_decides_which_frame_is_ed(tmp_path: Path) -> None:
    acdc_patient(tmp_path, "training", 90, (4, 11), info="ED: 11\nES: 4\nGroup: NOR\n")
    assert acdc(tmp_path) == [
        ("training", "patient090", "ED", "patient090_frame11.nii.gz"),
        ("training", "patient090", "ES", "patient090_frame04.nii.gz"),
    ]


def test_acdc_takes_only_the_frames_asked_for(tmp_path: Path) -> None:
    acdc_patient(tmp_path, "training", 1, (1, 12))
    assert acdc(tmp_path, frames=["ES"]) == [
        ("training", "patient001", "ES", "patient001_frame12.nii.gz")
    ]


@pytest.mark.parametrize(
    ("frames", "info"),
    [
        ((1,), None),
        ((), None),
        ((1, 12), "ED: 1\nES: 13\n"),
        ((1, 12), "ED: 1\n"),
        ((1, 12), f"ED: 1\nES: {'1' * 5000}\n"),
        # Of such a length, a search that goes back at each line would not end.
        ((1, 12), f"ED: 1{chr(10) * 1_000_000}"),
    ],
    ids=[
        "one frame",
        "no frame",
        "Info.cfg names another",
        "Info.cfg lacks ES",
        "Info.cfg names a frame of 5000 digits",
        "Info.cfg of a million lines",
    ],
)
def test_acdc_patient_without_both_frames_is_named(
    frames: tuple[int, ...], info: str | None, tmp_path: Path
) -> None:
    folder = acdc_patient(tmp_path, "training", 5, frames, info)
    with pytest.raises(InputError) as caught:
        acdc(tmp_path)
    assert str(caught.value).startswith(f"{folder}: the ED and ES frames are not both there")


def test_acdc_patient_in_both_partitions_is_refused(tmp_path: Path) -> None:
    acdc_patient(tmp_path, "training", 3, (1, 9))
    acdc_patient(tmp_path, "testing", 3, (1, 9))
    with pytest.raises(InputError, match="has the patient id 'patient003'"):
        acdc(tmp_path)


def test_acdc_folder_of_another_layout_is_named(tmp_path: Path) -> None:
    touch(tmp_path / "acdc/patient001/patient001_frame01.nii.gz")
    with pytest.raises(InputError, match="holds neither training/ nor testing/"):
        acdc(tmp_path)


def test_acdc_info_that_is_no_text_is_named(tmp_path: Path) -> None:
    folder = acdc_patient(tmp_path, "training", 1, (1, 12))
    (folder / "Info.cfg").write_bytes(b"\xff\xfeED: 1")
    with pytest.raises(InputError, match=r"Info\.cfg"):
        acdc(tmp_path)


# --- mrbrains ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("release", "files"),
    [
        ("2013", ["TrainingData/1/T1.nii", "TrainingData/2/T1.nii"]),
        ("2018", ["training/1/pre/reg_T1.nii.gz", "training/2/pre/reg_T1.nii.gz"]),
    ],
)
def test_mrbrains_release_gives_one_t1_a_subject(
    release: str, files: list[str], tmp_path: Path
) -> None:
    touch(*(tmp_path / f for f in files))
    for distractor in ("TrainingData/1/T1_1mm.nii", "TrainingData/1/T2_FLAIR.nii"):
        touch(tmp_path / distractor)
    touch(tmp_path / "training/1/orig/T1.nii.gz", tmp_path / "training/1/segm.nii.gz")
    if release == "2018":
        touch(tmp_path / "training/1/pre/T1.nii.gz", tmp_path / "training/1/pre/IR.nii.gz")
    volumes = volumes_of(tmp_path, kind="mrbrains", path=".", release=release)
    assert [(v.patient, v.path) for v in volumes] == [
        ("1", tmp_path / files[0]),
        ("2", tmp_path / files[1]),
    ]


def test_mrbrains_subject_without_its_volume_fails_by_name(tmp_path: Path) -> None:
    touch(tmp_path / "training/1/pre/reg_T1.nii.gz")
    (tmp_path / "training/4").mkdir()
    volumes = volumes_of(tmp_path, kind="mrbrains", path=".")
    assert [v.patient for v in volumes] == ["1", "4"]
    with pytest.raises(InputError, match=r"4/pre/reg_T1\.nii\.gz: does not exist"):
        volumes[1].read()


# --- the authors' HDF5 files -------------------------------------------------------------


def authors_file(path: Path, **keys: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with h5py.File(path, "w") as file:
        for key, value in keys.items():
            file[key] = value
    return path


def test_authors_volumes_are_read_from_their_key(tmp_path: Path) -> None:
    image = np.arange(24, dtype=np.float64).reshape(2, 3, 4)
    for name in ("train/acc_4x/2", "train/acc_4x/1", "validation/acc_4x/1", "train/acc_5x/3"):
        authors_file(tmp_path / f"{name}.h5", volfs=image, img_volus_4x=np.zeros((2, 3, 4)))
    touch(tmp_path / "train/acc_4x/notes.txt")
    touch(tmp_path / "validation/acc_5x/none.txt")
    volumes = volumes_of(tmp_path, kind="authors_hdf5", path=".")
    assert [(v.partition, v.patient) for v in volumes] == [
        ("train", "train_1"),
        ("train", "train_2"),
        ("validation", "validation_1"),
    ]
    assert np.array_equal(volumes[0].read(), image.astype(np.float32))
    assert volumes[0].read().dtype == np.float32
    other = volumes_of(tmp_path, kind="authors_hdf5", path=".", acceleration=5)
    assert [v.patient for v in other] == ["train_3"]


def test_authors_layout_without_a_part_is_named(tmp_path: Path) -> None:
    authors_file(tmp_path / "train/acc_4x/1.h5", volfs=np.ones((2, 2, 2)))
    with pytest.raises(InputError, match=r"validation/acc_4x: .* does not exist"):
        volumes_of(tmp_path, kind="authors_hdf5", path=".")


# --- phantoms ----------------------------------------------------------------------------


def phantoms(patients: int, anatomy: str = "brain", seed: int = 0) -> list[VolumeReference]:
    return volumes_of(
        Path("nowhere"),
        kind="phantom",
        anatomy=anatomy,
        patients=patients,
        slices=2,
        matrix=16,
        seed=seed,
    )


def test_phantom_is_the_same_whether_two_or_five_are_drawn() -> None:
    few, many = phantoms(2), phantoms(5)
    assert [v.patient for v in many] == [f"phantom{n:03d}" for n in range(1, 6)]
    for ours, theirs in zip(few, many, strict=False):
        assert ours.patient == theirs.patient
        assert np.array_equal(ours.read(), theirs.read())


def test_phantoms_of_other_numbers_or_seeds_differ() -> None:
    first, second = (v.read() for v in phantoms(2))
    (other,) = (v.read() for v in phantoms(1, seed=1))
    assert first.shape == (16, 16, 2)
    assert not np.array_equal(first, second)
    assert not np.array_equal(first, other)


def test_cardiac_phantom_has_both_frames() -> None:
    volumes = phantoms(2, "cardiac")
    assert [(v.patient, v.frame, v.path) for v in volumes] == [
        ("phantom001", "ED", None),
        ("phantom001", "ES", None),
        ("phantom002", "ED", None),
        ("phantom002", "ES", None),
    ]
    assert not np.array_equal(volumes[0].read(), volumes[1].read())
    assert volumes[1].label == "phantom001 ES"


# --- real data ---------------------------------------------------------------------------


def test_real_acdc_has_all_patients_with_both_frames(shared_data: Path) -> None:
    volumes = volumes_of(shared_data, kind="acdc", path="acdc")
    for partition, patients in (("training", 60), ("testing", 20)):
        for frame in ("ED", "ES"):
            found = {v.patient for v in volumes if v.partition == partition and v.frame == frame}
            assert len(found) == patients
    assert len(volumes) == 160
    image = volumes[0].read()
    assert image.ndim == 3
    assert min(image.shape[:2]) >= 154


def test_real_brains_are_found_in_their_bids_tree(shared_data: Path) -> None:
    volumes = volumes_of(shared_data, kind="nifti", path="brain_bids")
    assert len({v.patient for v in volumes}) == len(volumes) == 12
    assert {v.frame for v in volumes} == {""}
