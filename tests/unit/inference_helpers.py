"""Small models and volumes to reconstruct."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from pipeline_src.cli import main
from pipeline_src.config.networks import Network
from pipeline_src.files import sha256_file
from pipeline_src.models.base import ReconstructionNetwork
from pipeline_src.models.dccnn import DCCNN
from pipeline_src.models.weights import save_weights
from pipeline_src.sampling.masks import Mask, described_mask, drawn_mask, write_mask

SIZE = 16


class Model:
    """A folder of weights and the mask beside it, with what the command takes."""

    def __init__(self, folder: Path, network: ReconstructionNetwork, mask: Mask) -> None:
        self.folder, self.network, self.mask = folder, network, mask
        save_weights(folder / "weights.safetensors", network, model="student")
        self.mask_path = folder.parent / "mask.npz"
        write_mask(self.mask_path, mask)

    @property
    def given(self) -> list[str]:
        return ["--model", str(self.folder), "--trained-mask", str(self.mask_path)]

    def reconstruct(self, output: Path, *words: str | Path) -> int:
        return main(["reconstruct", *self.given, "--output", str(output), *map(str, words)])


def trained(folder: Path, size: tuple[int, int] = (SIZE, SIZE)) -> Model:
    """A network of random weights, at 4x."""
    torch.manual_seed(0)
    network = DCCNN(Network(depth=3, cascades=2, features=8)).eval()
    return Model(folder / "student", network, drawn_mask(size, 4, 0, 2))


def write_metrics(model: Model, text: str, **inputs: str) -> None:
    """Metrics beside the weights, with the manifest of an evaluation; `inputs` are digests of
    further files by role.
    """
    weights, table = model.folder / "weights.safetensors", model.folder / "volumes.csv"
    table.write_text(text)
    digests = {"weights": sha256_file(weights)} | inputs
    told = {
        "inputs": {role: {"path": role, "sha256": sha256} for role, sha256 in digests.items()},
        "outputs": {table.name: sha256_file(table)},
    }
    (model.folder / "volumes.manifest.json").write_text(json.dumps(told))


def identity(folder: Path, size: tuple[int, int]) -> Model:
    """A network that adds nothing, under a mask that takes all: what comes in goes out."""
    network = DCCNN(Network(depth=2, cascades=1, features=2))
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.zero_()
    full = described_mask(np.ones(size, np.bool_), {"kind": "given", "acceleration": 2})
    return Model(folder / "student", network, full)


def blobs(*shape: int, seed: int = 0) -> NDArray[np.float32]:
    """A volume `(rows, columns, slices)` of smooth, positive structure."""
    rng = np.random.default_rng(seed)
    axes = np.meshgrid(*(np.linspace(-1, 1, size) for size in shape), indexing="ij")
    squared = sum(axis**2 for axis in axes)
    return (np.exp(-2 * squared) + 0.1 * rng.random(shape)).astype(np.float32)


def facts(output: Path, name: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((output / f"{name}.json").read_text(encoding="utf-8"))
    return found


def kspace_of(image: NDArray[Any], samples: NDArray[np.bool_]) -> NDArray[Any]:
    """Of slices along the last axis, in FFT order, where samples are taken."""
    full = np.fft.fft2(image, axes=(0, 1), norm="ortho")
    return np.asarray(full * samples[:, :, None])
