"""Files that are there by name only, are hidden, or lie there twice, in every kind of source."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from pipeline_src.config.datasets import Dataset
from pipeline_src.data.inspection import inspect_dataset
from pipeline_src.data.preparation import prepare
from pipeline_src.data.sources import list_volumes
from pipeline_src.errors import InputError

NUMBERS = ["1", "2", "3", "4", "5"]
AUTHORS = [f"train/acc_4x/{n}" for n in "123"] + [f"validation/acc_4x/{n}" for n in "12"]
# Options of the source, and a file of each patient.
KINDS: dict[str, tuple[dict[str, Any], str, list[str]]] = {
    "nifti": ({}, "sub-{}/anat/sub-{}_T1w.nii.gz", NUMBERS),
    "nifti, no wildcard": ({"pattern": "sub-*/anat/T1.nii.gz"}, "sub-{}/anat/T1.nii.gz", NUMBERS),
    "acdc": ({"frames": ["ED"]}, "training/patient{}/patient{}_frame01.nii.gz", NUMBERS),
    "mrbrains": ({}, "training/{}/pre/reg_T1.nii.gz", NUMBERS),
    "authors_hdf5": ({}, "{}.h5", AUTHORS),
}


def dataset_of(kind: str, **options: Any) -> Dataset:
    source = {"kind": kind.split(",")[0], "path": "data", **KINDS[kind][0], **options}
    return Dataset.model_validate(
        {
            "source": source,
            "preparation": {"matrix": [4, 4]},
            "split": {"train": 3, "validation": 1, "test": 1},
        }
    )


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def files(kind: str, tmp_path: Path, write_nifti: Any) -> list[Path]:
    """A good file for each of five patients, in the folder `data`."""
    made = []
    for number, patient in enumerate(KINDS[kind][2], start=1):
        path = tmp_path / "data" / KINDS[kind][1].replace("{}", patient)
        image = np.full((5, 5, 3), number, np.float32)
        path.parent.mkdir(parents=True, exist_ok=True)
        if kind == "authors_hdf5":
            with h5py.File(path, "w") as file:
                file["volfs"] = image
        else:
            write_nifti(path, image)
            if kind == "acdc":
                write_nifti(path.with_name(path.name.replace("01", "09")), image + 10)
        made.append(path)
    return made


@pytest.fixture(params=[inspect_dataset, prepare])
def look(request: pytest.FixtureRequest) -> Callable[[Dataset, Path], Any]:
    """What reads a data set: both use the same checks."""
    function: Callable[[Dataset, Path], Any] = request.param
    return function


def broken_link(path: Path) -> None:
    path.symlink_to(path.with_name("moved away"))


def annexed_link(path: Path) -> None:
    path.symlink_to("../../.git/annex/objects/0q/ZZ/MD5E-s9--abc.nii.gz/MD5E-s9--abc.nii.gz")


def annex_pointer(path: Path) -> None:
    path.write_text("/annex/objects/MD5E-s9--abc.nii.gz\n")


def lfs_pointer(path: Path) -> None:
    path.write_text(
        "version https://git-lfs.github.com/spec/v1\n"
        "oid sha256:4d7a214614ab2935c943f9e0ff69d22eadbb8f32b1258daaa5e2ca24d17e2393\nsize 12345\n"
    )


@pytest.mark.parametrize(
    ("leave", "said"),
    [
        (broken_link, "is a link to nowhere"),
        (annexed_link, "`datalad get` or `git annex get`"),
        (annex_pointer, "`datalad get` or `git annex get`"),
        (lfs_pointer, "`git lfs pull`"),
        (lambda path: path.touch(), "is empty (0 bytes)"),
    ],
    ids=["broken link", "annexed link", "annex pointer", "LFS pointer", "empty"],
)
def test_files_without_their_content_are_named_with_what_gets_it(
    leave: Callable[[Path], None],
    said: str,
    kind: str,
    files: list[Path],
    look: Callable[[Dataset, Path], Any],
    tmp_path: Path,
) -> None:
    look(dataset_of(kind), tmp_path)
    for path in files[:4]:
        path.unlink()
        leave(path)
    with pytest.raises(InputError) as caught:
        look(dataset_of(kind), tmp_path)
    line = str(caught.value)
    assert said in line
    assert "of 4 such files" in line
    assert sum(str(path) in line for path in files) == 3
    assert "leave their patients out of the split" in line


def test_patients_without_content_may_be_left_out_of_the_split(
    kind: str, files: list[Path], tmp_path: Path
) -> None:
    dataset = dataset_of(kind)
    patients = [v.patient for v in list_volumes(dataset.source, tmp_path) if v.path != files[0]]
    files[0].unlink()
    annexed_link(files[0])
    lists = {"train": patients[:2], "validation": [patients[2]], "test": [patients[3]]}
    split = dataset.split.model_validate(lists)
    assert len(prepare(dataset.model_copy(update={"split": split}), tmp_path).volumes) == 4


@pytest.mark.parametrize(
    "ending", [".part", ".crdownload", ".PARTIAL", ".aria2", ".tmp", ".opdownload", ".!qB"]
)
def test_unfinished_download_is_named(
    ending: str,
    kind: str,
    files: list[Path],
    look: Callable[[Dataset, Path], Any],
    tmp_path: Path,
) -> None:
    if kind == "mrbrains":
        ending = ending.lower()
    unfinished = files[2].rename(files[2].with_name(files[2].name + ending))
    with pytest.raises(InputError, match="is still being downloaded; wait") as caught:
        look(dataset_of(kind), tmp_path)
    assert str(unfinished) in str(caught.value)


@pytest.mark.parametrize("kind", ["nifti", "nifti, no wildcard"], indirect=True)
def test_download_that_has_no_name_yet_is_named(
    kind: str, files: list[Path], look: Callable[[Dataset, Path], Any], tmp_path: Path
) -> None:
    unfinished = files[2].with_name("Unconfirmed 4711.crdownload")
    unfinished.touch()
    with pytest.raises(InputError, match="is still being downloaded; wait") as caught:
        look(dataset_of(kind), tmp_path)
    assert str(unfinished) in str(caught.value)


@pytest.mark.parametrize("kind", ["nifti", "nifti, no wildcard", "authors_hdf5"], indirect=True)
def test_file_of_which_there_is_the_note_of_dvc_alone(
    kind: str, files: list[Path], look: Callable[[Dataset, Path], Any], tmp_path: Path
) -> None:
    for path in files:
        path.with_name(f"{path.name}.dvc").write_text("outs: []\n")
    look(dataset_of(kind), tmp_path)
    files[2].unlink()
    with pytest.raises(InputError, match="use `dvc pull`") as caught:
        look(dataset_of(kind), tmp_path)
    assert str(files[2]) in str(caught.value)


def test_control_file_beside_a_file_tells_that_it_is_unfinished(
    kind: str, files: list[Path], tmp_path: Path
) -> None:
    files[2].with_name(f"{files[2].name}.aria2").touch()
    with pytest.raises(InputError, match="is still being downloaded"):
        inspect_dataset(dataset_of(kind), tmp_path)


def test_hidden_and_system_files_are_not_looked_at(
    kind: str, files: list[Path], tmp_path: Path
) -> None:
    before = prepare(dataset_of(kind), tmp_path)
    for path in list(files):
        path.with_name(f"._{path.name}").write_bytes(b"Mac OS X")
        path.with_name("Thumbs.db").touch()
    root = files[0].relative_to(tmp_path / "data").parts
    depth = {"acdc": 1, "mrbrains": 1, "authors_hdf5": 2}.get(kind, 0)
    beside = (tmp_path / "data").joinpath(*root[:depth])
    names = ("__MACOSX", "lost+found", "$RECYCLE.BIN", "#recycle", "#snapshot", "@Recycle")
    for name in (".sub-9", "@eaDir", *names):
        for path in files[:2]:
            copy = beside / name / Path(*root[depth:])
            copy.parent.mkdir(parents=True, exist_ok=True)
            copy.write_bytes(path.read_bytes())
    after = prepare(dataset_of(kind), tmp_path)
    assert after.volumes == before.volumes
    assert after.dropped == before.dropped


@pytest.mark.parametrize("kind", ["nifti", "acdc", "mrbrains"], indirect=True)
def test_volume_with_two_suffixes_is_refused(
    kind: str, files: list[Path], look: Callable[[Dataset, Path], Any], tmp_path: Path
) -> None:
    files[2].with_suffix("").write_bytes(b"another")
    with pytest.raises(InputError) as caught:
        look(dataset_of(kind), tmp_path)
    assert files[2].name in str(caught.value)
    assert f"{files[2].with_suffix('').name} " in str(caught.value)


@pytest.mark.parametrize("kind", ["acdc"], indirect=True)
def test_acdc_file_in_another_patients_folder_is_refused(
    kind: str, files: list[Path], tmp_path: Path
) -> None:
    moved = files[2].parent / files[1].name
    moved.write_bytes(files[1].read_bytes())
    with pytest.raises(InputError, match="is named after another patient than its folder") as e:
        inspect_dataset(dataset_of(kind), tmp_path)
    assert str(moved) in str(e.value)


@pytest.mark.parametrize("kind", ["acdc"], indirect=True)
def test_acdc_info_that_is_not_fetched_is_not_guessed(
    kind: str, files: list[Path], tmp_path: Path
) -> None:
    annexed_link(files[0].with_name("Info.cfg"))
    with pytest.raises(InputError, match=r"Info\.cfg: its content is not fetched"):
        inspect_dataset(dataset_of(kind), tmp_path)


@pytest.mark.parametrize("kind", ["acdc"], indirect=True)
def test_acdc_partition_that_is_a_broken_link_is_named(
    kind: str, files: list[Path], tmp_path: Path
) -> None:
    del files
    broken_link(tmp_path / "data/testing")
    with pytest.raises(InputError, match="testing: the partition does not exist"):
        inspect_dataset(dataset_of(kind), tmp_path)
