"""Bundles and trainings of strangers: a line, no hang, no crash, and a card that stays text."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import h5py
import pytest
import torch
from inference_helpers import SIZE, trained
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from test_bundle import bundle as bundle
from test_bundle import sign
from unit_helpers import one_line

from pipeline_src import inference
from pipeline_src.cli import main
from pipeline_src.errors import InputError
from pipeline_src.files import sha256_file
from pipeline_src.inference.card import write_card
from pipeline_src.inference.masks import redrawn
from pipeline_src.inference.trained import load_trained

Output = pytest.CaptureFixture[str]


def tell(folder: Path, **values: Any) -> None:
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | values))
    sign(folder)


@pytest.mark.parametrize("threads", [10**6, 10**30])
def test_threads_that_no_machine_has(threads: int, bundle: Path, capsys: Output) -> None:
    """So many end the process (SIGSEGV)."""
    tell(bundle, threads=threads)
    assert main(["bundle", "--check", str(bundle)]) == 2
    assert "threads" in one_line(capsys.readouterr().err)


@pytest.mark.parametrize("name", ["config.json", "mask.safetensors", "model.safetensors"])
def test_a_pipe_is_not_waited_for(name: str, bundle: Path) -> None:
    (bundle / name).unlink()
    os.mkfifo(bundle / name)
    with pytest.raises(ValueError, match=f"{name}: .*no regular file"):
        inference.load(bundle)


def test_weights_of_eight_bits_are_read(bundle: Path) -> None:
    with safe_open(bundle / "model.safetensors", "pt") as file:
        told = file.metadata()
    small = {
        name: value.to(torch.float8_e4m3fn)
        for name, value in load_file(bundle / "model.safetensors").items()
    }
    save_file(small, bundle / "model.safetensors", told)
    sign(bundle)
    assert inference.load(bundle)(torch.rand(1, 1, SIZE, SIZE)).isfinite().all()


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float8_e4m3fn])
@pytest.mark.parametrize("name", ["mask", "sample"])
def test_numbers_that_numpy_does_not_have(
    name: str, dtype: torch.dtype, bundle: Path, capsys: Output
) -> None:
    path = bundle / f"{name}.safetensors"
    save_file(load_file(path) | {"more": torch.zeros(2).to(dtype)}, path)
    sign(bundle)
    assert main(["bundle", "--check", str(bundle)]) == 2
    assert f"{name}.safetensors: is damaged" in one_line(capsys.readouterr().err)


def test_a_card_stays_text(bundle: Path) -> None:
    tag = "<img src=x onerror=alert(1)>"
    tell(bundle, dataset=f"`{tag}", model=tag, acceleration=f"4x\n# {tag}", origin={"kind": tag})
    card = write_card(load_trained(bundle), {}, "MIT", onnx=False)
    shown = card.replace(f"`'{tag}`", "")  # within backquotes it is text
    assert "<img" not in shown
    assert card.count("\n# ") == 1


@pytest.mark.parametrize(
    "description",
    ["[1]", '{"source": "x"}', '{"source": {"slice_axis": 7}}', "[" * 100_000],
)
def test_a_store_that_tells_nonsense_tells_nothing(description: str, tmp_path: Path) -> None:
    model = trained(tmp_path)
    with h5py.File(tmp_path / "volumes.h5", "w") as file:
        file.attrs["description"] = description
    given = {
        n: {"path": f"../{n}", "sha256": sha256_file(tmp_path / n)}
        for n in ("mask.npz", "volumes.h5")
    }
    told = {
        "command": "train",
        "settings": {"model": "student", "seed": 0, "training": {"threads": 1}},
        "inputs": {"mask": given["mask.npz"], "store": given["volumes.h5"]},
    }
    (model.folder / "manifest.json").write_text(json.dumps(told))
    assert load_trained(model.folder).config.origin.kind == ""
    told["settings"] = {"model": "student", "seed": 0, "training": {"threads": 10**7}}
    (model.folder / "manifest.json").write_text(json.dumps(told))
    with pytest.raises(InputError, match="10000000 threads"):
        load_trained(model.folder)


@pytest.mark.parametrize(
    ("told", "said"),
    [
        ({"matrix": [5000, 11]}, "matrix.0"),
        ({"model": "A " * 15_000}, "model"),
        ({"dataset": "A " * 15_000}, "dataset"),
    ],
)
def test_sizes_and_names_are_bounded(
    told: dict[str, Any], said: str, bundle: Path, capsys: Output
) -> None:
    tell(bundle, **told)
    assert main(["bundle", "--check", str(bundle)]) == 2
    assert said in one_line(capsys.readouterr().err)


@pytest.mark.parametrize(
    "told", [{"acceleration": 0}, {"acceleration": "x"}, {"seed": -1}, {"center_lines": 0.5}]
)
def test_a_mask_is_not_drawn_by_nonsense(told: dict[str, Any], tmp_path: Path) -> None:
    model = trained(tmp_path)
    found = load_trained(model.folder, model.mask_path)
    found.mask.description.update(told)
    with pytest.raises(InputError, match=next(iter(told))):
        redrawn(found, (24, 24), "scan.npy")
