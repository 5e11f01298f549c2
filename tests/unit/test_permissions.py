"""Files and folders without permission give one line that names them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from unit_helpers import GOOD, assert_refused, rewrite

from pipeline_src import files
from pipeline_src.cli import main
from pipeline_src.config.datasets import AcdcSource
from pipeline_src.data.data_files import matching
from pipeline_src.data.sources import list_volumes
from pipeline_src.errors import InputError

pytest_plugins = ["system_fixtures"]


@pytest.fixture
def open_study(open_folder: Path, tiny_study: dict[str, Any], write_nifti: Any) -> Path:
    """A configuration file in `open_folder`, on NIfTI and HDF5 files in its folder `data`."""
    for number, name in enumerate(("sub-a", "sub-b", "sub-c"), start=1):
        write_nifti(open_folder / f"data/{name}.nii", GOOD**number)
    names = ("train/acc_4x/1", "train/acc_4x/2", "validation/acc_4x/1")
    for number, name in enumerate(names, start=1):
        path = open_folder / f"data/{name}.h5"
        path.parent.mkdir(parents=True, exist_ok=True)
        rewrite(path, volfs=GOOD**number)
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


@pytest.mark.parametrize("forbidden", ["b", "a/deep"])
@pytest.mark.parametrize("pattern", ["*/*/*.nii", "**/*.nii"])
def test_a_folder_that_a_pattern_looks_into_is_named(
    pattern: str, forbidden: str, open_folder: Path
) -> None:
    """A glob would pass it over, and its patients with it."""
    for name in ("a/deep/1.nii", "b/deep/2.nii", "other/3.txt"):
        path = open_folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    assert len(matching(open_folder, pattern)) == 2
    (open_folder / forbidden).chmod(0)
    with pytest.raises(InputError) as caught:
        matching(open_folder, pattern)
    assert str(caught.value) == f"{open_folder / forbidden}: may not be read (no permission)"
    (open_folder / forbidden).chmod(0o755)


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
