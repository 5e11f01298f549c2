"""Each command writes the manifest of what it made."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from pipeline_src.cli import main
from pipeline_src.files import sha256_file
from pipeline_src.planning.step_code import PACKAGE, digests

pytest_plugins = ["shared_fixtures"]


def test_every_command_writes_the_manifest_of_what_it_made(
    nifti_study: dict[str, Any],
    write_config: Any,
    tmp_path: Path,
    project_root: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    network = {"depth": 2, "cascades": 2, "features": 2}
    nifti_study |= {"networks": {"teacher": network, "student": network}}
    config = f"--config {write_config(nifti_study)}"
    store, mask, model = (tmp_path / "out" / name for name in ("volumes.h5", "mask.npz", "student"))
    setting = "--dataset heads --acceleration 4x"
    files, zero = f"--data {store} --mask {mask}", tmp_path / "out" / "zero_filled"
    tables, figures = tmp_path / "out" / "tables", tmp_path / "out" / "figures"
    paper = project_root / "config" / "paper_results.csv"
    metrics = [model / "volumes.csv", zero / "volumes.csv"]
    for command in (
        f"prepare {config} --dataset heads --output {store}",
        f"mask {config} {setting} --output {mask}",
        f"train {config} {setting} {files} --model student --seed 3 --output {model}",
        f"evaluate {model} --zero-filled {zero} {setting} {files} --part test",
        f"tables {metrics[0]} {metrics[1]} --paper {paper} --output {tables}",
        f"figure mask {mask} --output {figures / 'mask.png'}",
        f"figure curves {model / 'manifest.json'} --output {figures / 'curves.png'}",
    ):
        assert main(command.split()) == 0, capsys.readouterr().err

    scans = {f"volumes/{k}": tmp_path / "data" / f"sub-{p}.nii" for k, p in enumerate("abc")}
    run = {"shown/0": model / "manifest.json"}
    used, weights = {"store": store, "mask": mask}, {"weights": model / "weights.safetensors"}
    measured = ["volumes.csv", "slices.csv", "panel.npz"]
    of_student = {"model": "student", "training": "standard", "seed": 3, "part": "test"}
    of_zero = {"model": "zero_filled", "training": "none", "seed": "", "part": "test"}
    read = {"metrics/0": metrics[0], "metrics/1": metrics[1], "paper": paper}
    trained = ["history_reconstruction.csv", "weights.safetensors"]
    written = [path.name for path in tables.iterdir() if path.suffix != ".json"]
    expected: dict[Path, tuple[str, dict[str, Path], list[str], dict[str, Any]]] = {
        store.with_suffix(".manifest.json"): ("prepare", scans, [store.name], {"dataset": "heads"}),
        mask.with_suffix(".manifest.json"): ("mask", {}, [mask.name], {"acceleration": "4x"}),
        model / "manifest.json": ("train", used, trained, {"acceleration": "4x"}),
        model / "volumes.manifest.json": ("evaluate", used | weights, measured, of_student),
        zero / "volumes.manifest.json": ("evaluate", used, measured, of_zero),
        tables / "main.manifest.json": ("tables", read, written, {"study": None}),
        figures / "mask.manifest.json": ("figure", {"shown/0": mask}, ["mask.png", "mask.pdf"], {}),
        figures / "curves.manifest.json": ("figure", run, ["curves.png", "curves.pdf"], {}),
    }
    assert set((tmp_path / "out").rglob("*manifest.json")) == set(expected)
    for path, (command, inputs, outputs, facts) in expected.items():
        content = json.loads(path.read_text(encoding="utf-8"))
        assert content["command"] == command
        found = {
            role: ((path.parent / given["path"]).resolve(), given["sha256"])
            for role, given in content["inputs"].items()
        }
        assert found == {role: (file, sha256_file(file)) for role, file in inputs.items()}
        assert content["outputs"] == {name: sha256_file(path.parent / name) for name in outputs}
        assert facts.items() <= content.items()
        sources = [PACKAGE / name for name in content["code"]]
        assert content["code"] == digests(sources) != {}
        assert content["runs"][0]["seconds"] >= 0
        assert content["made_by"]["packages"]["torch"]

    capsys.readouterr()
    assert main(["provenance", str(tables / "main.md")]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [sum(f"sub-{p}.nii" in line for line in lines) for p in "abc"] == [1, 1, 1]
