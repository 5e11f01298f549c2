"""Recomputes results of the authors' code from a file with its inputs and outputs."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pipeline_src.config.distillation import Method
from pipeline_src.config.networks import Network, Networks, OtherNetwork
from pipeline_src.distillation.base import build_loss
from pipeline_src.errors import InputError
from pipeline_src.evaluation import metrics
from pipeline_src.models.authors import network_from_authors
from pipeline_src.models.dccnn import DCCNN
from pipeline_src.models.sft import SFTNetwork
from pipeline_src.models.taps import Features, Tap, tapped
from pipeline_src.npz_files import reading_npz
from pipeline_src.sampling.data_fidelity import LineDataFidelity
from pipeline_src.training.objectives import sft_losses

RELATIVE_TOLERANCE = 1e-4
IMAGE_TOLERANCE = 1e-5

#: Method and form of each loss, by its name in the file.
LOSS_KEYS = {
    "loss/at/reference": ("at", "authors"),
    "loss/at/canonical": ("at", "original"),
    "loss/fitnets/reference": ("fitnets", "authors"),
    "loss/fitnets/canonical_mid_cascade3_mse": ("fitnets", "original"),
    "loss/cc/reference": ("cc", "authors"),
    "loss/fsp/reference": ("fsp", "authors"),
    "loss/fsp/mid_cascades1to4": ("fsp", "original"),
    "loss/sp/reference": ("sp", "authors"),
}
#: The same for validation losses that differ from the training loss.
SELECTION_KEYS = {"loss/fsp/reference_selection": ("fsp", "authors")}


@dataclass(frozen=True)
class Compared:
    """One value of the file beside the one computed here.

    For arrays, ``expected`` and ``got`` are their root mean squares. ``error`` is relative to the
    largest expected value, or absolute for images.
    """

    quantity: str
    expected: float
    got: float
    error: float
    kind: Literal["image", "relative"]

    @property
    def agrees(self) -> bool:
        """Whether the error is within the tolerance for its kind."""
        limit = IMAGE_TOLERANCE if self.kind == "image" else RELATIVE_TOLERANCE
        return bool(self.error <= limit)


class _Vectors:
    """The arrays of the file, by name."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.weights: set[str] = set()
        with reading_npz(path, "cannot be read as .npz") as file:
            self.arrays: Mapping[str, NDArray[Any]] = {k: file[k] for k in file}

    def __getitem__(self, key: str) -> NDArray[Any]:
        if key not in self.arrays:
            raise InputError(f"{self.path}: has no key {key!r}")
        return self.arrays[key]

    def tensor(self, key: str) -> Tensor:
        # Double precision throughout: the only rounding left is that of the file.
        return torch.from_numpy(np.asarray(self[key], dtype=np.float64))

    def network(self, prefix: str, role: Literal["teacher", "student"]) -> DCCNN:
        folder = f"{prefix}/state/"
        state = {
            k.removeprefix(folder): self.tensor(k) for k in self.arrays if k.startswith(folder)
        }
        own = {k: v for k, v in state.items() if k.startswith(role[0] + "cascade")}
        self.weights |= {folder + k for k in own}
        network = network_from_authors(own, role, self.padding(), origin=f"{self.path}: {folder}")
        return network.double().eval()

    def padding(self) -> int:
        return int(self["teacher/cascade1/conv_out"].shape[-1] - self["target"].shape[-1]) // 2


@torch.no_grad()
def compare_all(path: Path) -> list[Compared]:
    """Recompute every value of a file of vectors.

    The file has the inputs, weights, network outputs, losses and metrics of the authors' code for
    some images, of any batch and matrix size.

    Raises:
        InputError: a key is missing, or there is one that cannot be recomputed.
    """
    vectors = _Vectors(path)
    compared: list[Compared] = []
    for quantity, got, kind in _recomputed(vectors):
        compared.append(_compare(quantity, vectors[quantity], got, kind))
    inputs = {"target", "lines"}
    known = inputs | vectors.weights | {c.quantity for c in compared}
    unknown = [k for k in vectors.arrays if k not in known]
    if unknown:
        raise InputError(f"{path}: nothing here computes {', '.join(sorted(unknown))}")
    return compared


Quantity = tuple[str, Tensor | float, Literal["image", "relative"]]


def _recomputed(vectors: _Vectors) -> Iterator[Quantity]:
    target = vectors.tensor("target")
    lines = vectors["lines"].astype(bool)
    fidelity = LineDataFidelity(lines, torch.float64)
    zero_filled = fidelity.zero_filled(target)
    yield "zero_filled", zero_filled, "image"
    sampled = torch.from_numpy(lines)[:, None]
    yield "kspace", torch.fft.fft2(target, norm="ortho") * sampled, "relative"

    features: dict[str, Features] = {}
    networks: dict[str, Network | OtherNetwork] = {}
    for role in ("teacher", "student"):
        network = vectors.network(role, role)
        networks[role] = network.network
        cascades = range(1, len(network.cascades) + 1)
        taps = [Tap(place, k) for k in cascades for place in ("mid", "out")]
        with tapped(network, taps) as taken:
            image = network(zero_filled, fidelity)
        features[role] = taken
        yield f"{role}/recon", image, "image"
        for k in cascades:
            yield f"{role}/cascade{k}/conv_out", taken[Tap("out", k)], "relative"
            yield f"{role}/cascade{k}/mid", taken[Tap("mid", k)], "relative"

    yield from _student_friendly(vectors, target, zero_filled, fidelity)
    pair = Networks(teacher=networks["teacher"], student=networks["student"])
    for key, (name, form) in (LOSS_KEYS | SELECTION_KEYS).items():
        loss = build_loss(name, Method(form=form), pair)
        compare = loss.compare_for_selection if key in SELECTION_KEYS else loss.compare
        summaries = (loss.summarise(features[role]) for role in ("student", "teacher"))
        yield key, float(compare(*summaries)), "relative"
    yield from _metrics(target[:, 0].numpy(), zero_filled[:, 0].numpy())


def _student_friendly(
    vectors: _Vectors, target: Tensor, zero_filled: Tensor, fidelity: LineDataFidelity
) -> Iterator[Quantity]:
    network = SFTNetwork(vectors.network("sft", "teacher"), vectors.network("sft", "student"))
    image, branches = network(zero_filled, fidelity)
    yield "sft/recon", image, "image"
    for number, branch in enumerate(branches, start=1):
        yield f"sft/branch{number}", branch, "image"
    means = sft_losses(image, branches, target, "mean")
    for name, value in zip(("teacher_rec", "student_rec", "imitation_mean"), means, strict=True):
        yield f"loss/sft/{name}", float(value), "relative"
    over_numel = sft_losses(image, branches, target, "numel")[2]
    yield "loss/sft/imitation_over_numel", float(over_numel), "relative"


def _metrics(target: NDArray[Any], image: NDArray[Any]) -> Iterator[Quantity]:
    peak = float(target.max())

    def mean(metric: Callable[..., float], *arguments: float) -> float:
        pairs = zip(target, image, strict=True)
        return float(np.mean([metric(t, i, *arguments) for t, i in pairs]))

    yield "metric/zf/psnr_volume", metrics.psnr(target, image, peak), "relative"
    yield "metric/zf/ssim_volume", mean(metrics.ssim, peak), "relative"
    yield "metric/zf/hfn", mean(metrics.hfn), "relative"
    yield "metric/zf/nmse", metrics.nmse(target, image), "relative"


def _compare(
    quantity: str,
    expected: NDArray[Any],
    got: Tensor | float,
    kind: Literal["image", "relative"],
) -> Compared:
    ours = got.numpy() if isinstance(got, Tensor) else np.asarray(got)
    if ours.size == expected.size == 1:
        expected = expected.reshape(ours.shape)
    if ours.shape != expected.shape:
        raise InputError(f"{quantity}: has shape {expected.shape}, but {ours.shape} is computed")

    def size(values: NDArray[Any]) -> float:
        return float(np.sqrt(np.mean(np.abs(values) ** 2)))

    difference = float(np.abs(ours - expected).max())
    largest = float(np.abs(expected).max())
    error = difference if kind == "image" else difference / largest if largest else difference
    if ours.ndim == 0 and np.isnan(expected) and ours == 0:
        error = 0.0  # a mean over nothing (CC of one slice): NaN in their code, no loss here
    shown = (float(expected), float(ours)) if ours.ndim == 0 else (size(expected), size(ours))
    return Compared(quantity, *shown, error, kind)
