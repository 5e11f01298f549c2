"""A data set is looked at before its pixels are read; equal images are not two patients."""

from __future__ import annotations

import gzip
from pathlib import Path
from typing import Any

import h5py
import nibabel
import numpy as np
import pytest
from preparation_helpers import never_read

from pipeline_src.config.datasets import Dataset
from pipeline_src.data import inspection, nifti_files
from pipeline_src.data.inspection import Inspection, inspect_dataset
from pipeline_src.data.preparation import prepare
from pipeline_src.errors import InputError
from pipeline_src.operations.preflight import describe_data

SPLIT = {"train": ["1", "2", "3"], "validation": ["4"], "test": ["5", "6"]}


def dataset(**keys: Any) -> Dataset:
    source = {"kind": "nifti", "path": "data", "pattern": "*.nii*"}
    return Dataset.model_validate(
        {"source": source, "preparation": {"matrix": [6, 5]}, "split": SPLIT, **keys}
    )


@pytest.fixture
def root(tmp_path: Path, write_nifti: Any) -> Path:
    """Six patients of 6 x 7 x 3 voxels."""
    for number in range(1, 7):
        image = np.random.default_rng(number).random((6, 7, 3), dtype=np.float32)
        write_nifti(tmp_path / f"data/sub-{number}.nii", image)
    return tmp_path


def test_inspection_tells_patients_and_parts_without_reading_pixels(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(nifti_files, "read_nifti", never_read)
    found = inspect_dataset(dataset(), root)
    assert found == Inspection(
        volumes=6,
        patients=6,
        examples={str(n): [("", str(root / f"data/sub-{n}.nii"))] for n in (1, 2, 3)},
        parts={"train": 3, "validation": 1, "test": 2},
        without_volume=[],
        repeated=[],
        ids=[str(n) for n in range(1, 7)],
        spacings={(1.0, 1.0): 6},
    )


def write_spaced(path: Path, sides: tuple[float, float, float]) -> None:
    """A volume of 6 x 7 x 3 voxels of that size."""
    image = np.random.default_rng().random((6, 7, 3), dtype=np.float32)
    nibabel.save(nibabel.Nifti1Image(image, np.diag([*sides, 1])), path)  # type: ignore[no-untyped-call]


def test_pixels_of_different_size_are_warned_of(root: Path) -> None:
    """What rounding makes of one size is no other, and the distance of slices does not count."""
    for number, sides in ((2, (1.00001, 1, 1)), (3, (1, 1, 8)), (4, (1.5, 0.5, 1))):
        write_spaced(root / f"data/sub-{number}.nii", sides)
    chosen = dataset(
        source={"kind": "nifti", "path": "data", "pattern": "*.nii", "orientation": "as_stored"}
    )
    found = inspect_dataset(chosen, root)
    assert found.spacings == {(1.0, 1.0): 5, (1.5, 0.5): 1}
    (line,) = (line for line in describe_data("brain", found) if "warning" in line)
    assert "different size: 1 x 1 in 5 volumes, 1.5 x 0.5 in 1 volume; nothing" in line
    write_spaced(root / "data/sub-4.nii", (1, 1, 1))
    assert "warning" not in "".join(describe_data("brain", inspect_dataset(chosen, root)))


@pytest.mark.parametrize(
    ("axis", "orientation", "spacing"),
    [(2, None, (1, 2)), (0, None, (2, 3)), (2, "PSR", (2, 3)), (1, "LIA", (1, 2))],
)
def test_spacing_is_that_of_a_slices_rows_and_columns(
    axis: int, orientation: str | None, spacing: tuple[float, float], tmp_path: Path
) -> None:
    write_spaced(tmp_path / "a.nii", (1, 2, 3))
    header = nifti_files.read_nifti_header(tmp_path / "a.nii", axis, orientation)
    assert header.spacing == spacing


@pytest.mark.parametrize("side", [np.nan, np.inf])
def test_a_spacing_that_is_none_is_not_taken(side: float, tmp_path: Path) -> None:
    write_spaced(tmp_path / "a.nii", (1, 2, 3))
    content = bytearray((tmp_path / "a.nii").read_bytes())
    content[80:92] = np.float32([1, side, 1]).tobytes()
    (tmp_path / "a.nii").write_bytes(content)
    assert nifti_files.read_nifti_header(tmp_path / "a.nii").spacing is None


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        ({"split": SPLIT | {"test": ["7"]}}, "split.test: '7' matches no patient"),
        ({"split": {"train": 6, "validation": 1}, "report_on": "validation"}, "only 6 are free"),
        ({"preparation": {"matrix": [6, 8]}}, "slices of 6x7 are smaller"),
        ({"preparation": {"matrix": [6, 5], "slices": {"start": 3}}}, "has 3 slices, none of them"),
        ({"source": {"kind": "nifti", "path": "data", "pattern": "*.mgz"}}, "no nifti volume"),
    ],
)
def test_what_the_preparation_would_refuse_is_refused(
    keys: dict[str, Any], said: str, root: Path
) -> None:
    for look in (inspect_dataset, prepare):
        with pytest.raises(InputError) as caught:
            look(dataset(**keys), root)
        assert said in str(caught.value)


def test_preparation_reads_no_pixel_before_all_headers_are_good(
    root: Path, write_nifti: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_nifti(root / "data/sub-6.nii", np.ones((2, 2, 2), np.float32))
    monkeypatch.setattr(nifti_files, "read_nifti", never_read)
    with pytest.raises(InputError, match=r"sub-6\.nii: slices of 2x2"):
        prepare(dataset(), root)


def test_each_header_is_read_once(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[Path] = []
    header = nifti_files.read_nifti_header
    monkeypatch.setattr(
        nifti_files, "read_nifti_header", lambda path, *a: read.append(path) or header(path, *a)
    )
    inspect_dataset(dataset(), root)
    assert len(read) == len(set(read)) == 6


@pytest.mark.parametrize("kind", ["phantom", "authors_hdf5"])
def test_other_sources_know_their_shape(kind: str, tmp_path: Path) -> None:
    sources: dict[str, dict[str, Any]] = {
        "phantom": {"anatomy": "cardiac", "patients": 3, "slices": 2, "matrix": 16},
        "authors_hdf5": {"path": "."},
    }
    for n, name in enumerate(("train/acc_4x/1", "train/acc_4x/2", "validation/acc_4x/1")):
        path = tmp_path / f"{name}.h5"
        path.parent.mkdir(parents=True, exist_ok=True)
        with h5py.File(path, "w") as file:
            file["volfs"] = np.full((16, 16, 2), n + 1)
    section = dataset(
        source={"kind": kind, **sources[kind]},
        split={"train": 1, "validation": 1, "test": 1},
    )
    volumes = inspection.choose_volumes(section, tmp_path).used
    assert [v.header().shape for v in volumes] == [v.read().shape for v in volumes]


# --- sizes -------------------------------------------------------------------------------


def claim(path: Path, shape: tuple[int, ...], data: bytes = b"") -> None:
    """A file whose header claims a shape, whatever follows."""
    header = nibabel.Nifti2Header()
    header.set_data_shape(shape)
    header.set_data_dtype(np.float32)
    header["vox_offset"], header["magic"] = 544, b"n+2\0\r\n\x1a\n"
    header.set_sform(np.eye(4), 1)
    whole = header.binaryblock + bytes(4) + data
    path.write_bytes(gzip.compress(whole) if path.suffix == ".gz" else whole)


@pytest.mark.parametrize("shape", [(2**20, 2**20, 2**10), (0, 6, 3), (60000, 60000, 1, 1)])
@pytest.mark.parametrize("suffix", [".nii", ".nii.gz"])
def test_header_that_claims_no_volume_is_refused(
    shape: tuple[int, ...], suffix: str, root: Path
) -> None:
    (root / "data/sub-2.nii").unlink()
    claim(root / f"data/sub-2{suffix}", shape)
    for look in (inspect_dataset, prepare):
        with pytest.raises(InputError, match="claims a shape of"):
            look(dataset(), root)


@pytest.mark.parametrize(
    ("size", "said"),
    [
        (6 * 7 * 3 * 4 + 2**22, "unpacks to more than"),
        (6 * 7 * 3 * 4 - 8, "is truncated or not a NIfTI file .1040 bytes of the 1048"),
    ],
)
def test_stream_that_is_not_of_the_size_that_its_header_tells(
    size: int, said: str, root: Path
) -> None:
    (root / "data/sub-2.nii").unlink()
    claim(root / "data/sub-2.nii.gz", (6, 7, 3), bytes(size))
    with pytest.raises(InputError, match=rf"sub-2\.nii\.gz: {said}"):
        prepare(dataset(), root)


@pytest.mark.parametrize(
    "keys",
    [
        {"preparation": {"matrix": [2**14 + 1, 4]}},
        {"source": {"kind": "phantom", "anatomy": "brain", "patients": 9, "slices": 1}
         | {"matrix": 2**20}},
    ],
)  # fmt: skip
def test_matrix_that_is_a_slip_of_the_finger_is_refused(keys: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="16384"):
        dataset(**keys)


def test_phantom_that_is_too_large_is_refused_before_it_is_drawn(tmp_path: Path) -> None:
    source = {"kind": "phantom", "anatomy": "brain", "patients": 9, "slices": 10**4}
    section = dataset(
        source=source | {"matrix": 4096}, split={"train": 3, "validation": 1, "test": 1}
    )
    with pytest.raises(InputError, match="claims a shape of 4096x4096x10000"):
        prepare(section, tmp_path)


# --- equal images ------------------------------------------------------------------------


def test_same_file_in_two_parts_is_refused(root: Path) -> None:
    copy = root / "data/sub-6.nii"
    copy.write_bytes((root / "data/sub-1.nii").read_bytes())
    for look in (inspect_dataset, prepare):
        with pytest.raises(InputError) as caught:
            look(dataset(), root)
        for text in (str(copy), str(root / "data/sub-1.nii"), "'6' of test", "'1' of train"):
            assert text in str(caught.value)
    left_out = dataset(split=SPLIT | {"test": ["5"]})
    assert len(prepare(left_out, root).volumes) == 5


def test_same_image_in_another_compression_is_found_in_its_pixels(root: Path) -> None:
    whole = (root / "data/sub-1.nii").read_bytes()
    (root / "data/sub-6.nii").unlink()
    (root / "data/sub-6.nii.gz").write_bytes(gzip.compress(whole))
    with pytest.raises(InputError, match="'6' of test has the same image as patient '1' of train"):
        prepare(dataset(), root)


def test_same_image_within_a_part_is_said(root: Path) -> None:
    (root / "data/sub-3.nii").write_bytes((root / "data/sub-1.nii").read_bytes())
    said = "sub-3.nii: patient '3' of train has the same image as patient '1' of train"
    for look in (inspect_dataset, prepare):
        (sentence,) = look(dataset(), root).repeated
        assert said in sentence


# --- pairs of a header and its pixels ----------------------------------------------------


@pytest.fixture
def pairs(root: Path) -> Dataset:
    """The same patients as pairs of `.hdr` and `.img`; all headers are alike."""
    for path in (root / "data").glob("*.nii"):
        image = nibabel.load(path)
        nibabel.save(nibabel.Nifti1Pair(image.get_fdata(), np.eye(4)), path.with_suffix(".hdr"))
        path.unlink()
    return dataset(source={"kind": "nifti", "path": "data", "pattern": "*.hdr"})


def test_pairs_are_the_same_where_their_pixels_are(pairs: Dataset, root: Path) -> None:
    for look in (inspect_dataset, prepare):
        assert look(pairs, root).repeated == []
    (root / "data/sub-6.img").write_bytes((root / "data/sub-1.img").read_bytes())
    for look in (inspect_dataset, prepare):
        with pytest.raises(InputError, match="'6' of test has the same image as patient '1'"):
            look(pairs, root)


@pytest.mark.parametrize(
    ("leave", "said"),
    [
        (lambda path: path.symlink_to("../.git/annex/objects/0q/x"), "`datalad get`"),
        (
            lambda path: path.write_bytes(b"version https://git-lfs.github.com/spec/v1\n"),
            "lfs pull",
        ),
        (lambda path: path.touch(), "is empty"),
        (lambda path: None, "does not exist"),
    ],
    ids=["annexed link", "LFS pointer", "empty", "missing"],
)
def test_pixels_of_a_pair_that_are_there_by_name_only(
    leave: Any, said: str, pairs: Dataset, root: Path
) -> None:
    pixels = root / "data/sub-5.img"
    pixels.unlink()
    leave(pixels)
    for look in (inspect_dataset, prepare):
        with pytest.raises(InputError, match=said) as caught:
            look(pairs, root)
        assert str(caught.value).startswith(f"{pixels}: ")


def test_frames_of_one_patient_may_be_equal(tmp_path: Path, write_nifti: Any) -> None:
    for number in range(1, 7):
        for run in (1, 2):
            image = np.full((6, 7, 3), number, np.float32)
            write_nifti(tmp_path / f"data/sub-{number}_run-{run}.nii", image)
    for look in (inspect_dataset, prepare):
        assert look(dataset(), tmp_path).repeated == []
