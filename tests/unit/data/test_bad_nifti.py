"""Unusable NIfTI data gives one line that names the file, and leaves nothing behind."""

from __future__ import annotations

import gzip
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from unit_helpers import GOOD, Prepare, assert_refused, with_pixel

pytest_plugins = ["shared_fixtures"]


def test_good_files_are_prepared_without_a_word_on_stderr(
    nifti_study: dict[str, Any], prepare: Prepare, tmp_path: Path
) -> None:
    assert prepare(nifti_study) == (0, "")
    written = sorted(p.name for p in (tmp_path / "out").rglob("*") if p.is_file())
    assert written == ["volumes.h5", "volumes.manifest.json"]


# --- NIfTI files that cannot be read -------------------------------------------------------


def cut_to(part: float) -> Callable[[bytes], bytes]:
    return lambda whole: whole[: int(len(whole) * part)]


def flip_a_byte_of_the_data(whole: bytes) -> bytes:
    # Stored, not compressed, so that the byte is a pixel and only the checksum tells.
    plain = gzip.decompress(whole)
    stored = bytearray(gzip.compress(plain, compresslevel=0))
    stored[-20] ^= 0xFF
    return bytes(stored)


@pytest.mark.parametrize(
    ("suffix", "damage", "fragment"),
    [
        (".nii", cut_to(0.95), "is truncated or not a NIfTI file"),
        (".nii", cut_to(0.5), "is truncated or not a NIfTI file"),
        (".nii", lambda whole: whole[:352], "is truncated or not a NIfTI file"),
        (".nii", cut_to(0.1), "is truncated or not a NIfTI file"),
        (".nii.gz", cut_to(0.9), "is truncated or not a NIfTI file"),
        (".nii.gz", cut_to(0.5), "is truncated or not a NIfTI file"),
        (".nii.gz", lambda whole: whole[:12], "is truncated or not a NIfTI file"),
        (".nii", lambda _: b"", "is empty (0 bytes)"),
        (".nii.gz", lambda _: b"", "is empty (0 bytes)"),
        (".nii", lambda _: b"Not an image. " * 100, "is truncated or not a NIfTI file"),
        (".nii.gz", lambda _: b"Not an image. " * 100, "is truncated or not a NIfTI file"),
        (
            ".nii",
            lambda whole: whole[:70] + b"\xff\x7f" + whole[72:],  # the header's data type
            "is truncated or not a NIfTI file",
        ),
        (
            ".nii",
            lambda whole: whole[:70] + b"\x02" + whole[71:],  # the data type alone
            "is truncated or not a NIfTI file (its header says datatype uint8 of 8 bits, but "
            "bitpix",
        ),
        (
            ".nii",
            lambda whole: whole[:72] + b"\x08" + whole[73:],  # the bits of a value alone
            "is truncated or not a NIfTI file (its header says datatype float32 of 32 bits",
        ),
        (".nii.gz", flip_a_byte_of_the_data, "is truncated or not a NIfTI file"),
    ],
    ids=[
        "nii, last pixels missing",
        "nii, half missing",
        "nii, header only",
        "nii, part of the header",
        "nii.gz, last pixels missing",
        "nii.gz, half missing",
        "nii.gz, few bytes",
        "nii, empty",
        "nii.gz, empty",
        "nii, text",
        "nii.gz, text",
        "nii, unknown data type",
        "nii, a smaller data type",
        "nii, another number of bits",
        "nii.gz, wrong checksum",
    ],
)
def test_damaged_nifti(
    suffix: str,
    damage: Callable[[bytes], bytes],
    fragment: str,
    nifti_study: dict[str, Any],
    prepare: Prepare,
    tmp_path: Path,
    write_nifti: Any,
    caplog: pytest.LogCaptureFixture,
) -> None:
    (tmp_path / "data/sub-b.nii").unlink()
    # Larger than what is read to tell a file's type, so that the damage is met in the pixels.
    noise = np.random.default_rng(0).random((16, 16, 4), dtype=np.float32)
    path = write_nifti(tmp_path / f"data/sub-b{suffix}", noise)
    path.write_bytes(damage(path.read_bytes()))
    assert_refused(prepare(nifti_study), tmp_path / "out", f"{path}: {fragment}")
    # What a library logs ends on stderr too, beside the one line.
    assert caplog.records == []


def test_folder_named_like_a_nifti_file(
    nifti_study: dict[str, Any], prepare: Prepare, tmp_path: Path
) -> None:
    path = tmp_path / "data/sub-b.nii"
    path.unlink()
    path.mkdir()
    assert_refused(prepare(nifti_study), tmp_path / "out", f"{path}: ")


# --- NIfTI files that hold no usable image -------------------------------------------------


@pytest.mark.parametrize(
    ("image", "fragment"),
    [
        (with_pixel(np.nan), "holds 1 NaN or infinite values in slice 1 (counted from 0)"),
        (with_pixel(np.inf), "holds 1 NaN or infinite values in slice 1 (counted from 0)"),
        (with_pixel(-np.inf), "holds 1 NaN or infinite values in slice 1 (counted from 0)"),
        (with_pixel(-0.25), "has negative values (minimum -0.25)"),
        (np.zeros_like(GOOD), "is zero everywhere"),
        (-np.ones_like(GOOD), "a magnitude image is needed"),
        (GOOD[:, :, 0], "is 2-D (shape 8x8)"),
        (np.stack([GOOD, GOOD], axis=3), "is 4-D (shape 8x8x2x2)"),
        (GOOD[:7], "slices of 7x8 are smaller than preparation.matrix 8x8"),
        (GOOD[:, :5], "slices of 8x5 are smaller than preparation.matrix 8x8"),
        (GOOD.astype(np.complex64), "complex"),
        (np.zeros((8, 8, 2), dtype=[("R", "u1"), ("G", "u1"), ("B", "u1")]), "sub-b.nii: "),
    ],
    ids=[
        "NaN",
        "infinity",
        "minus infinity",
        "negative value",
        "all zero",
        "all negative",
        "2-D",
        "4-D",
        "rows smaller than the crop",
        "columns smaller than the crop",
        "complex",
        "colour",
    ],
)
def test_nifti_without_a_usable_image(
    image: NDArray[Any],
    fragment: str,
    nifti_study: dict[str, Any],
    prepare: Prepare,
    tmp_path: Path,
    write_nifti: Any,
) -> None:
    path = write_nifti(tmp_path / "data/sub-b.nii", image)
    assert_refused(prepare(nifti_study), tmp_path / "out", f"{path}: ", fragment)


def test_volume_without_a_configured_slice(
    nifti_study: dict[str, Any], prepare: Prepare, tmp_path: Path
) -> None:
    nifti_study["datasets"]["heads"]["preparation"]["slices"] = {"start": 2}
    assert_refused(
        prepare(nifti_study), tmp_path / "out", ".nii: has 2 slices", "preparation.slices"
    )


# --- files and folders that are not as the configuration says ------------------------------


def test_two_patients_with_one_id(
    nifti_study: dict[str, Any], prepare: Prepare, tmp_path: Path, write_nifti: Any
) -> None:
    write_nifti(tmp_path / "data/site1/sub-a.nii", GOOD)
    write_nifti(tmp_path / "data/site2/sub-a.nii", GOOD)
    nifti_study["datasets"]["heads"]["source"]["pattern"] = "site*/sub-*.nii"
    assert_refused(
        prepare(nifti_study),
        tmp_path / "out",
        "site1/sub-a.nii",
        "site2/sub-a.nii",
        "patient id 'a'",
    )


@pytest.mark.parametrize(
    "source",
    [
        {"kind": "nifti", "path": "nowhere"},
        {"kind": "acdc", "path": "nowhere"},
        {"kind": "mrbrains", "path": "nowhere"},
        {"kind": "authors_hdf5", "path": "nowhere"},
    ],
    ids=lambda source: source["kind"],
)
def test_missing_folder(
    source: dict[str, Any], nifti_study: dict[str, Any], prepare: Prepare, tmp_path: Path
) -> None:
    nifti_study["datasets"]["heads"]["source"] = source
    assert_refused(
        prepare(nifti_study),
        tmp_path / "out",
        f"{tmp_path / 'nowhere'}",
        "does not exist; set data_root or the source's path",
    )


def test_file_where_a_folder_should_be(
    nifti_study: dict[str, Any], prepare: Prepare, tmp_path: Path
) -> None:
    nifti_study["datasets"]["heads"]["source"]["path"] = "data/sub-a.nii"
    assert_refused(
        prepare(nifti_study), tmp_path / "out", f"{tmp_path / 'data/sub-a.nii'}", "is not a folder"
    )


def test_pattern_that_matches_nothing(
    nifti_study: dict[str, Any], prepare: Prepare, tmp_path: Path
) -> None:
    nifti_study["datasets"]["heads"]["source"]["pattern"] = "*.mgz"
    assert_refused(
        prepare(nifti_study), tmp_path / "out", f"{tmp_path / 'data'}: no nifti volume found"
    )


@pytest.mark.parametrize(
    ("key", "value"), [("patient_pattern", "sub-("), ("pattern", "/absolute/*"), ("pattern", "")]
)
def test_pattern_that_is_none(
    key: str, value: str, nifti_study: dict[str, Any], prepare: Prepare, tmp_path: Path
) -> None:
    nifti_study["datasets"]["heads"]["source"][key] = value
    assert_refused(prepare(nifti_study), tmp_path / "out", key, repr(value))


def test_more_patients_asked_for_than_there_are(
    nifti_study: dict[str, Any], prepare: Prepare, tmp_path: Path
) -> None:
    nifti_study["datasets"]["heads"]["split"]["train"] = 2
    assert_refused(prepare(nifti_study), tmp_path / "out", "2 train", "only 3 are free")


def test_name_that_is_no_utf_8(
    nifti_study: dict[str, Any], prepare: Prepare, tmp_path: Path, write_nifti: Any
) -> None:
    write_nifti(tmp_path / "data/sub-\udcff.nii", GOOD)
    nifti_study["datasets"]["heads"]["source"]["patient_pattern"] = r"sub-(.*)\.nii"
    assert_refused(prepare(nifti_study), tmp_path / "out", "sub-\\udcff.nii", "is no UTF-8")


def test_header_that_nibabel_warns_about_gives_no_further_line(
    nifti_study: dict[str, Any], prepare: Prepare, tmp_path: Path
) -> None:
    path = tmp_path / "data/sub-b.nii"
    whole = bytearray(path.read_bytes())
    # An extension of 17 bytes, where multiples of 16 are asked for.
    whole[108:112] = struct.pack("<f", 384)
    whole[348:352] = b"\1\0\0\0" + struct.pack("<ii", 17, 6) + bytes(24)
    path.write_bytes(whole)
    assert prepare(nifti_study) == (0, "")
