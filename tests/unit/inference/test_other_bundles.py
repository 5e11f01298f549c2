"""Bundles and runtimes of networks of other kinds than DC-CNN, whose code they do not bring."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from inference_helpers import SIZE, Model, blobs
from training_helpers import prepared_data
from unit_helpers import one_line

from pipeline_src.cli import main
from pipeline_src.config.networks import OtherNetwork
from pipeline_src.data.store import write_store
from pipeline_src.inference.bundled import load
from pipeline_src.inference.onnx_export import why_not
from pipeline_src.models.base import REGISTERED
from pipeline_src.models.registry import make_network
from pipeline_src.sampling.data_fidelity import data_fidelity
from pipeline_src.sampling.masks import described_mask

pytestmark = pytest.mark.skipif(bool(why_not()), reason=why_not() or "ONNX can be written")
pytest.importorskip("onnxruntime")
Output = pytest.CaptureFixture[str]
UNETS = {"kind": "unet_cascade", "cascades": 2, "options": {"features": 2, "levels": 1}}
#: The author's own: of no blocks, with a branch that depends on the image where it is BRANCHING.
OWN = """
from torch import nn

from pipeline_src.models.base import ReconstructionNetwork, register_network


@register_network("own")
class Own(ReconstructionNetwork):
    def __init__(self, network, options):
        super().__init__(network)
        self.first, self.last = nn.Conv2d(1, 4, 3, padding=1), nn.Conv2d(4, 1, 3, padding=1)

    @classmethod
    def describe(cls, network, options):
        return "two convolutions"

    def forward(self, zero_filled, fidelity):
        if BRANCHING and zero_filled.max() > 2:
            return zero_filled
        return fidelity(self.last(self.first(zero_filled).relu()), zero_filled)
"""


def made(folder: Path, network: dict[str, object], lines: bool = True) -> Model:
    torch.manual_seed(0)
    samples = np.random.default_rng(0).random((SIZE, SIZE)) < 0.4
    if lines:
        samples[:] = samples[:, :1]
    mask = described_mask(samples, {"kind": "given", "acceleration": 3})
    described = OtherNetwork.model_validate(network)
    return Model(folder / "student", make_network(described).eval(), mask)


def bundle(model: Model, output: Path, *words: str) -> int:
    given = [str(model.folder), "--trained-mask", str(model.mask_path)]
    return main(["bundle", *given, "--output", str(output), *words])


@pytest.fixture
def own(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Model]:
    """A network of a module outside the package, which is not imported yet."""
    branching = getattr(request, "param", False)
    (tmp_path / "own_network.py").write_text(OWN.replace("BRANCHING", str(branching)))
    monkeypatch.syspath_prepend(tmp_path)
    model = made(tmp_path, {"kind": "own", "module": "own_network"})
    forget()
    yield model
    forget()


def forget() -> None:
    """As in a process that has not imported it."""
    REGISTERED.pop("own", None)
    sys.modules.pop("own_network", None)


@pytest.mark.parametrize("lines", [True, False], ids=["lines", "points"])
def test_a_bundle_of_another_kind_gives_what_the_network_gives(
    lines: bool, tmp_path: Path, capsys: Output
) -> None:
    model, folder = made(tmp_path, UNETS, lines), tmp_path / "bundle"
    assert bundle(model, folder) == 0
    capsys.readouterr()
    assert not (folder / "dccnn.py").exists()
    assert main(["bundle", "--check", str(folder)]) == 0
    said = capsys.readouterr().out
    assert "torch gives the expected image" in said
    assert "ONNX Runtime gives the expected image" in said

    network, image = load(folder), torch.rand(3, 1, SIZE, SIZE)
    zero_filled = network.undersample(image)
    fidelity = data_fidelity(model.mask)
    torch.testing.assert_close(zero_filled, fidelity.zero_filled(image), atol=1e-5, rtol=0)
    with torch.no_grad():
        expected = model.network(zero_filled, fidelity)
    torch.testing.assert_close(network(zero_filled), expected, atol=1e-5, rtol=0)

    np.save(tmp_path / "scan.npy", blobs(SIZE, SIZE, 2))
    words = ["reconstruct", "--model", str(folder), "--output", str(tmp_path / "out")]
    assert main([*words, str(tmp_path / "scan.npy")]) == 0


def test_the_code_on_its_card_runs_as_it_stands(tmp_path: Path, capsys: Output) -> None:
    folder = tmp_path / "bundle"
    assert bundle(made(tmp_path, UNETS), folder, "--licence", "MIT") == 0
    card = (folder / "README.md").read_text(encoding="utf-8")
    (code,) = re.findall(r"```python\n(.*?)```", card, re.DOTALL)
    assert "pipeline_src" not in code
    shown = code + "print(reconstruction.shape, np.isfinite(reconstruction).all())\n"
    done = subprocess.run(
        [sys.executable, "-c", shown], cwd=folder, capture_output=True, text=True, check=True
    )
    assert done.stdout == f"(1, 1, {SIZE}, {SIZE}) True\n"
    assert "dccnn" not in card
    assert "library_name: onnx" in card


def test_a_network_of_ones_own_is_run_once_its_module_is_imported(
    own: Model, tmp_path: Path, capsys: Output
) -> None:
    folder = tmp_path / "bundle"
    assert bundle(own, folder) == 2
    assert "give --import own_network" in one_line(capsys.readouterr().err)
    assert bundle(own, folder, "--import", "own_network") == 0
    capsys.readouterr()
    assert "`--import own_network`" in (folder / "README.md").read_text(encoding="utf-8")

    forget()
    assert main(["bundle", "--check", str(folder)]) == 0
    said = capsys.readouterr().out
    assert "torch not run: give --import own_network" in said
    assert "ONNX Runtime gives the expected image" in said
    assert main(["bundle", "--check", str(folder), "--import", "own_network"]) == 0
    assert "torch gives the expected image" in capsys.readouterr().out


def test_a_check_without_its_module_finds_another_image(
    own: Model, tmp_path: Path, capsys: Output, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "bundle"
    assert bundle(own, folder, "--import", "own_network") == 0
    forget()
    capsys.readouterr()
    monkeypatch.setattr(
        "pipeline_src.inference.bundle.run_onnx", lambda path, zero_filled: zero_filled
    )
    assert main(["bundle", "--check", str(folder)]) == 2
    assert "reconstruction by ONNX differs" in one_line(capsys.readouterr().err)


@pytest.mark.parametrize("own", [True], indirect=True)
def test_what_onnx_cannot_express_is_one_line_and_leaves_nothing(
    own: Model, tmp_path: Path, capsys: Output
) -> None:
    assert bundle(own, tmp_path / "bundle", "--import", "own_network") == 2
    assert "model.onnx: of kind own, not written: Could not" in one_line(capsys.readouterr().err)
    assert not (tmp_path / "bundle").exists()


def runtimes(model: Model, store: Path, table: Path, *names: str) -> int:
    words = ["runtimes", str(model.folder), "--trained-mask", str(model.mask_path)]
    words += ["--data", str(store), "--part", "validation", "--repeats", "2", "--threads", "1"]
    words += ["--import", "own_network", "--output", str(table)]
    return main([*words, "--runtimes", *names])


def test_runtimes_measure_a_network_of_ones_own(own: Model, tmp_path: Path) -> None:
    store, table = tmp_path / "volumes.h5", tmp_path / "runtimes.csv"
    write_store(store, prepared_data(SIZE), {"dataset": "tiny"})
    assert runtimes(own, store, table, "onnxruntime", "onnxruntime_int8") == 0
    found = pd.read_csv(table).set_index("runtime")
    assert list(found.index) == ["torch", "onnxruntime", "onnxruntime_int8"]
    assert abs(found.loc["onnxruntime", "psnr_db_difference"]) < 1e-3
    assert (found["memory_mib"].dropna() > 0).all()


def test_compiled_convolutions_are_refused(own: Model, tmp_path: Path, capsys: Output) -> None:
    np.save(tmp_path / "scan.npy", blobs(SIZE, SIZE, 2))
    words = ["--import", "own_network", "--convolutions", "compiled"]
    assert own.reconstruct(tmp_path / "out", tmp_path / "scan.npy", *words) == 2
    assert "those of DC-CNN" in one_line(capsys.readouterr().err)
    store = tmp_path / "volumes.h5"
    write_store(store, prepared_data(SIZE), {"dataset": "tiny"})
    assert runtimes(own, store, tmp_path / "t.csv", "compiled") == 2
    assert "runtime compiled: own: " in one_line(capsys.readouterr().err)
