"""DC-CNN: cascades of convolutions and data fidelity (Schlemper et al., IEEE TMI 2018)."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pipeline_src.acceleration.cascade import Kernels
from pipeline_src.acceleration.slicewise import convolve_with_gradients
from pipeline_src.config.method import Network
from pipeline_src.models.convolution import Convolution
from pipeline_src.sampling.data_fidelity import DataFidelity


class Cascade(nn.Module):
    """The convolutions of one cascade: 1 -> features -> ... -> 1 channels, ReLU between them.

    There is no activation after the last convolution and no skip connection. On the CPU, where
    gradients are wanted, the convolutions are not called as modules: hooks on them do not run.

    Attributes:
        arithmetic: number format of the convolutions; None: that of the image. Weights stay in
            the format they have.
        kernels: compiled convolutions for images in single precision on the CPU; None: the
            library's.
        receivers: who is handed a feature in each forward pass, by its place: `mid`, the ReLU
            output of convolution (d + 1) // 2, or `out`, the last convolution's output before
            cropping.
    """

    def __init__(self, network: Network) -> None:
        super().__init__()
        channels = [1, *[network.features] * (network.depth - 1), 1]
        self.padding, self.features = network.padding, network.features
        self.arithmetic: torch.dtype | None = None
        self.kernels: Kernels | None = None
        self.receivers: dict[str, list[Callable[[Tensor], None]]] = {"mid": [], "out": []}
        self.convolutions = nn.ModuleList(
            Convolution(before, after) for before, after in pairwise(channels)
        )

    def forward(self, image: Tensor) -> Tensor:
        """`(batch, 1, rows, columns)` to the same shape."""
        pad = self.padding
        x = image.to(self.arithmetic or image.dtype)
        x = F.pad(x, (pad, pad, pad, pad)) if pad else x
        out, middle = self._convolve(x)
        for place, feature in (("mid", middle), ("out", out)):
            for receive in self.receivers[place]:
                assert feature is not None
                receive(feature)
        out = out.to(image.dtype)
        return out[..., pad:-pad, pad:-pad] if pad else out

    def _convolve(self, x: Tensor) -> tuple[Tensor, Tensor | None]:
        """The last convolution's output, and the middle feature."""
        wanted = (len(self.convolutions) + 1) // 2 - 1
        on_cpu = x.device.type == "cpu"
        compiled = self.kernels if on_cpu and x.dtype == torch.float32 else None
        if compiled or (on_cpu and torch.is_grad_enabled()):
            layers = []
            for convolution in self.convolutions:
                assert isinstance(convolution, Convolution)
                layers.append(convolution.values(x.dtype))
            convolve = compiled.convolve if compiled else convolve_with_gradients
            return convolve(x, layers, wanted if self.receivers["mid"] else None)
        middle: Tensor | None = None
        *hidden, last = self.convolutions
        for number, convolution in enumerate(hidden):
            # In place: no gradient needs what was there before.
            x = convolution(x).relu_()
            middle = x if number == wanted else middle
        out: Tensor = last(x)
        return out, middle


class DCCNN(nn.Module):
    """DdCc: c cascades of d convolutions, each followed by data fidelity; no shared weights."""

    def __init__(self, network: Network) -> None:
        super().__init__()
        self.network = network
        self.cascades = nn.ModuleList(Cascade(network) for _ in range(network.cascades))
        # Channels last in memory: the faster layout for these convolutions on CPU and GPU.
        self.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    def forward(
        self, zero_filled: Tensor, fidelity: DataFidelity, *, cascades: int | None = None
    ) -> Tensor:
        """Reconstruct zero-filled images `(batch, 1, rows, columns)`.

        ``cascades``: how many of them to go through; None: all.
        """
        x = zero_filled
        for cascade in self.cascades[:cascades]:
            x = fidelity(cascade(x), zero_filled)
        return x


def set_arithmetic(module: nn.Module, arithmetic: torch.dtype) -> None:
    """Let the cascades in ``module`` compute in a number format, such as `torch.bfloat16`."""
    for cascade in module.modules():
        if isinstance(cascade, Cascade):
            cascade.arithmetic = arithmetic


def use_kernels(module: nn.Module, precision: str) -> None:
    """Let the cascades in ``module`` convolve with compiled kernels, in `fp32` or `bf16`.

    Raises:
        CompilationError: they cannot be made here.
    """
    for cascade in module.modules():
        if isinstance(cascade, Cascade):
            cascade.kernels = Kernels(cascade.features, precision)


def count_parameters(module: nn.Module) -> int:
    """Trainable numbers of a module: 141,765 for D5C5 and 49,285 for D3C5 at 32 features."""
    return sum(p.numel() for p in module.parameters())
