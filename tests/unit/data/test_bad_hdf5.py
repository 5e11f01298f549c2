"""Unusable HDF5 data gives one line that names the file, and leaves nothing behind."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from unit_helpers import GOOD, Prepare, assert_refused, rewrite, with_pixel

pytest_plugins = ["shared_fixtures"]


@pytest.fixture
def hdf5_study(tmp_path: Path, nifti_study: dict[str, Any]) -> dict[str, Any]:
    """The same study on three good files in the authors' layout."""
    names = ("train/acc_4x/1", "train/acc_4x/2", "validation/acc_4x/1")
    for number, name in enumerate(names, start=1):
        path = tmp_path / "hdf5" / f"{name}.h5"
        path.parent.mkdir(parents=True, exist_ok=True)
        with h5py.File(path, "w") as file:
            file["volfs"] = GOOD**number
    nifti_study["datasets"]["heads"]["source"] = {"kind": "authors_hdf5", "path": "hdf5"}
    return nifti_study


def test_good_hdf5_files_are_prepared(
    hdf5_study: dict[str, Any], prepare: Prepare, tmp_path: Path
) -> None:
    assert prepare(hdf5_study) == (0, "")
    assert (tmp_path / "out/heads/volumes.h5").is_file()


@pytest.mark.parametrize(
    ("damage", "fragment"),
    [
        (lambda p: rewrite(p, kspace_volus_4x=GOOD), "has no key 'volfs' (keys: kspace_volus_4x)"),
        (lambda p: rewrite(p), "has no key 'volfs' (keys: none)"),
        (lambda p: rewrite(p, volfs=GOOD[:, :, 0]), "volfs is 2-D"),
        (lambda p: rewrite(p, volfs="text"), "volfs"),
        (lambda p: rewrite(p, volfs=h5py.SoftLink("/nowhere")), "volfs"),
        (lambda p: rewrite(p, volfs=GOOD.astype(np.complex64)), "volfs"),
        (lambda p: rewrite(p, volfs=with_pixel(np.nan)), "holds 1 NaN"),
        (lambda p: rewrite(p, volfs=np.zeros_like(GOOD)), "is zero everywhere"),
        (lambda p: p.write_text("Not an image."), "is truncated or not an HDF5 file"),
        (lambda p: p.write_bytes(b""), "is empty (0 bytes)"),
        (lambda p: p.write_bytes(p.read_bytes()[:-100]), "is truncated or not an HDF5 file"),
    ],
    ids=[
        "other keys",
        "no keys",
        "2-D",
        "text",
        "broken link",
        "complex",
        "NaN",
        "all zero",
        "no HDF5",
        "empty",
        "truncated",
    ],
)
def test_unusable_hdf5(
    damage: Callable[[Path], Any],
    fragment: str,
    hdf5_study: dict[str, Any],
    prepare: Prepare,
    tmp_path: Path,
) -> None:
    path = tmp_path / "hdf5/train/acc_4x/2.h5"
    damage(path)
    assert_refused(prepare(hdf5_study), tmp_path / "out", f"{path}: ", fragment)


def external_link(path: Path, other: Path) -> None:
    rewrite(path, volfs=h5py.ExternalLink(other, "volfs"))


def soft_link_to_an_external_one(path: Path, other: Path) -> None:
    rewrite(path, away=h5py.ExternalLink(other, "/"), volfs=h5py.SoftLink("/away/volfs"))


def circle(path: Path, other: Path) -> None:
    del other
    rewrite(path, volfs=h5py.SoftLink("/other"), other=h5py.SoftLink("/volfs"))


def external_storage(path: Path, other: Path) -> None:
    raw = other.with_suffix(".raw")
    raw.write_bytes(GOOD.tobytes())
    with h5py.File(path, "w") as file:
        file.create_dataset("volfs", GOOD.shape, "f4", external=[(raw, 0, raw.stat().st_size)])


def virtual(path: Path, other: Path) -> None:
    layout = h5py.VirtualLayout(GOOD.shape, "f4")
    layout[:] = h5py.VirtualSource(other, "volfs", shape=GOOD.shape)
    with h5py.File(path, "w") as file:
        file.create_virtual_dataset("volfs", layout)


@pytest.mark.parametrize(
    ("lead", "said"),
    [
        (external_link, "volfs is a link into"),
        (soft_link_to_an_external_one, "volfs is a link into"),
        (circle, "volfs is a link to nowhere"),
        (external_storage, "volfs is stored in"),
        (virtual, "volfs is a virtual data set"),
    ],
)
def test_hdf5_that_leads_to_another_file(
    lead: Callable[[Path, Path], None],
    said: str,
    hdf5_study: dict[str, Any],
    prepare: Prepare,
    tmp_path: Path,
) -> None:
    other = tmp_path / "secret.h5"
    rewrite(other, volfs=GOOD * 7)
    path = tmp_path / "hdf5/train/acc_4x/2.h5"
    lead(path, other)
    assert_refused(prepare(hdf5_study), tmp_path / "out", f"{path}: {said}")


def test_hdf5_link_within_a_file_is_followed(
    hdf5_study: dict[str, Any], prepare: Prepare, tmp_path: Path
) -> None:
    path = tmp_path / "hdf5/train/acc_4x/2.h5"
    rewrite(path, **{"a/b": GOOD * 9, "volfs": h5py.SoftLink("/a/b")})
    assert prepare(hdf5_study) == (0, "")


def test_hdf5_that_claims_a_huge_volume(
    hdf5_study: dict[str, Any], prepare: Prepare, tmp_path: Path
) -> None:
    path = tmp_path / "hdf5/train/acc_4x/2.h5"
    with h5py.File(path, "w") as file:
        file.create_dataset("volfs", (2**20, 2**20, 4), "f4", chunks=(64, 64, 1))
    assert_refused(prepare(hdf5_study), tmp_path / "out", f"{path}: volfs: claims a shape of")
