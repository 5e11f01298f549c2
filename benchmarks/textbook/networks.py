"""Networks as from the textbook: the library's layers, data fidelity by 2-D FFT."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn


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
    """What the distillation losses compare, one tensor per cascade, all before cropping.

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
