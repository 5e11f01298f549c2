"""A bundle stands alone, is checked file by file, and gives what its training's folder gives."""

from __future__ import annotations

import hashlib
import json
import pickle
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from inference_helpers import SIZE, Model, blobs, trained, write_metrics
from safetensors.numpy import load_file, save_file
from system_fixtures import run_on_small_disk
from unit_helpers import one_line

from pipeline_src import inference
from pipeline_src.cli import main
from pipeline_src.config.networks import Network
from pipeline_src.evaluation.evaluate import through
from pipeline_src.inference import card
from pipeline_src.inference.card_metrics import measured
from pipeline_src.inference.trained import load_trained
from pipeline_src.models.dccnn import DCCNN
from pipeline_src.sampling.data_fidelity import data_fidelity
from pipeline_src.sampling.masks import described_mask

pytest_plugins = ["system_fixtures"]
Output = pytest.CaptureFixture[str]

ROOT = Path(__file__).resolve().parents[3]


def bundled(model: Model, output: Path) -> Path:
    words = ["bundle", str(model.folder), "--trained-mask", str(model.mask_path)]
    assert main([*words, "--output", str(output)]) == 0
    return output


@pytest.fixture
def bundle(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Output) -> Path:
    """Without ONNX, whose export takes seconds."""
    monkeypatch.setattr("pipeline_src.inference.bundle.why_not", lambda: "left out by a test")
    path = bundled(trained(tmp_path), tmp_path / "bundle")
    capsys.readouterr()
    return path


def sign(folder: Path) -> None:
    """Digests anew, as someone would who changes a bundle on purpose."""
    names = sorted(p.name for p in folder.iterdir() if p.name != "SHA256SUMS")
    sums = [f"{hashlib.sha256((folder / n).read_bytes()).hexdigest()}  {n}\n" for n in names]
    (folder / "SHA256SUMS").write_text("".join(sums))


def test_the_sample_of_a_bundle_is_reconstructed_as_it_expects(
    bundle: Path, tmp_path: Path, capsys: Output
) -> None:
    words = ["reconstruct", "--model", str(bundle), "--output", str(tmp_path / "out")]
    assert main([*words, str(bundle / "sample.safetensors")]) == 0
    capsys.readouterr()
    expected = load_file(bundle / "sample.safetensors")["expected"]
    np.testing.assert_allclose(np.load(tmp_path / "out/sample.npy"), expected[0, 0], atol=1e-6)
    assert (tmp_path / "out/sample.png").exists()

    save_file({"image": np.zeros((2, 3), np.float32)}, tmp_path / "sample.safetensors")
    assert main([*words, str(tmp_path / "sample.safetensors")]) == 2
    said = one_line(capsys.readouterr().err)
    assert "holds no image of shape (1, 1, rows, columns)" in said


@pytest.mark.parametrize("depth", [2, 3, 5])
@pytest.mark.parametrize("kind", ["lines", "points"])
def test_it_gives_what_the_network_gives(
    depth: int, kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pipeline_src.inference.bundle.why_not", lambda: "left out by a test")
    torch.manual_seed(depth)
    network = DCCNN(Network(depth=depth, cascades=2, features=4, padding=depth % 2)).eval()
    rng = np.random.default_rng(0)
    samples = rng.random((SIZE, 20)) < 0.4
    if kind == "lines":
        samples[:] = samples[:, :1]
    mask = described_mask(samples, {"kind": "given", "acceleration": 3})
    loaded = inference.load(bundled(Model(tmp_path / "student", network, mask), tmp_path / "b"))
    image = torch.rand(3, 1, SIZE, 20)
    fidelity = data_fidelity(mask)
    zero_filled = fidelity.zero_filled(image)
    assert torch.allclose(loaded.undersample(image), zero_filled, atol=1e-6)
    expected = through(network, zero_filled, fidelity)
    assert torch.allclose(loaded(zero_filled), expected, atol=2e-6)


def test_it_is_checked(bundle: Path, capsys: Output) -> None:
    assert main(["bundle", "--check", str(bundle)]) == 0
    assert "7 files as they were written; D3C2; torch gives the expected image" in (
        capsys.readouterr().out
    )


def test_it_is_used_like_the_trainings_folder(bundle: Path, tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", blobs(SIZE, SIZE, 3))
    model = Model.__new__(Model)
    model.folder, model.mask_path = tmp_path / "student", tmp_path / "mask.npz"
    assert model.reconstruct(tmp_path / "one", tmp_path / "a.npy") == 0
    words = ["--model", str(bundle), "--output", str(tmp_path / "two"), str(tmp_path / "a.npy")]
    assert main(["reconstruct", *words]) == 0
    assert (tmp_path / "one/a.npy").read_bytes() == (tmp_path / "two/a.npy").read_bytes()


ALONE = """
import sys
class Refuse:
    def find_spec(self, name, *_):
        if name.partition(".")[0] in {blocked!r}:
            raise ImportError(name)
sys.meta_path.insert(0, Refuse())
import torch
from {module} import load
network = load({folder!r})
print(tuple(network(network.undersample(torch.rand(2, 1, {size}, {size}))).shape))
"""


@pytest.mark.parametrize("module", ["dccnn", "pipeline_src.inference"])
def test_loading_needs_torch_and_safetensors_alone(module: str, bundle: Path) -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    blocked = {name.partition("=")[0].replace("-", "_") for name in project["dependencies"]}
    blocked |= {"yaml", "skimage"}
    blocked -= {"torch", "safetensors", "numpy"}  # torch uses numpy where it is
    blocked |= {"pipeline_src"} if module == "dccnn" else set()
    script = ALONE.format(blocked=blocked, module=module, folder=str(bundle), size=SIZE)
    place = bundle if module == "dccnn" else ROOT
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=place, env={}, capture_output=True, text=True
    )
    assert done.stdout.strip() == str((2, 1, SIZE, SIZE)), done.stderr


def _changed(name: str, change: Callable[[bytes], bytes]) -> Callable[[Path], None]:
    def act(folder: Path) -> None:
        path = folder / name
        path.write_bytes(change(path.read_bytes()))

    return act


def _of_config(**values: object) -> Callable[[Path], None]:
    def act(folder: Path) -> None:
        path = folder / "config.json"
        path.write_text(json.dumps(json.loads(path.read_text()) | values))
        sign(folder)

    return act


def _resigned(act: Callable[[Path], None]) -> Callable[[Path], None]:
    def both(folder: Path) -> None:
        act(folder)
        sign(folder)

    return both


def _other_expectation(folder: Path) -> None:
    tensors = load_file(folder / "sample.safetensors")
    tensors["expected"] = tensors["expected"] + np.float32(1e-3)
    save_file(tensors, folder / "sample.safetensors")


DAMAGE: dict[str, tuple[Callable[[Path], None], str]] = {
    "changed card": (_changed("README.md", lambda b: b + b"!"), "is not as it was written"),
    "missing mask": (lambda f: (f / "mask.safetensors").unlink(), "mask.safetensors is missing"),
    "added file": (lambda f: (f / "extra.py").touch(), "extra.py is not part of the bundle"),
    "truncated weights": (
        _resigned(_changed("model.safetensors", lambda b: b[: len(b) // 2])),
        "weights cannot be read",
    ),
    "truncated mask": (
        _resigned(_changed("mask.safetensors", lambda b: b[:40])),
        "not a safetensors file",
    ),
    "pickle": (
        _resigned(_changed("model.safetensors", lambda _: pickle.dumps({"a": 1}))),
        "weights cannot be read",
    ),
    "no sums": (lambda f: (f / "SHA256SUMS").unlink(), "not a complete bundle"),
    "empty sums": (_changed("SHA256SUMS", lambda _: b""), "not a list of SHA-256 digests"),
    "other format": (_of_config(format="other"), "its format is 'other'"),
    "unknown key": (_of_config(colour=3), "colour"),
    "other matrix": (_of_config(matrix=[8, 8]), "its mask is of 16x16"),
    "huge network": (
        _of_config(network={"depth": 3, "cascades": 99, "features": 4096, "padding": 0}),
        "make the bundle again",
    ),
    "other expectation": (_resigned(_other_expectation), "differs from the expected one by 0.001"),
    "not JSON": (_resigned(_changed("config.json", lambda b: b[:20])), "not valid JSON"),
}


@pytest.mark.parametrize("kind", DAMAGE)
def test_a_damaged_bundle_is_refused_in_one_line(kind: str, bundle: Path, capsys: Output) -> None:
    act, fragment = DAMAGE[kind]
    act(bundle)
    assert main(["bundle", "--check", str(bundle)]) == 2
    line = one_line(capsys.readouterr().err)
    assert fragment in line
    assert str(bundle) in line


@pytest.mark.parametrize(
    "kind", ["truncated weights", "pickle", "other format", "huge network", "truncated mask"]
)
def test_a_damaged_bundle_is_not_loaded(kind: str, bundle: Path) -> None:
    DAMAGE[kind][0](bundle)
    with pytest.raises(ValueError, match=str(bundle)):
        inference.load(bundle)


def test_code_of_others_is_told_and_not_run(bundle: Path, tmp_path: Path, capsys: Output) -> None:
    (bundle / "dccnn.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')")
    sign(bundle)
    assert main(["bundle", "--check", str(bundle)]) == 0
    assert "read it before it is imported" in capsys.readouterr().out
    assert not (tmp_path / "ran").exists()


def test_nothing_is_written_over(tmp_path: Path, capsys: Output) -> None:
    model = trained(tmp_path)
    (tmp_path / "b").mkdir()
    (tmp_path / "b/thesis.tex").write_text("years of work")
    words = ["bundle", str(model.folder), "--trained-mask", str(model.mask_path)]
    assert main([*words, "--output", str(tmp_path / "b")]) == 2
    assert "something lies there" in one_line(capsys.readouterr().err)
    assert [p.name for p in (tmp_path / "b").iterdir()] == ["thesis.tex"]


@pytest.mark.parametrize("room", [0, 8192])
def test_a_full_disk_leaves_no_half_of_a_bundle(room: int, disk: Path, tmp_path: Path) -> None:
    model = trained(tmp_path)
    words = ["bundle", str(model.folder), "--trained-mask", str(model.mask_path)]
    [found] = run_on_small_disk(disk, room, [[*words, "--output", str(disk / "b")]])
    assert found.status == 2
    assert "No space left on device" in one_line(found.said)
    assert found.left == []


def test_the_card_tells_what_was_measured(tmp_path: Path) -> None:
    model = trained(tmp_path)
    columns = "dataset,acceleration,model,training,seed,part,patient,psnr_db,ssim,nmse"
    rows = [
        f"brain,4x,student,standard,0,{part},p{n},{30 + n},0.9{n},0.01"
        for part, n in (("test", 1), ("test", 2), ("test", 3), ("validation", 4))
    ]
    write_metrics(model, "\n".join([columns, *rows]) + "\n")
    made = load_trained(model.folder, model.mask_path)
    found = measured(made)
    assert found["patients"] == 3
    assert found["psnr_db"]["mean"] == pytest.approx(32)
    assert found["psnr_db"]["low"] < 31.5
    text = card.write_card(made, found, "CC0-1.0", True)
    for said in ("license: cc0-1.0", "| PSNR (dB) | 32.00 |", "On 3 test patients", "model.onnx"):
        assert said in text
    _, front, _ = text.split("---\n", 2)
    import yaml

    assert yaml.safe_load(front)["model-index"][0]["results"][0]["metrics"][0]["value"] == 32


def test_the_card_is_one_of_the_hub(bundle: Path) -> None:
    hub = pytest.importorskip(
        "huggingface_hub.repocard", exc_type=ImportError, reason="huggingface_hub is not installed"
    )
    loaded = hub.ModelCard.load(bundle / "README.md")
    assert loaded.data.library_name == "pytorch"


def test_onnx_gives_what_torch_gives(tmp_path: Path, capsys: Output) -> None:
    pytest.importorskip("onnxscript", reason="onnxscript is not installed: extra `export`")
    pytest.importorskip("onnx", reason="onnx is not installed: extra `export`")
    pytest.importorskip("onnxruntime", reason="onnxruntime is not installed: extra `export`")
    import onnx

    from pipeline_src.inference.onnx_export import run_onnx

    path = bundled(trained(tmp_path), tmp_path / "bundle")
    capsys.readouterr()
    assert main(["bundle", "--check", str(path)]) == 0
    assert "ONNX Runtime gives the expected image" in capsys.readouterr().out
    network = inference.load(path)
    for count in (1, 5):
        zero_filled = network.undersample(torch.rand(count, 1, SIZE, SIZE))
        made = run_onnx(path / "model.onnx", zero_filled.numpy())
        assert np.abs(made - network(zero_filled).numpy()).max() < 1e-5
    model = onnx.load(path / "model.onnx")
    assert "DFT" not in {node.op_type for node in model.graph.node}
    assert str(tmp_path) not in str(model)
    model.opset_import[0].version = 99
    onnx.save(model, path / "model.onnx")
    sign(path)
    assert main(["bundle", "--check", str(path)]) == 2
    assert "ONNX Runtime cannot run it" in one_line(capsys.readouterr().err)
    shutil.rmtree(path)


def test_weights_that_were_changed_are_not_used(
    bundle: Path, tmp_path: Path, capsys: Output
) -> None:
    content = bytearray((bundle / "model.safetensors").read_bytes())
    content[-3] ^= 0x40
    (bundle / "model.safetensors").write_bytes(content)
    with pytest.raises(ValueError, match=r"model\.safetensors: is not as it was written"):
        inference.load(bundle)
    given = ["--model", str(bundle), "--output", str(tmp_path / "out")]
    assert main(["reconstruct", *given, str(bundle / "sample.safetensors")]) == 2
    assert "model.safetensors: is not as it was written" in one_line(capsys.readouterr().err)


def test_a_bundle_is_not_made_of_a_bundle(bundle: Path, tmp_path: Path, capsys: Output) -> None:
    """Licence and metrics on its card would be lost."""
    assert main(["bundle", str(bundle), "--output", str(tmp_path / "copy")]) == 2
    assert "is a bundle already" in one_line(capsys.readouterr().err)
    assert not (tmp_path / "copy").exists()


def test_an_image_of_another_shape_is_one_line(bundle: Path) -> None:
    network = inference.load(bundle)
    for image in (torch.ones(SIZE, SIZE), torch.ones(1, 1, SIZE, SIZE, dtype=torch.float64)):
        for call in (network, network.undersample):
            with pytest.raises(ValueError, match=r"torch\.float32 of \(batch, 1, 16, 16\) is need"):
                call(image)
