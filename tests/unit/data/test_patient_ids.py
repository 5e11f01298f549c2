"""Which files of a NIfTI data set are of one patient, and what distinguishes them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipeline_src.config.datasets import Dataset, NiftiSource
from pipeline_src.data.preparation import prepare
from pipeline_src.data.sources import list_volumes
from pipeline_src.data.splits import split_patients
from pipeline_src.data.store import read_store, write_store
from pipeline_src.errors import InputError


def found(root: Path, *names: str, **source: Any) -> list[tuple[str, str]]:
    """Patients and frames of these files."""
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    section = NiftiSource.model_validate(
        {"kind": "nifti", "path": ".", "pattern": "**/*.nii.gz", **source}
    )
    return [(v.patient, v.frame) for v in list_volumes(section, root)]


def test_of_alternatives_the_group_that_took_part_is_the_patient(tmp_path: Path) -> None:
    names = ("sub-01_T1w.nii.gz", "pat-11_T1w.nii.gz")
    patterns = {"pattern": "*.nii.gz", "patient_pattern": r"sub-(\d+)|pat-(\d+)"}
    assert found(tmp_path, *names, **patterns) == [("01", ""), ("11", "")]


def test_two_alternatives_with_one_id_are_not_one_patient(tmp_path: Path) -> None:
    names = ("sub-01_ses-1.nii.gz", "pat-01_ses-2.nii.gz")
    with pytest.raises(InputError, match="both have the patient id '01'"):
        found(tmp_path, *names, pattern="*.nii.gz", patient_pattern=r"sub-(\d+)|pat-(\d+)")


def test_empty_id_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"sub-_T1w\.nii\.gz: its patient id is empty"):
        found(tmp_path, "sub-_T1w.nii.gz", patient_pattern=r"sub-(\d*)")


@pytest.mark.parametrize("pattern", ["^[^/]+/", "/[^/]+", "^([^/]+/)"])
def test_an_id_with_the_slash_beside_it_is_refused(pattern: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="begins or ends with a slash; put what"):
        found(tmp_path, "p00/pd.nii.gz", "p01/pd.nii.gz", patient_pattern=pattern)


WHOLE = "patient_pattern, as in 'sub-([^/]+)/'"
LABELS = ("KKI_0001", "KKI_0002", "NYU_0001")


@pytest.mark.parametrize(
    ("tree", "said"),
    [
        (
            "sub-{0}/ses-{1}/anat/sub-{0}_ses-{1}_T1w.nii.gz",
            "patient_pattern, as in 'sub-([^/]+)/'",
        ),
        ("sub-{0}/anat/sub-{0}_run-{1}_T1w.nii.gz", WHOLE),
        ("sub-{0}/anat/T1w.nii.gz", WHOLE),
        ("sub-{0}_ses-{1}_T1w.nii.gz", "take the whole id of each by patient_pattern"),
        ("site-1/sub-{0}_T1w.nii.gz", "take the whole id of each by patient_pattern"),
    ],
)
def test_ids_cut_short_are_refused_with_both_files(tree: str, said: str, tmp_path: Path) -> None:
    names = [tree.format(label, number) for number, label in enumerate(LABELS)]
    with pytest.raises(InputError) as caught:
        found(tmp_path, *names)
    line = str(caught.value)
    assert all(text in line for text in (names[0], names[1], "patient id 'KKI'", said))
    if "[^/]" in said:
        pattern = r"sub-([^/]+)/"
        assert [p for p, _ in found(tmp_path, patient_pattern=pattern)] == sorted(LABELS)


def test_two_sites_with_one_number_are_not_one_patient(tmp_path: Path) -> None:
    names = ("site-1/sub-01/ses-1/T1w.nii.gz", "site-2/sub-01/ses-2/T1w.nii.gz")
    with pytest.raises(InputError, match="both have the patient id '01'"):
        found(tmp_path, *names)
    whole = found(tmp_path, patient_pattern=r"(site-\d/sub-\d+)")
    assert whole == [("site-1/sub-01", "ses-1"), ("site-2/sub-01", "ses-2")]


VISITS = [f"patient{n:02d}/study{v}_T1W.nii.gz" for n in (1, 2) for v in (1, 2)]


def test_visits_without_bids_ask_for_a_frame_pattern(tmp_path: Path) -> None:
    with pytest.raises(InputError) as caught:
        found(tmp_path, *VISITS, patient_pattern=r"patient\d+")
    assert "volumes (visits) of one person, name by frame_pattern" in str(caught.value)


@pytest.mark.parametrize(
    ("pattern", "frames"),
    [(r"study\d", ["study1", "study2"]), (r"study(\d)_(T1)", ["1_T1", "2_T1"])],
)
def test_frame_pattern_names_visits(pattern: str, frames: list[str], tmp_path: Path) -> None:
    volumes = found(tmp_path, *VISITS, patient_pattern=r"patient\d+", frame_pattern=pattern)
    assert volumes == [(f"patient{n:02d}", frame) for n in (1, 2) for frame in frames]


def test_frame_pattern_that_tells_nothing_apart_is_refused(tmp_path: Path) -> None:
    options = {"patient_pattern": r"patient\d+", "frame_pattern": r"study\d|T1W"}
    assert len(found(tmp_path, *VISITS, **options)) == 4
    with pytest.raises(InputError, match="frame_pattern"):
        found(tmp_path, **{**options, "frame_pattern": "study"})
    with pytest.raises(InputError, match="a frame each: see patient_pattern and frame_pattern"):
        found(tmp_path, **{**options, "frame_pattern": r"(study)\d"})


@pytest.mark.parametrize(
    ("stems", "frames"),
    [
        (["sub-1_T1w"], [""]),
        (["sub-1_acq-mprage_T1w"], [""]),
        (["sub-1_ses-1_acq-a_T1w", "sub-1_ses-2_acq-b_T1w"], ["ses-1", "ses-2"]),
        (["sub-1_acq-a_T1w", "sub-1_acq-b_T1w"], ["acq-a", "acq-b"]),
        (["sub-1_T1w", "sub-1_rec-norm_T1w"], ["", "rec-norm"]),
        (
            ["sub-1_ses-1_acq-a_dir-AP_T1w", "sub-1_ses-1_acq-a_dir-PA_T1w"],
            ["ses-1_dir-AP", "ses-1_dir-PA"],
        ),
    ],
)
def test_entities_of_bids_are_frames_where_they_distinguish(
    stems: list[str], frames: list[str], tmp_path: Path
) -> None:
    names = [f"sub-1/anat/{stem}.nii.gz" for stem in stems]
    assert found(tmp_path, *names) == [("1", frame) for frame in frames]


@pytest.mark.parametrize(
    "stems",
    [("sub-1_T1w", "sub-1_T2w"), ("sub-1_ses-1_T1w", "sub-1_ses-2_T2w"), ("sub-1", "sub-1_copy")],
)
def test_other_differences_between_the_files_of_a_patient_are_refused(
    stems: tuple[str, str], tmp_path: Path
) -> None:
    with pytest.raises(InputError, match="differ in more than that"):
        found(tmp_path, *(f"{stem}.nii.gz" for stem in stems))


# --- patients without a volume -----------------------------------------------------------


def test_patient_without_a_volume_is_refused_or_left_out(tmp_path: Path, write_nifti: Any) -> None:
    for number in range(1, 9):
        image = np.full((4, 4, 1), number, np.float32)
        write_nifti(tmp_path / f"sub-{number}/anat/sub-{number}_T1w.nii.gz", image)
    (tmp_path / "derivatives/sub-1").mkdir(parents=True)

    def dataset(choice: str) -> Dataset:
        return Dataset.model_validate(
            {
                "source": {"kind": "nifti", "path": ".", "without_volume": choice},
                "preparation": {"matrix": [4, 4]},
                "split": {"train": 4, "validation": 2, "test": 2},
            }
        )

    whole = prepare(dataset("error"), tmp_path)
    gone = next(row for row in whole.volumes if row["part"] == "train")
    Path(str(gone["path"])).unlink()
    (tmp_path / "sub-9").symlink_to("not fetched")
    with pytest.raises(InputError) as caught:
        prepare(dataset("error"), tmp_path)
    for text in ("2 patients have a folder but no volume", "sub-9", "without_volume: leave_out"):
        assert text in str(caught.value)
    (tmp_path / "sub-9").unlink()
    rest = prepare(dataset("leave_out"), tmp_path)
    assert rest.dropped == [
        {"patient": gone["patient"], "frame": "", "slice": -1, "reason": "has no volume"}
    ]
    assert rest.volumes == [row for row in whole.volumes if row != gone]


def test_folder_without_an_id_is_no_patient(tmp_path: Path) -> None:
    (tmp_path / "code").mkdir()
    assert found(tmp_path, "sub-1/anat/sub-1_T1w.nii.gz", pattern="*/anat/*.nii.gz") == [("1", "")]


# --- ids are text ------------------------------------------------------------------------

NAMES = ["NA", "null", "1e5", "007", "true", "a,b", 'q"q', "x\ny", "p[1]", "p1", " s", "ü"]


def test_ids_and_frames_are_kept_as_they_are(tmp_path: Path, write_nifti: Any) -> None:
    for number, name in enumerate(NAMES, start=1):
        for frame in ("None", "08"):
            image = np.full((4, 4, 1), number if frame == "08" else 50 - number, np.float32)
            write_nifti(tmp_path / f"{name}/{frame}.nii", image)
    dataset = Dataset.model_validate(
        {
            "source": {
                "kind": "nifti",
                "path": ".",
                "pattern": "*/*.nii",
                "patient_pattern": r"([^/]+)/",
                "frame_pattern": r"[^/]+$",
            },
            "preparation": {"matrix": [4, 4]},
            "split": {"train": NAMES[2:], "validation": NAMES[:1], "test": NAMES[1:2]},
        }
    )
    volumes = list_volumes(dataset.source, tmp_path)
    assert {v.patient for v in volumes} == set(NAMES)
    parts = split_patients(volumes, dataset.split)
    assert [p for p, part in parts.items() if part != "train"] == ["NA", "null"]
    prepared = prepare(dataset, tmp_path)
    write_store(tmp_path / "volumes.h5", prepared, {})
    store = read_store(tmp_path / "volumes.h5")
    for rows in (store.slices, store.volumes):
        assert set(rows["patient"]) == set(NAMES)
        assert set(rows["frame"]) == {"None", "08"}


def test_entry_of_a_split_is_an_id_before_it_is_a_pattern(tmp_path: Path) -> None:
    names = [f"{name}.nii.gz" for name in ("p[1]", "p1", "p2", "q")]
    assert len(found(tmp_path, *names, patient_pattern=r"^[^.]+")) == 4
    section = NiftiSource.model_validate(
        {"kind": "nifti", "path": ".", "pattern": "*.nii.gz", "patient_pattern": r"^[^.]+"}
    )
    split = {"train": ["p[1]"], "validation": ["p1"], "test": ["p[2]"]}
    dataset = {"source": section, "preparation": {"matrix": [4, 4]}, "split": split}
    parts = split_patients(list_volumes(section, tmp_path), Dataset.model_validate(dataset).split)
    assert parts == {"p[1]": "train", "p1": "validation", "p2": "test"}
