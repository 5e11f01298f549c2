"""Weights are not used with code of their network that has changed since they were trained."""

from __future__ import annotations

import json
import sys
from argparse import Namespace
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from inference_helpers import SIZE, Model, blobs
from training_helpers import prepared_data
from unit_helpers import one_line

from pipeline_src.cli import main
from pipeline_src.commands.train import refuse_other_weights
from pipeline_src.config.networks import OtherNetwork
from pipeline_src.data.store import write_store
from pipeline_src.errors import InputError
from pipeline_src.files import sha256_file
from pipeline_src.inference.bundle import write_bundle
from pipeline_src.inference.bundled import load
from pipeline_src.inference.onnx_export import why_not
from pipeline_src.inference.trained import load_trained
from pipeline_src.models.base import REGISTERED
from pipeline_src.models.registry import import_modules, make_network
from pipeline_src.modules import PACKAGE, locate
from pipeline_src.planning import step_code
from pipeline_src.sampling.masks import described_mask

Output = pytest.CaptureFixture[str]
exports = pytest.mark.skipif(bool(why_not()), reason=why_not() or "ONNX can be written")
OWN = '''
"""A network."""
from torch import nn

from my_act.act import act
from pipeline_src.models.base import ReconstructionNetwork, register_network


@register_network("altered")
class Altered(ReconstructionNetwork):
    def __init__(self, network, options):
        super().__init__(network)
        self.last = nn.Conv2d(1, 1, 3, padding=1)

    @classmethod
    def describe(cls, network, options):
        return "a convolution"

    def forward(self, zero_filled, fidelity):
        return fidelity(act(self.last(zero_filled)), zero_filled)
'''
OTHER_ACT = "def act(x):\n    return x / 2\n"
IMPORT = ("--import", "my_altered.net")
SETTING = ("--dataset", "d", "--acceleration", "4x", "--part", "validation")


def forget() -> None:
    """As in a process that has not imported it."""
    REGISTERED.pop("altered", None)
    for name in [n for n in sys.modules if n.partition(".")[0] in ("my_altered", "my_act")]:
        del sys.modules[name]
    for found in (locate, step_code.sources, step_code._imports, step_code._is_ours):
        found.cache_clear()


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Model]:
    """A network of a module with a helper, both outside the package, and its training's folder."""
    for name, text in (("my_altered/net.py", OWN), ("my_act/act.py", "act = abs\n")):
        (tmp_path / name).parent.mkdir()
        (tmp_path / name).with_name("__init__.py").touch()
        (tmp_path / name).write_text(text)
    monkeypatch.syspath_prepend(tmp_path)
    # What is written within the same second is imported anew too.
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    forget()
    import_modules(["my_altered.net"])
    yield trained(tmp_path, OtherNetwork(kind="altered", module="my_altered.net"))
    forget()


def trained(folder: Path, network: OtherNetwork) -> Model:
    """With a manifest as of a training, as far as it tells of code."""
    torch.manual_seed(0)
    samples = np.random.default_rng(0).random((SIZE, 1)) < 0.4
    mask = described_mask(np.repeat(samples, SIZE, 1), {"kind": "given", "acceleration": 3})
    model = Model(folder / "student", make_network(network).eval(), mask)
    files = step_code.sources("training.stages", network.import_path)
    manifest = {
        "outputs": {"weights.safetensors": sha256_file(model.folder / "weights.safetensors")},
        "settings": {"model": "student", "seed": 0, "training": {"threads": 1}},
        "code": step_code.digests(files),
    }
    (model.folder / "manifest.json").write_text(json.dumps(manifest))
    return model


def change(folder: Path, name: str = "my_act/act.py", text: str = OTHER_ACT) -> None:
    """Another helper, or another file, in what is a new process to the project."""
    (folder / name).write_text(text)
    forget()


def words(command: str, model: Model, folder: Path) -> list[str]:
    """A command that uses the weights."""
    weights, store, mask = (
        str(p) for p in (model.folder / "weights.safetensors", folder / "v.h5", model.mask_path)
    )
    (first, *more) = {
        "bundle": ["bundle", str(model.folder), "--trained-mask", mask],
        "reconstruct": ["reconstruct", *model.given, str(folder / "a.npy")],
        "evaluate": ["evaluate", str(model.folder), "--data", store, "--mask", mask, *SETTING],
        "robustness": [
            *("robustness", str(model.folder), "--data", store, "--mask", mask, *SETTING),
            *("--shift", "seed_1", "--center-lines", "1"),
        ],
        "calibrate": ["calibrate", str(model.folder), "--trained-mask", mask, "--data", store],
        "runtimes": [
            *("runtimes", str(model.folder), "--trained-mask", mask, "--data", store),
            *("--part", "validation", "--runtimes", "onnxruntime"),
        ],
        "cost": [
            *("cost", "--teacher", weights, "--student", weights, "--data", store, "--mask", mask),
        ],
    }[command]
    ends = {"robustness": ".csv", "runtimes": ".csv", "cost": ".csv", "calibrate": ".json"}
    return [first, *more, *IMPORT, "--output", str(folder / f"made{ends.get(command, '')}")]


@pytest.mark.parametrize(
    "command",
    ["bundle", "reconstruct", "evaluate", "robustness", "calibrate", "runtimes", "cost"],
)
def test_weights_of_other_code_are_refused(
    command: str, own: Model, tmp_path: Path, capsys: Output
) -> None:
    write_store(tmp_path / "v.h5", prepared_data(SIZE), {"dataset": "d"})
    np.save(tmp_path / "a.npy", blobs(SIZE, SIZE, 1))
    change(tmp_path)
    assert main(words(command, own, tmp_path)) == 2
    said = one_line(capsys.readouterr().err)
    assert f"{tmp_path / 'my_act/act.py'}: has changed since {own.folder}" in said
    assert "train again, or put the file of then back" in said
    assert not list(tmp_path.glob("made*"))


def test_a_teacher_of_other_code_teaches_nobody(own: Model, tmp_path: Path) -> None:
    weights = own.folder / "weights.safetensors"
    asked = Namespace(model="std_kd_at", seed=0, dataset="d", acceleration="4x")
    refuse_other_weights(weights, "student", weights.name, asked)
    change(tmp_path)
    import_modules(["my_altered.net"])
    with pytest.raises(InputError, match="has changed since"):
        refuse_other_weights(weights, "student", weights.name, asked)


def test_a_comment_an_older_manifest_and_the_file_of_then_are_no_fault(
    own: Model, tmp_path: Path
) -> None:
    np.save(tmp_path / "a.npy", blobs(SIZE, SIZE, 1))
    change(tmp_path, "my_altered/net.py", OWN.replace("A network.", "Another text.") + "# so\n")
    assert main(words("reconstruct", own, tmp_path)) == 0
    change(tmp_path)
    assert main(words("reconstruct", own, tmp_path)) == 2
    change(tmp_path, text="act = abs\n")
    assert main(words("reconstruct", own, tmp_path)) == 0
    change(tmp_path)
    place = own.folder / "manifest.json"
    told = json.loads(place.read_text())
    place.write_text(json.dumps(told | {"code": {"net.py": "0" * 64, "training/stages.py": "1"}}))
    assert main(words("reconstruct", own, tmp_path)) == 0


def test_a_kind_of_this_package_is_held_to_its_own_file_alone(
    tmp_path: Path, capsys: Output
) -> None:
    options = {"features": 2, "levels": 1}
    model = trained(tmp_path, OtherNetwork(kind="unet_cascade", cascades=1, options=options))
    np.save(tmp_path / "a.npy", blobs(SIZE, SIZE, 1))
    place = model.folder / "manifest.json"
    told = json.loads(place.read_text())
    kind = "models/kinds/unet_cascade.py"
    for name, status in (("models/base.py", 0), (kind, 2)):
        place.write_text(json.dumps(told | {"code": told["code"] | {name: "0" * 64}}))
        given = [*model.given, "--output", str(tmp_path / "out"), str(tmp_path / "a.npy")]
        capsys.readouterr()
        assert main(["reconstruct", *given]) == status
    assert f"{PACKAGE / kind}: has changed since" in one_line(capsys.readouterr().err)


def test_a_result_of_other_code_is_made_again(own: Model, tmp_path: Path, capsys: Output) -> None:
    """Of weights from elsewhere, of whose training nothing is known."""
    (own.folder / "manifest.json").unlink()
    np.save(tmp_path / "a.npy", blobs(SIZE, SIZE, 1))
    for text, said in (("act = abs\n", "1 reconstructed"), ("act = abs\n", "1 existed already")):
        change(tmp_path, text=text)
        assert main(words("reconstruct", own, tmp_path)) == 0
        assert said in capsys.readouterr().out
    first = np.load(tmp_path / "made/a.npy")
    change(tmp_path)
    assert main(words("reconstruct", own, tmp_path)) == 0
    assert "1 reconstructed" in capsys.readouterr().out
    assert not np.array_equal(np.load(tmp_path / "made/a.npy"), first)


@exports
def test_a_bundle_is_not_run_by_other_code_than_it_was_made_with(
    own: Model, tmp_path: Path, capsys: Output
) -> None:
    folder = tmp_path / "b"
    write_bundle(load_trained(own.folder, own.mask_path), folder)
    text = (folder / "config.json").read_text()
    names = ["../my_act/__init__.py", "../my_act/act.py", "../my_altered/net.py"]
    assert set(names[1:]) <= set(json.loads(text)["code"]) <= {*names, "../my_altered/__init__.py"}
    assert str(tmp_path) not in text
    load(folder)

    change(tmp_path)
    assert main(["bundle", "--check", str(folder), *IMPORT]) == 0
    said = capsys.readouterr().out
    assert f"torch not run: {tmp_path / 'my_act/act.py'} is not as it was" in said
    assert said.count("\n") == 1
    given = ["--model", str(folder), "--output", str(tmp_path / "out"), *IMPORT]
    assert main(["reconstruct", *given, str(folder / "sample.safetensors")]) == 2
    assert f"is not as it was when {folder} was made" in one_line(capsys.readouterr().err)
    assert not (tmp_path / "out").exists()
