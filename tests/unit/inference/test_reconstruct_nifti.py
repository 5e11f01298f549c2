"""NIfTI volumes come out as they went in: geometry, header, units and scale."""

from __future__ import annotations

import gzip
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest
from inference_helpers import SIZE, blobs, facts, identity, trained
from unit_helpers import one_line

SHAPE = (10, 12, 14)
#: Oblique, anisotropic, with a flipped axis, and axes in another order than the scanner's.
AFFINE = np.array(
    [[0.1, -1.9, 0.3, 11], [-0.9, 0.2, -0.5, -7.5], [0.2, 0.4, 3.1, 42], [0, 0, 0, 1]]
)


def written(path: Path, array: Any, **header: Any) -> nibabel.Nifti1Image:
    image = nibabel.Nifti1Image(array, AFFINE)
    image.set_qform(AFFINE, code=1)
    image.set_sform(AFFINE @ np.diag([1, 1, 1, 1]), code=2)
    image.header.set_xyzt_units("mm", "sec")
    image.header["descrip"] = b"of a scanner"
    for key, value in header.items():
        image.header[key] = value
    image.header.extensions.append(nibabel.nifti1.Nifti1Extension("comment", b"kept"))
    nibabel.save(image, path)
    return nibabel.load(path)


def plain(header: Any) -> dict[str, Any]:
    """What a header says, but for the type of the values."""
    told = {key: np.asarray(header[key]).tolist() for key in header}
    changed = ("datatype", "bitpix", "scl_slope", "scl_inter", "vox_offset")
    return {key: value for key, value in told.items() if key not in changed}


@pytest.mark.parametrize("axis", [0, 1, 2])
@pytest.mark.parametrize("suffix", [".nii", ".nii.gz"])
def test_an_identity_network_gives_the_input_back(axis: int, suffix: str, tmp_path: Path) -> None:
    array = (1000 * blobs(*SHAPE)).astype(np.int16)
    before = written(tmp_path / f"a{suffix}", array)
    size = tuple(np.delete(SHAPE, axis).tolist())
    model = identity(tmp_path, size)  # type: ignore[arg-type]
    words = ("--slice-axis", str(axis))
    assert model.reconstruct(tmp_path / "out", tmp_path / f"a{suffix}", *words) == 0
    after = nibabel.load(tmp_path / "out" / f"a{suffix}")
    np.testing.assert_allclose(after.get_fdata(), array, rtol=0, atol=1e-6 * array.max())
    assert np.array_equal(after.affine, before.affine)
    assert plain(after.header) == plain(before.header)
    assert [e.get_content() for e in after.header.extensions] == [b"kept"]
    assert after.get_data_dtype() == np.float32


def test_the_scale_of_the_scanner_is_kept(tmp_path: Path) -> None:
    """Values that a slope and an intercept make, in a fourth axis of length one."""
    array = (1000 * blobs(*SHAPE)).astype(np.int16)
    image = nibabel.Nifti1Image(array[..., None], AFFINE)
    image.header.set_slope_inter(0.25, 3)
    nibabel.save(image, tmp_path / "a.nii")
    model = identity(tmp_path, SHAPE[:2])
    assert model.reconstruct(tmp_path / "out", tmp_path / "a.nii") == 0
    after = nibabel.load(tmp_path / "out/a.nii")
    assert after.shape == (*SHAPE, 1)
    np.testing.assert_allclose(
        after.get_fdata(), nibabel.load(tmp_path / "a.nii").get_fdata(), rtol=1e-5
    )
    scale = facts(tmp_path / "out", "a")["scale"]
    assert scale["divided_by"] == 0.25 * array.max() + 3


def test_the_axes_of_the_training_are_those_of_the_slices(tmp_path: Path) -> None:
    """Turned as the training turned its files, and back."""
    from pipeline_src.inference.nifti_kind import nifti_input

    array = blobs(*SHAPE)
    written(tmp_path / "a.nii", array)
    volume = nifti_input(tmp_path / "a.nii", Path("a"), 0, "RAS")
    # In RAS the file's second axis comes first, reversed: it points to the left.
    assert volume.size == (SHAPE[0], SHAPE[2], SHAPE[1])
    out = np.zeros(SHAPE, np.float32)
    volume.view(out)[:] = volume.view(array)
    assert np.array_equal(out, array)
    assert np.array_equal(volume.view(array)[:, :, 0], array[::-1, -1, :])


def test_the_same_numbers_are_the_same_bytes(tmp_path: Path) -> None:
    written(tmp_path / "a.nii.gz", blobs(SIZE, SIZE, 3))
    model = trained(tmp_path)
    for name in ("one", "two"):
        assert model.reconstruct(tmp_path / name, tmp_path / "a.nii.gz") == 0
    one, two = ((tmp_path / name / "a.nii.gz").read_bytes() for name in ("one", "two"))
    assert one == two
    assert gzip.decompress(one)


def test_another_size_is_refused_with_the_ways_out(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    written(tmp_path / "a.nii", blobs(20, SIZE, SIZE))
    model = trained(tmp_path)
    assert model.reconstruct(tmp_path / "out", tmp_path / "a.nii") == 2
    line = one_line(capsys.readouterr().err)
    for way in ("20x16", "16x16", "--slice-axis 0", "--other-size crop", "--other-size redraw"):
        assert way in line
    assert not (tmp_path / "out").exists()


def test_cropped_and_padded_slices_lie_where_they_were(tmp_path: Path) -> None:
    """One side is longer than the network's, the other shorter."""
    array = blobs(21, 11, 3)
    written(tmp_path / "a.nii", array)
    model = identity(tmp_path, (SIZE, SIZE))
    words = ("--other-size", "crop")
    assert model.reconstruct(tmp_path / "out", tmp_path / "a.nii", *words) == 0
    after = nibabel.load(tmp_path / "out/a.nii").get_fdata()
    expected = array.copy()
    expected[:2], expected[18:] = 0, 0
    np.testing.assert_allclose(after, expected, atol=1e-6)
    told = facts(tmp_path / "out", "a")
    assert told["size"] == {"slices": [21, 11], "network": [16, 16], "how": "crop"}


def test_a_mask_is_drawn_for_another_size_as_the_pipeline_would(tmp_path: Path) -> None:
    from pipeline_src.sampling.masks import drawn_mask

    written(tmp_path / "a.nii", blobs(24, 20, 3))
    model = trained(tmp_path)
    words = ("--other-size", "redraw")
    assert model.reconstruct(tmp_path / "out", tmp_path / "a.nii", *words) == 0
    told = facts(tmp_path / "out", "a")
    assert told["mask"]["sha256"] == drawn_mask((24, 20), 4, 0, 2).digest
    assert told["mode"] == "retrospective"
    assert told["quality"]["reconstruction"].keys() == {"psnr_db", "ssim", "nmse"}


def test_an_empty_slice_stays_empty(tmp_path: Path) -> None:
    array = blobs(SIZE, SIZE, 3)
    array[:, :, 1] = 0
    written(tmp_path / "a.nii", array)
    assert trained(tmp_path).reconstruct(tmp_path / "out", tmp_path / "a.nii") == 0
    after = nibabel.load(tmp_path / "out/a.nii").get_fdata()
    assert not after[:, :, 1].any()
    assert after[:, :, 0].any()
    measured = facts(tmp_path / "out", "a")["quality"]["slices"]
    assert [one["slice"] for one in measured] == [0, 2]
