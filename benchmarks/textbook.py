"""The training step as from the textbook: what the benchmark compares the engine with.

Ordinary PyTorch after the paper and the authors' published scripts, written without the
pipeline's code: each sample read from its HDF5 file when it is asked for, the library's
convolutions in their default layout, data fidelity by 2-D FFT on complex k-space, one branch of
student-friendly training after the other, the frozen teacher run anew in every step, Adam with
its default arguments. The losses are those of the engine up to rounding.
"""

# mypy: allow-untyped-calls

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import h5py
import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

from pipeline_src.config.method import Network, Networks

TARGET_KEY, ZERO_FILLED_KEY, KSPACE_KEY = "volfs", "img_volus_4x", "kspace_volus_4x"

#: The authors' cardiac code: D5C5 and D3C5, 5 pixels of padding.
NETWORKS = Networks(teacher=Network(depth=5, padding=5), student=Network(depth=3, padding=5))


# Data.


def write_volumes(folder: Path, images: NDArray[Any], mask: NDArray[Any]) -> list[Path]:
    """Write volumes in the authors' layout, one file `1.h5`, `2.h5`, ... each.

    Target, zero-filled image and k-space are `(rows, columns, slices)` in double precision, as
    NumPy computes them, and contiguous, as h5py writes them.

    Args:
        images: `(volumes, rows, columns, slices)`.
        mask: `(rows, columns)` in FFT order.
    """
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for number, image in enumerate(np.asarray(images, dtype=np.float64), start=1):
        kspace = mask[:, :, None] * np.fft.fft2(image, axes=(0, 1), norm="ortho")
        paths.append(folder / f"{number}.h5")
        with h5py.File(paths[-1], "w") as file:
            file[TARGET_KEY] = image
            file[ZERO_FILLED_KEY] = np.fft.ifft2(kspace, axes=(0, 1), norm="ortho").real
            file[KSPACE_KEY] = kspace
    return paths


class Sample(NamedTuple):
    """A slice, or a batch of slices with the batch as the first axis.

    Attributes:
        target: `(1, rows, columns)`, the fully sampled image.
        zero_filled: `(1, rows, columns)`.
        kspace: `(rows, columns)` complex, zero where nothing was sampled.
    """

    target: Tensor
    zero_filled: Tensor
    kspace: Tensor


class VolumeSlices(Dataset[Sample]):
    """The slices of all volumes of a folder, each read from its file when it is asked for."""

    def __init__(self, folder: Path) -> None:
        self.examples: list[tuple[Path, int]] = []
        for path in sorted(folder.glob("*.h5")):
            with h5py.File(path, "r") as file:
                slices = file[TARGET_KEY].shape[2]
            self.examples += [(path, index) for index in range(slices)]

    def __len__(self) -> int:
        return len(self.examples)

    def __getitem__(self, number: int) -> Sample:
        path, index = self.examples[number]
        with h5py.File(path, "r") as file:
            target = file[TARGET_KEY][:, :, index]
            zero_filled = file[ZERO_FILLED_KEY][:, :, index]
            kspace = file[KSPACE_KEY][:, :, index]
        return Sample(
            torch.from_numpy(target).float()[None],
            torch.from_numpy(zero_filled).float()[None],
            torch.from_numpy(kspace),
        )


def slice_loader(folder: Path, batch_size: int = 4) -> DataLoader[Sample]:
    """Shuffled batches of the slices of a folder, in the process itself as in the scripts."""
    return DataLoader(VolumeSlices(folder), batch_size=batch_size, shuffle=True, num_workers=0)


# Networks.


class DataFidelity(nn.Module):
    """x_rec = Re F^H (M y + (1 - M) F x_cnn) in double precision, for any mask."""

    mask: Tensor

    def __init__(self, mask: NDArray[Any]) -> None:
        super().__init__()
        self.register_buffer("mask", torch.from_numpy(np.asarray(mask, dtype=np.float64)))

    def forward(self, image: Tensor, kspace: Tensor) -> Tensor:
        """Impose the measured samples.

        Args:
            image: `(batch, 1, rows, columns)`.
            kspace: `(batch, rows, columns)` complex.
        """
        spectrum = torch.fft.fft2(image.double(), norm="ortho")
        spectrum = self.mask * kspace[:, None] + (1 - self.mask) * spectrum
        found: Tensor = torch.fft.ifft2(spectrum, norm="ortho").real
        return found.float()


class Features(NamedTuple):
    """What the distillation losses compare, one tensor a cascade, all before cropping.

    Attributes:
        out: output of the last convolution.
        mid: ReLU output of convolution (d + 1) // 2.
    """

    out: list[Tensor]
    mid: list[Tensor]


class Block(nn.Module):
    """The convolutions of one cascade, with padding of the input and cropping of the output."""

    def __init__(self, depth: int, features: int, padding: int) -> None:
        super().__init__()
        self.padding = padding
        self.middle = 2 * ((depth + 1) // 2) - 1
        layers: list[nn.Module] = [nn.Conv2d(1, features, kernel_size=3, padding=1), nn.ReLU()]
        for _ in range(depth - 2):
            layers += [nn.Conv2d(features, features, kernel_size=3, padding=1), nn.ReLU()]
        layers.append(nn.Conv2d(features, 1, kernel_size=3, padding=1))
        self.layers = nn.Sequential(*layers)

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Cropped output, output before cropping, middle feature."""
        rows, columns = image.shape[-2:]
        pad = self.padding
        x = middle = F.pad(image, (pad, pad, pad, pad))
        for number, layer in enumerate(self.layers):
            x = layer(x)
            if number == self.middle:
                middle = x
        return x[..., pad : pad + rows, pad : pad + columns], x, middle


class TextbookDCCNN(nn.Module):
    """DdCc: blocks of convolutions, each followed by data fidelity."""

    def __init__(self, depth: int, cascades: int = 5, features: int = 32, padding: int = 5) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(Block(depth, features, padding) for _ in range(cascades))

    def forward(self, zero_filled: Tensor, kspace: Tensor, fidelity: DataFidelity) -> Tensor:
        """Reconstruct `(batch, 1, rows, columns)`."""
        return self.with_features(zero_filled, kspace, fidelity)[0]

    def with_features(
        self, zero_filled: Tensor, kspace: Tensor, fidelity: DataFidelity
    ) -> tuple[Tensor, Features]:
        """The reconstruction, and the features of every cascade."""
        image, features = zero_filled, Features([], [])
        for block in self.blocks:
            cropped, out, mid = block(image)
            image = fidelity(cropped, kspace)
            features.out.append(out)
            features.mid.append(mid)
        return image, features


class TextbookSFT(nn.Module):
    """Student-friendly training: branch i goes on from the teacher's cascade i through the
    student's cascades i+1..c.
    """

    def __init__(self, teacher: TextbookDCCNN, student: TextbookDCCNN) -> None:
        super().__init__()
        self.teacher = teacher
        self.student = student

    def forward(
        self, zero_filled: Tensor, kspace: Tensor, fidelity: DataFidelity
    ) -> tuple[Tensor, list[Tensor]]:
        """The teacher's reconstruction, and the branches' in the order of where they leave."""
        image, leaving = zero_filled, []
        for block in self.teacher.blocks:
            image = fidelity(block(image)[0], kspace)
            leaving.append(image)
        branches = []
        for i, branch in enumerate(leaving[:-1], start=1):
            for block in self.student.blocks[i:]:
                branch = fidelity(block(branch)[0], kspace)
            branches.append(branch)
        return image, branches


def copy_weights(network: TextbookDCCNN, state: Mapping[str, Tensor]) -> None:
    """Take the weights of a network of the pipeline.

    Args:
        network: takes them.
        state: values under `cascades.{k}.convolutions.{i}.weight` and `.bias`.
    """
    named = {}
    for name, value in state.items():
        _, cascade, _, convolution, kind = name.split(".")
        # Every other layer is a ReLU.
        named[f"blocks.{cascade}.layers.{2 * int(convolution)}.{kind}"] = value
    network.load_state_dict(named)


# Losses, in the authors' form and for the five cascades of the paper.


def mean(terms: Sequence[Tensor]) -> Tensor:
    """Mean over cascades or branches."""
    return torch.stack(list(terms)).mean()


def attention(student: Tensor, teacher: Tensor) -> Tensor:
    """Mean |q_S - q_T|; q: channel sum of squares, L2-normalised over the batch at each pixel."""
    of_student = F.normalize(student.pow(2).sum(dim=1), dim=0)
    of_teacher = F.normalize(teacher.pow(2).sum(dim=1), dim=0)
    return F.l1_loss(of_student, of_teacher)


def congruence(student: Tensor, teacher: Tensor) -> Tensor:
    """Mean over neighbouring samples and pixels of the channel sum of D_b D_b+1."""
    difference = (student - teacher).abs()
    if len(difference) == 1:  # no neighbours
        return 0 * difference.sum()
    return (difference[:-1] * difference[1:]).sum(dim=1).mean()


def flow(first: Tensor, second: Tensor) -> Tensor:
    """Gram matrices `(batch, m, n)` between two features, averaged over pixels."""
    pixels = first.shape[2] * first.shape[3]
    return torch.bmm(first.flatten(2), second.flatten(2).transpose(1, 2)) / pixels


def similarity(student: Tensor, teacher: Tensor) -> Tensor:
    """Squared Frobenius distance of the row-normalised batch similarities, over B^2."""
    of_student, of_teacher = student.flatten(1), teacher.flatten(1)
    of_student = F.normalize(of_student @ of_student.T, dim=1)
    of_teacher = F.normalize(of_teacher @ of_teacher.T, dim=1)
    return (of_student - of_teacher).pow(2).sum() / len(student) ** 2


def at_loss(student: Features, teacher: Features) -> Tensor:
    """Attention transfer: mid_1..mid_5."""
    return mean([attention(s, t) for s, t in zip(student.mid, teacher.mid, strict=True)])


def fitnets_loss(student: Features, teacher: Features) -> Tensor:
    """FitNets: out_3."""
    return attention(student.out[2], teacher.out[2])


def cc_loss(student: Features, teacher: Features) -> Tensor:
    """Correlation congruence: out_1..out_5."""
    return mean([congruence(s, t) for s, t in zip(student.out, teacher.out, strict=True)])


def fsp_loss(student: Features, teacher: Features) -> Tensor:
    """Flow of solution: out_k with out_k+1, k = 1..3."""
    return mean(
        [
            F.mse_loss(
                flow(student.out[k], student.out[k + 1]), flow(teacher.out[k], teacher.out[k + 1])
            )
            for k in range(3)
        ]
    )


def sp_loss(student: Features, teacher: Features) -> Tensor:
    """Similarity preserving: out_1..out_4."""
    return mean([similarity(student.out[k], teacher.out[k]) for k in range(4)])


FeatureLoss = Callable[[Features, Features], Tensor]
FEATURE_LOSSES: dict[str, FeatureLoss] = {
    "fitnets": fitnets_loss,
    "at": at_loss,
    "cc": cc_loss,
    "fsp": fsp_loss,
    "sp": sp_loss,
}


def sft_loss(teacher: Tensor, branches: Sequence[Tensor], target: Tensor) -> Tensor:
    """L_rec^T + L_rec^S + L_imit, the last divided once more by the elements of ``teacher``."""
    of_teacher = F.l1_loss(teacher, target)
    of_students = mean([F.l1_loss(branch, target) for branch in branches])
    imitation = mean([F.l1_loss(branch, teacher) / teacher.numel() for branch in branches])
    return of_teacher + of_students + imitation


# Steps.


class Step(ABC):
    """A network, its loss and its optimiser.

    Attributes:
        trained: the module whose weights move.
        total_loss: sum of the losses of all batches so far.
    """

    def __init__(self, trained: nn.Module, fidelity: DataFidelity, learning_rate: float) -> None:
        self.trained = trained
        self.fidelity = fidelity
        self.optimiser = torch.optim.Adam(trained.parameters(), lr=learning_rate)
        self.total_loss = 0.0

    @abstractmethod
    def loss(self, batch: Sample) -> Tensor:
        """The training loss of a batch, a scalar."""

    def run(self, batch: Sample) -> float:
        """Train on one batch, moved to the weights' device; its loss before the step."""
        device = self.fidelity.mask.device
        batch = Sample(*[tensor.to(device) for tensor in batch])
        self.optimiser.zero_grad()
        loss = self.loss(batch)
        loss.backward()
        self.optimiser.step()
        value = loss.item()
        self.total_loss += value
        return value


class ReconstructionStep(Step):
    """|x_rec - x|_1 of one network."""

    def __init__(
        self, network: TextbookDCCNN, fidelity: DataFidelity, learning_rate: float
    ) -> None:
        super().__init__(network, fidelity, learning_rate)
        self.network = network

    def loss(self, batch: Sample) -> Tensor:
        """L1."""
        image = self.network(batch.zero_filled, batch.kspace, self.fidelity)
        return F.l1_loss(image, batch.target)


class SFTStep(Step):
    """L_SFT of teacher and student branches."""

    def __init__(self, network: TextbookSFT, fidelity: DataFidelity, learning_rate: float) -> None:
        super().__init__(network, fidelity, learning_rate)
        self.network = network

    def loss(self, batch: Sample) -> Tensor:
        """L_SFT."""
        teacher, branches = self.network(batch.zero_filled, batch.kspace, self.fidelity)
        return sft_loss(teacher, branches, batch.target)


class DistilledReconstructionStep(ReconstructionStep):
    """|x_rec - x|_1 of a student, with the teacher run beside it.

    The authors' second stage reconstructs with the teacher in every step, also where the loss has
    no imitation term and the result goes unused. Theirs keeps the teacher's graph too.
    """

    def __init__(
        self,
        student: TextbookDCCNN,
        teacher: TextbookDCCNN,
        fidelity: DataFidelity,
        learning_rate: float,
    ) -> None:
        super().__init__(student, fidelity, learning_rate)
        self.teacher = teacher.eval()

    def loss(self, batch: Sample) -> Tensor:
        """L1."""
        with torch.no_grad():
            self.teacher(batch.zero_filled, batch.kspace, self.fidelity)
        return super().loss(batch)


class FeatureStep(Step):
    """A student against the features of a frozen teacher."""

    def __init__(
        self,
        student: TextbookDCCNN,
        teacher: TextbookDCCNN,
        compare: FeatureLoss,
        fidelity: DataFidelity,
        learning_rate: float,
    ) -> None:
        super().__init__(student, fidelity, learning_rate)
        self.student = student
        self.teacher = teacher.eval()
        self.compare = compare

    def loss(self, batch: Sample) -> Tensor:
        """The feature loss alone."""
        inputs = (batch.zero_filled, batch.kspace, self.fidelity)
        with torch.no_grad():
            _, of_teacher = self.teacher.with_features(*inputs)
        _, of_student = self.student.with_features(*inputs)
        return self.compare(of_student, of_teacher)


KINDS = (
    "teacher",
    "student",
    "sft",
    *(f"{method}_features" for method in FEATURE_LOSSES),
    *(f"{method}_reconstruction" for method in FEATURE_LOSSES),
)


def build(
    kind: str,
    mask: NDArray[Any],
    networks: Networks = NETWORKS,
    *,
    teacher_state: Mapping[str, Tensor] | None = None,
    student_state: Mapping[str, Tensor] | None = None,
    learning_rate: float = 1e-3,
    device: str = "cpu",
) -> Step:
    """The step of one of `KINDS`, with random weights or those of the pipeline's state dicts.

    ``mask`` is `(rows, columns)` in FFT order.
    """
    if kind not in KINDS:
        raise ValueError(f"{kind!r} is none of {', '.join(KINDS)}")
    method, _, stage = kind.partition("_")
    fidelity = DataFidelity(mask).to(device)
    teacher = _network(networks.teacher, teacher_state).to(device)
    student = _network(networks.student, student_state).to(device)
    if kind == "sft":
        return SFTStep(TextbookSFT(teacher, student), fidelity, learning_rate)
    if stage == "features":
        return FeatureStep(student, teacher, FEATURE_LOSSES[method], fidelity, learning_rate)
    if stage == "reconstruction":
        return DistilledReconstructionStep(student, teacher, fidelity, learning_rate)
    network = teacher if kind == "teacher" else student
    return ReconstructionStep(network, fidelity, learning_rate)


def _network(network: Network, state: Mapping[str, Tensor] | None) -> TextbookDCCNN:
    made = TextbookDCCNN(network.depth, network.cascades, network.features, network.padding)
    if state is not None:
        copy_weights(made, state)
    return made
