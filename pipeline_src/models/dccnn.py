"""DC-CNN: cascades of convolutions and data fidelity (Schlemper et al., IEEE TMI 2018)."""

from __future__ import annotations

from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pipeline_src.config.method import Network
from pipeline_src.sampling.data_fidelity import DataFidelity


class Cascade(nn.Module):
    """The convolutions of one cascade: 1 -> features -> ... -> 1 channels, ReLU between them.

    There is no activation after the last convolution and no skip connection. ``activations``
    are modules of their own so that their outputs can be tapped.
    """

    def __init__(self, network: Network) -> None:
        super().__init__()
        channels = [1, *[network.features] * (network.depth - 1), 1]
        self.padding = network.padding
        self.convolutions = nn.ModuleList(
            nn.Conv2d(before, after, kernel_size=3, padding=1)
            for before, after in pairwise(channels)
        )
        self.activations = nn.ModuleList(nn.ReLU() for _ in range(network.depth - 1))

    def forward(self, image: Tensor) -> Tensor:
        """`(batch, 1, rows, columns)` to the same shape."""
        pad = self.padding
        x = F.pad(image, (pad, pad, pad, pad)) if pad else image
        for convolution, activation in zip(self.convolutions, self.activations, strict=False):
            x = activation(convolution(x))
        out: Tensor = self.convolutions[-1](x)
        return out[..., pad:-pad, pad:-pad] if pad else out


class DCCNN(nn.Module):
    """DdCc: c cascades of d convolutions, each followed by data fidelity; no shared weights."""

    def __init__(self, network: Network) -> None:
        super().__init__()
        self.network = network
        self.cascades = nn.ModuleList(Cascade(network) for _ in range(network.cascades))
        # Channels last in memory: the faster layout for these convolutions on CPU and GPU.
        self.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    def forward(self, zero_filled: Tensor, fidelity: DataFidelity) -> Tensor:
        """Reconstruct zero-filled images `(batch, 1, rows, columns)`."""
        x = zero_filled
        for cascade in self.cascades:
            x = fidelity(cascade(x), zero_filled)
        return x


def count_parameters(module: nn.Module) -> int:
    """Trainable numbers of a module: 141,765 for D5C5 and 49,285 for D3C5 at 32 features."""
    return sum(p.numel() for p in module.parameters())
