"""The workflow as a module of another one, in a folder that holds nothing of this project."""

from __future__ import annotations

import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest
import yaml
from conftest import PROJECT, Checkout
from snakemake_study import BASE

OUTER = """\
configfile: "config/config.yaml"


rule all:
    input:
        "summary.txt",


# Stands for a workflow that converts a scanner's files.
rule convert:
    output:
        directory("nifti"),
    shell:
        "python draw.py {output}"


module sft:
    snakefile:
        "SNAKEFILE"
    config:
        config["sft"]


use rule * from sft as sft_*


rule summary:
    input:
        "results/outer/tables/main.csv",
    output:
        "summary.txt",
    shell:
        "cp {input} {output}"
"""
DRAW = """\
import sys
from pathlib import Path

import nibabel
import numpy as np

for n in range(4):
    path = Path(sys.argv[1], f"sub-{n}", "anat.nii.gz")
    path.parent.mkdir(parents=True)
    image = np.random.default_rng(n).random((32, 32, 2)).astype(np.float32)
    nibabel.save(nibabel.Nifti1Image(image, np.eye(4)), path)
"""
SOURCE = {
    "kind": "nifti",
    "path": "nifti",
    "pattern": "sub-*/*.nii.gz",
    "patient_pattern": "sub-([0-9]+)",
}


@pytest.fixture
def outer(tmp_path: Path) -> Checkout:
    """A folder with a Snakefile, a script and a configuration."""
    study = yaml.safe_load(BASE) | {
        "study": "outer",
        "methods": {"at": {}},
        "training": {"epochs": 1, "threads": 1, "device": "cpu"},
        "evaluation": {"panel_methods": ["at"]},
    }
    study["datasets"]["heart"]["source"] = SOURCE
    (tmp_path / "config").mkdir()
    (tmp_path / "config/config.yaml").write_text(yaml.safe_dump({"sft": study}))
    (tmp_path / "draw.py").write_text(DRAW)
    write_snakefile(tmp_path)
    # Its steps find the package by the workflow alone.
    return Checkout(tmp_path, environment={"PYTHONPATH": ""})


def write_snakefile(folder: Path, old: str = "", new: str = "") -> None:
    text = OUTER.replace("SNAKEFILE", str(PROJECT / "Snakefile")).replace(old, new)
    (folder / "Snakefile").write_text(text)


def test_another_workflow_makes_the_data_and_takes_the_tables(outer: Checkout) -> None:
    looked = outer.snakemake("-n", "--cores", "2")
    assert looked.returncode == 0, looked.stderr
    assert not (outer.root / "results").exists()

    done = outer.snakemake("--cores", "2")
    assert done.returncode == 0, done.stdout + done.stderr
    table = pd.read_csv(outer.root / "summary.txt")
    assert set(table["dataset"]) == {"heart"}
    assert {"teacher", "student", "at"} < set(table["model"])
    # Nothing of the demo is mixed in.
    frozen = yaml.safe_load((outer.root / "results/outer/config.yaml").read_text())
    assert list(frozen["datasets"]) == ["heart"]
    assert [p.name for p in (outer.root / "results").iterdir()] == ["outer"]

    again = outer.snakemake("-n", "--cores", "2")
    assert "Nothing to be done" in again.stdout + again.stderr
    every = outer.snakemake("-n", "--cores", "2", "sft_all")
    assert "sft_study_report" in every.stdout + every.stderr


@pytest.mark.parametrize(
    ("old", "new", "line"),
    [
        ('    config:\n        config["sft"]\n', "", "module: is given no configuration; write"),
        (
            '    config:\n        config["sft"]\n',
            '    config:\n        config["sft"]\n    prefix:\n        "sft"\n',
            "module: takes no prefix or replace_prefix",
        ),
        ('config["sft"]', "{**config['sft'], 'seed': 3}", "config of the module: seed: "),
    ],
)
def test_what_a_module_cannot_do_is_one_line(
    outer: Checkout, old: str, new: str, line: str
) -> None:
    write_snakefile(outer.root, old, new)
    done = outer.snakemake("-n", "--cores", "2")
    assert done.returncode == 1
    [told] = [x for x in done.stderr.splitlines() if x.startswith("error: ")]
    assert line in told
    assert "Traceback" not in done.stderr


@pytest.mark.skipif(shutil.which("git") is None, reason="git is not installed")
def test_the_workflow_is_read_from_a_repository(outer: Checkout, tmp_path: Path) -> None:
    """As snakedeploy writes it, with the package that is installed."""
    repository = tmp_path / "repository"
    shutil.copytree(PROJECT / "workflow", repository / "workflow")
    for name in ("environment.yaml", "pipeline_src/reporting/captions"):
        copy = shutil.copytree if (PROJECT / name).is_dir() else shutil.copy
        (repository / name).parent.mkdir(parents=True, exist_ok=True)
        copy(PROJECT / name, repository / name)
    git = ["git", "-C", str(repository), "-c", "user.name=a", "-c", "user.email=a@example.org"]
    for words in (["init", "-q"], ["add", "."], ["commit", "-qm", "a"], ["tag", "v1"]):
        subprocess.run([*git, *words], check=True)
    source = f'gitfile("{repository}", path="workflow/Snakefile", tag="v1")'
    write_snakefile(outer.root, f'"{PROJECT / "Snakefile"}"', source)
    installed = replace(outer, environment={"PYTHONPATH": str(PROJECT)})
    # Files of the repository are kept in the user's cache.
    cache = ("--runtime-source-cache-path", str(tmp_path / "cache"))
    looked = installed.snakemake("-n", "--cores", "2", *cache, "sft_all")
    assert looked.returncode == 0, looked.stdout + looked.stderr
    assert "sft_study_report" in looked.stdout + looked.stderr
