"""Unusable data gives one line that names the file, and leaves nothing behind."""

from __future__ import annotations

import gzip
import os
import shutil
import stat
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import yaml
from numpy.typing import NDArray

from pipeline_src import files
from pipeline_src.cli import main
from pipeline_src.config.data import AcdcSource
from pipeline_src.data.sources import list_volumes
from pipeline_src.errors import InputError

GOOD: NDArray[np.float32] = np.linspace(0, 1, 8 * 8 * 2, dtype=np.float32).reshape(8, 8, 2)


@pytest.fixture
def nifti_study(tmp_path: Path, tiny_study: dict[str, Any], write_nifti: Any) -> dict[str, Any]:
    """A study of three good NIfTI files `sub-a`, `sub-b` and `sub-c` in the folder `data`."""
    for patient in "abc":
        write_nifti(tmp_path / "data" / f"sub-{patient}.nii", GOOD)
    tiny_study["data_root"] = str(tmp_path)
    tiny_study["datasets"]["heads"] |= {
        "source": {"kind": "nifti", "path": "data", "pattern": "sub-*.nii*"},
        "preparation": {"matrix": [8, 8]},
        "split": {"train": 1, "validation": 1, "test": 1},
    }
    tiny_study["sampling"]["center_lines"] = 1
    return tiny_study


@pytest.fixture
def hdf5_study(tmp_path: Path, nifti_study: dict[str, Any]) -> dict[str, Any]:
    """The same study on three good files in the authors' layout."""
    for name in ("train/acc_4x/1", "train/acc_4x/2", "validation/acc_4x/1"):
        path = tmp_path / "hdf5" / f"{name}.h5"
        path.parent.mkdir(parents=True, exist_ok=True)
        with h5py.File(path, "w") as file:
            file["volfs"] = GOOD
    nifti_study["datasets"]["heads"]["source"] = {"kind": "authors_hdf5", "path": "hdf5"}
    return nifti_study


Prepare = Callable[[dict[str, Any]], tuple[int, str]]


@pytest.fixture
def prepare(tmp_path: Path, write_config: Any, capsys: pytest.CaptureFixture[str]) -> Prepare:
    """Runs the prepare command into the folder `out`; returns its status and its stderr."""

    def run(study: dict[str, Any]) -> tuple[int, str]:
        (tmp_path / "out").mkdir(exist_ok=True)
        output = tmp_path / "out" / "heads" / "volumes.h5"
        arguments = ["--config", str(write_config(study)), "--dataset", "heads"]
        status = main(["prepare", *arguments, "--output", str(output)])
        return status, capsys.readouterr().err

    return run


def assert_refused(result: tuple[int, str], out: Path, *fragments: str) -> None:
    """Status 2, one line with every fragment, and an empty output folder."""
    status, error = result
    assert status == 2
    assert error.startswith("error: ")
    assert error.endswith("\n")
    assert error.count("\n") == 1
    for fragment in fragments:
        assert fragment in error
    assert list(out.rglob("*")) == []


def test_good_files_are_prepared_without_a_word_on_stderr(
    nifti_study: dict[str, Any], prepare: Prepare, tmp_path: Path
) -> None:
    assert prepare(nifti_study) == (0, "")
    assert [p.name for p in (tmp_path / "out").rglob("*") if p.is_file()] == ["volumes.h5"]


def test_good_hdf5_files_are_prepared(
    hdf5_study: dict[str, Any], prepare: Prepare, tmp_path: Path
) -> None:
    assert prepare(hdf5_study) == (0, "")
    assert (tmp_path / "out/heads/volumes.h5").is_file()


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
        (".nii", cut_to(0.95), "is truncated or no NIfTI file"),
        (".nii", cut_to(0.5), "is truncated or no NIfTI file"),
        (".nii", lambda whole: whole[:352], "is truncated or no NIfTI file"),
        (".nii", cut_to(0.1), "is truncated or no NIfTI file"),
        (".nii.gz", cut_to(0.9), "is truncated or no NIfTI file"),
        (".nii.gz", cut_to(0.5), "is truncated or no NIfTI file"),
        (".nii.gz", lambda whole: whole[:12], "is truncated or no NIfTI file"),
        (".nii", lambda _: b"", "is empty (0 bytes)"),
        (".nii.gz", lambda _: b"", "is empty (0 bytes)"),
        (".nii", lambda _: b"Not an image. " * 100, "is truncated or no NIfTI file"),
        (".nii.gz", lambda _: b"Not an image. " * 100, "is truncated or no NIfTI file"),
        (
            ".nii",
            lambda whole: whole[:70] + b"\xff\x7f" + whole[72:],  # the header's data type
            "is truncated or no NIfTI file",
        ),
        (".nii.gz", flip_a_byte_of_the_data, "is truncated or no NIfTI file"),
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


def with_pixel(value: float) -> NDArray[np.float32]:
    image = GOOD.copy()
    image[3, 4, 1] = value
    return image


@pytest.mark.parametrize(
    ("image", "fragment"),
    [
        (with_pixel(np.nan), "holds 1 NaN or infinite values"),
        (with_pixel(np.inf), "holds 1 NaN or infinite values"),
        (with_pixel(-np.inf), "holds 1 NaN or infinite values"),
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


# --- HDF5 files ----------------------------------------------------------------------------


def rewrite(path: Path, **keys: Any) -> None:
    with h5py.File(path, "w") as file:
        for key, value in keys.items():
            file[key] = value


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
        (lambda p: p.write_text("Not an image."), "is truncated or no HDF5 file"),
        (lambda p: p.write_bytes(b""), "is truncated or no HDF5 file"),
        (lambda p: p.write_bytes(p.read_bytes()[:-100]), "is truncated or no HDF5 file"),
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


# --- permissions ---------------------------------------------------------------------------


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A temporary folder for a test that is bound by permission bits.

    The bits do not bind root, so root acts as another user meanwhile, who may not enter tmp_path.
    """
    folder = Path(tempfile.mkdtemp())
    root = os.geteuid() == 0
    folder.chmod(0o777)
    if root:
        try:
            os.seteuid(65534)
        except OSError:
            folder.rmdir()
            pytest.skip("root cannot act as another user here, and no permission bit binds it")
    try:
        yield folder
    finally:
        if root:
            os.seteuid(0)
        for path in (folder, *folder.rglob("*")):
            if path.is_dir():
                path.chmod(stat.S_IRWXU)
        shutil.rmtree(folder)


@pytest.fixture
def open_study(open_folder: Path, tiny_study: dict[str, Any], write_nifti: Any) -> Path:
    """A configuration file in `open_folder`, on NIfTI and HDF5 files in its folder `data`."""
    for name in ("sub-a", "sub-b", "sub-c"):
        write_nifti(open_folder / f"data/{name}.nii", GOOD)
    for name in ("train/acc_4x/1", "train/acc_4x/2", "validation/acc_4x/1"):
        path = open_folder / f"data/{name}.h5"
        path.parent.mkdir(parents=True, exist_ok=True)
        rewrite(path, volfs=GOOD)
    (open_folder / "out").mkdir()
    tiny_study["data_root"] = str(open_folder)
    heads = tiny_study["datasets"]["heads"]
    heads["preparation"] = {"matrix": [8, 8]}
    heads["split"] = {"train": 1, "validation": 1, "test": 1}
    tiny_study["sampling"]["center_lines"] = 1
    for kind, pattern in (("nifti", {"pattern": "*.nii"}), ("authors_hdf5", {})):
        heads["source"] = {"kind": kind, "path": "data", **pattern}
        (open_folder / f"{kind}.yaml").write_text(yaml.safe_dump(tiny_study))
    return open_folder


def prepare_in(folder: Path, kind: str) -> int:
    output = folder / "out" / "heads" / "volumes.h5"
    arguments = ["--config", str(folder / f"{kind}.yaml"), "--dataset", "heads"]
    return main(["prepare", *arguments, "--output", str(output)])


@pytest.mark.parametrize(
    ("kind", "forbidden"),
    [
        ("nifti", "data/sub-b.nii"),
        ("nifti", "data"),
        ("authors_hdf5", "data/train/acc_4x/1.h5"),
        ("authors_hdf5", "data/train/acc_4x"),
        ("authors_hdf5", "data/train"),
    ],
)
def test_data_without_permission_is_named(
    kind: str, forbidden: str, open_study: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (open_study / forbidden).chmod(0)
    result = prepare_in(open_study, kind), capsys.readouterr().err
    assert_refused(
        result, open_study / "out", f"{open_study / forbidden}", "may not be read (no permission)"
    )


def test_info_file_without_permission_is_named(open_folder: Path) -> None:
    for name in ("patient001_frame01.nii.gz", "patient001_frame12.nii.gz", "Info.cfg"):
        path = open_folder / "training/patient001" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    path.chmod(0)
    with pytest.raises(InputError) as caught:
        list_volumes(AcdcSource(kind="acdc", path="."), open_folder)
    assert str(path) in str(caught.value)


def test_output_folder_without_permission_is_named(
    open_study: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (open_study / "out").chmod(0o555)
    result = prepare_in(open_study, "nifti"), capsys.readouterr().err
    output = open_study / "out" / "heads" / "volumes.h5"
    line = f"error: {output}: cannot be written (Permission denied)\n"
    assert_refused(result, open_study / "out", line)


@pytest.mark.parametrize("name", ["a.txt", "below/a.txt"])
def test_nothing_is_written_without_permission(name: str, open_folder: Path) -> None:
    folder = open_folder / "results"
    folder.mkdir()
    folder.chmod(0o555)
    with pytest.raises(InputError) as caught:
        files.write_text(folder / name, "text")
    assert str(caught.value) == f"{folder / name}: cannot be written (Permission denied)"
    assert list(folder.iterdir()) == []


def test_configuration_without_permission_is_named(
    open_study: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = open_study / "nifti.yaml"
    path.chmod(0)
    result = prepare_in(open_study, "nifti"), capsys.readouterr().err
    assert_refused(result, open_study / "out", f"error: {path}: cannot be read (Permission denied)")


def test_output_below_a_file_stops_the_command(
    tiny_study: dict[str, Any],
    write_config: Any,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    (tmp_path / "out").write_text("in the way")
    output = tmp_path / "out" / "mask.npz"
    arguments = ["--dataset", "heads", "--acceleration", "4x", "--output", str(output)]
    assert main(["mask", "--config", str(write_config(tiny_study)), *arguments]) == 2
    error = capsys.readouterr().err
    assert error.startswith(f"error: {output}: cannot be written (")
    assert error.count("\n") == 1
    assert (tmp_path / "out").read_text() == "in the way"


# --- files appear whole or not at all ------------------------------------------------------


def test_failed_write_keeps_the_old_file_and_leaves_no_other(tmp_path: Path) -> None:
    path = tmp_path / "result.txt"
    files.write_text(path, "old")

    def write_half() -> None:
        with files.atomic_path(path) as temporary:
            temporary.write_text("ne")
            raise RuntimeError("interrupted")

    with pytest.raises(RuntimeError, match="interrupted"):
        write_half()
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_full_disk_is_one_line_and_leaves_nothing(tmp_path: Path) -> None:
    def fill_the_disk() -> None:
        with files.atomic_path(tmp_path / "out" / "result.txt"):
            raise OSError(28, "No space left on device")

    with pytest.raises(InputError, match=r"result\.txt: cannot be written \(No space left"):
        fill_the_disk()
    assert list((tmp_path / "out").iterdir()) == []


def test_folder_in_place_of_the_output_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError) as caught:
        files.write_text(tmp_path, "text")
    assert str(caught.value).startswith(f"{tmp_path}: cannot be written (")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("umask", [0o022, 0o077])
def test_written_file_follows_the_umask_of_the_user(umask: int, tmp_path: Path) -> None:
    before = os.umask(umask)
    try:
        files.write_text(tmp_path / "a.txt", "text")
        assert stat.S_IMODE((tmp_path / "a.txt").stat().st_mode) == 0o666 & ~umask
        assert os.umask(umask) == umask
    finally:
        os.umask(before)


def test_json_round_trip_and_its_errors(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    value = {"b": [1, None, "ü"], "a": {}}
    files.write_json(path, value)
    assert files.read_json(path) == value
    path.write_text('{"b": [1,')
    with pytest.raises(InputError, match=r"a\.json: is not valid JSON"):
        files.read_json(path)
    path.unlink()
    with pytest.raises(InputError, match=r"a\.json: cannot be read \(No such file"):
        files.read_json(path)


def test_digest_of_json_ignores_the_order_of_keys_alone() -> None:
    assert files.sha256_json({"a": 1, "b": 2}) == files.sha256_json({"b": 2, "a": 1})
    assert files.sha256_json([1, 2]) != files.sha256_json([2, 1])
