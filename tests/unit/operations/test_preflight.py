"""What `check` and `doctor` see of the data, before anything is spent."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from unit_helpers import GOOD, one_line

from pipeline_src.cli import main
from pipeline_src.config import check_study
from pipeline_src.errors import InputError
from pipeline_src.operations import preflight
from pipeline_src.running import gpus

pytest_plugins = ["shared_fixtures"]
Output = pytest.CaptureFixture[str]


def check(write_config: Any, study: dict[str, Any], *options: str) -> int:
    return main(["check", "--config", str(write_config(study)), *options])


def test_shows_what_was_recognised(
    nifti_study: dict[str, Any], write_config: Any, capsys: Output
) -> None:
    assert check(write_config, nifti_study) == 0
    said = capsys.readouterr().out
    assert "data set heads: 3 volumes of 3 patients; train 1, validation 1, test 1" in said
    assert said.count("such as patient") == 3
    assert "sub-a.nii" in said


@pytest.mark.parametrize(
    "split",
    [{"train": 40, "validation": 4, "test": 2}, {"folds": 1000, "validation": 1}],
    ids=["numbers", "folds"],
)
def test_a_split_of_too_few_phantoms_is_refused_by_a_plan_too(
    split: dict[str, Any], tiny_study: dict[str, Any]
) -> None:
    [(name, dataset)] = tiny_study["datasets"].items()
    dataset["split"] = split
    if "folds" in split:
        tiny_study |= {"repeat_over": ["seed", "split"], "seeds": [0, 1]}
    with pytest.raises(InputError, match=rf"data set {name}: split.* patients"):
        preflight.check_files(check_study(tiny_study))


@pytest.mark.parametrize(
    ("change", "fragment"),
    [
        ({"split": {"train": 40, "validation": 4, "test": 2}}, "only 3 are free"),
        ({"preparation": {"matrix": [9, 8]}}, "smaller than preparation.matrix"),
        (
            {"preparation": {"matrix": [8, 8], "slices": {"start": 5}}},
            "none of them in preparation.slices",
        ),
        ({"source": {"kind": "nifti", "path": "data", "pattern": "*.nosuch"}}, "no nifti volume"),
        ({"source": {"kind": "nifti", "path": "nosuch"}}, "does not exist"),
    ],
    ids=["too few patients", "slices too small", "slices beyond", "no hit", "wrong path"],
)
def test_data_that_does_not_fit_is_one_line(
    change: dict[str, Any],
    fragment: str,
    nifti_study: dict[str, Any],
    write_config: Any,
    capsys: Output,
) -> None:
    nifti_study["datasets"]["heads"] |= change
    assert check(write_config, nifti_study) == 2
    line = one_line(capsys.readouterr().err)
    assert fragment in line
    assert "--no-data" in line
    assert check(write_config, nifti_study, "--no-data") == 0


@pytest.fixture
def with_patients(
    nifti_study: dict[str, Any], tmp_path: Path, write_nifti: Any
) -> Callable[..., dict[str, Any]]:
    """The study with a volume of each patient, in a folder of that name, and of another."""

    def study(*patients: str) -> dict[str, Any]:
        shutil.rmtree(tmp_path / "data")
        for number, patient in enumerate((*patients, "other"), start=1):
            path = tmp_path / "data" / f"{patient}/scan.nii"
            path.parent.mkdir(parents=True)
            write_nifti(path, GOOD**number)
        nifti_study["datasets"]["heads"]["source"] = {
            "kind": "nifti",
            "path": "data",
            "pattern": "**/scan.nii",
            "patient_pattern": "^(.+)/scan",
        }
        return nifti_study

    return study


@pytest.mark.parametrize(
    "ids",
    [
        ("p1_v1", "p1_v2"),
        ("s-7/ses-a", "s-7/ses-b"),
        ("Anna", "anna"),
        ("007", "7"),
        ("p1/baseline", "p1/followup"),
        ("p1_20190101", "p1_20200203"),
        ("p1-pre", "p1-post"),
        ("day0/p1", "day30/p1"),
        ("P001a", "P001b"),
    ],
)
def test_ids_that_may_be_visits_are_pointed_out(
    ids: tuple[str, str], with_patients: Callable[..., dict[str, Any]], write_config: Any,
    capsys: Output,
) -> None:  # fmt: skip
    assert check(write_config, with_patients(*ids)) == 0
    said = capsys.readouterr().out
    assert "1 group of ids may be visits of one person" in said
    assert all(repr(patient) in said for patient in ids)


@pytest.mark.parametrize("ids", [("post", "pre"), ("KKI-01", "NYU-01"), ("a", "b"), ("Pre1", "1")])
def test_ids_that_no_visit_explains_are_not_pointed_out(
    ids: tuple[str, str], with_patients: Callable[..., dict[str, Any]], write_config: Any,
    capsys: Output,
) -> None:  # fmt: skip
    assert check(write_config, with_patients(*ids)) == 0
    assert "warning:" not in capsys.readouterr().out


def test_ids_of_different_people_are_not_pointed_out(
    nifti_study: dict[str, Any], write_config: Any, capsys: Output
) -> None:
    assert check(write_config, nifti_study) == 0
    assert "warning:" not in capsys.readouterr().out


def test_a_path_that_snakemake_takes_for_a_placeholder(
    nifti_study: dict[str, Any], write_config: Any, capsys: Output, tmp_path: Path
) -> None:
    data = tmp_path / "data"
    (data / "sub-a.nii").rename(data / "sub-{a}.nii")
    nifti_study["datasets"]["heads"]["source"]["patient_pattern"] = "sub-(.+)[.]nii"
    assert check(write_config, nifti_study) == 2
    assert "placeholder" in one_line(capsys.readouterr().err)


@pytest.mark.parametrize("kind", ["nifti", "acdc", "mrbrains", "authors_hdf5"])
def test_a_folder_that_is_not_there_is_told_from_the_root(
    kind: str, tiny_study: dict[str, Any], write_config: Any, capsys: Output, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    """So that it shows what a relative one was taken to be relative to."""
    monkeypatch.chdir(tmp_path)
    tiny_study |= {"data_root": "data"}
    tiny_study["datasets"]["heads"]["source"] = {"kind": kind, "path": "scans"}
    assert check(write_config, tiny_study) == 2
    assert f"data set heads: {tmp_path}/data/scans" in one_line(capsys.readouterr().err)
    study = check_study(tiny_study)
    with pytest.raises(InputError, match=f"^data set heads: {tmp_path}/data/scans does not exist"):
        preflight.refuse_missing_folders(study, ["heads"])
    (tmp_path / "data/scans").mkdir(parents=True)
    assert check(write_config, tiny_study) == 2
    assert f"data set heads: {tmp_path}/data/scans" in one_line(capsys.readouterr().err)


def test_masks_of_which_no_line_is_drawn_are_pointed_out(
    tiny_study: dict[str, Any], write_config: Any, capsys: Output, tmp_path: Path
) -> None:
    assert check(write_config, tiny_study) == 0
    assert "warning:" not in capsys.readouterr().out
    tiny_study |= {"accelerations": [2, 4], "sampling": {"center_lines": 4}}
    assert check(write_config, tiny_study) == 0
    said = capsys.readouterr().out
    assert said.count("warning:") == 1
    assert "warning: data set heads at 4x: sampling.center_lines takes all 4 lines" in said
    # A mask that is given is what it is.
    np.save(tmp_path / "mask.npy", np.isin(range(16), [0, 1, 8, 15]))
    tiny_study["datasets"]["heads"]["masks"] = {4: str(tmp_path / "mask.npy")}
    assert check(write_config, tiny_study) == 0
    assert "warning:" not in capsys.readouterr().out


def test_a_gpu_that_is_not_here(
    tiny_study: dict[str, Any], write_config: Any, capsys: Output, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "pipeline_src.operations.preflight.why_no_gpu", lambda: "this machine has no GPU"
    )
    tiny_study["training"] = {"device": "cuda"}
    assert check(write_config, tiny_study, "--no-data") == 2
    assert "--cluster" in one_line(capsys.readouterr().err)
    assert check(write_config, tiny_study, "--no-data", "--cluster") == 0


@pytest.fixture
def one_gpu_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine with the file of one GPU, which nothing hides."""
    (tmp_path / "dev").mkdir()
    (tmp_path / "dev" / "nvidia0").touch()
    monkeypatch.setattr("pipeline_src.operations.preflight.DEVICES", tmp_path / "dev")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0")


@pytest.mark.usefixtures("one_gpu_file")
def test_a_gpu_counts_where_torch_can_use_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = tmp_path / "torch"
    package.mkdir()
    (package / "__init__.py").touch()
    monkeypatch.setattr(
        gpus, "find_spec", lambda _name: SimpleNamespace(origin=package / "__init__.py")
    )
    version = package / "version.py"
    version.write_text("cuda: Optional[str] = '13.0'\nhip: Optional[str] = None\n")
    assert preflight.why_no_gpu() == ""
    version.write_text("cuda: Optional[str] = None\nhip: Optional[str] = None\n")
    assert "built for the CPU alone" in preflight.why_no_gpu()
    version.unlink()
    assert preflight.why_no_gpu() == ""


@pytest.mark.usefixtures("one_gpu_file")
@pytest.mark.parametrize("hidden", ["", "-1"])
def test_hidden_gpus_do_not_count(hidden: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", hidden)
    assert f"CUDA_VISIBLE_DEVICES={hidden} hides" in preflight.why_no_gpu()


@pytest.mark.usefixtures("one_gpu_file")
def test_the_file_torch_keeps_its_versions_in_is_read_as_torch_says() -> None:
    assert gpus.torch_knows_gpus() == bool(torch.version.cuda or torch.version.hip)
