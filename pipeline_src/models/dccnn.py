"""The DC-CNN: cascades of convolutions and data fidelity (Schlemper et al., IEEE TMI 2018)."""

from __future__ import annotations

from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pipeline_src.acceleration.compiled import CompilationError
from pipeline_src.acceleration.convolver import Convolver
from pipeline_src.acceleration.kernels import kernels_for
from pipeline_src.acceleration.slicewise import convolve_with_gradients
from pipeline_src.config.networks import DC_CNN, Network
from pipeline_src.models.base import CascadeNetwork, FeaturePoint, register_network
from pipeline_src.models.convolution import Convolution


class Cascade(nn.Module):
    """The convolutions of one cascade: 1 -> features -> ... -> 1 channels, ReLU between them.

    There is no activation after the last convolution and no skip connection.

    Attributes:
        mid: receives the ReLU output of convolution (d + 1) // 2.
        out: receives the last convolution's output before cropping.
        arithmetic: number format of the convolutions; None: that of the image. Weights keep their
            own format.
        kernels: this project's convolutions, for images in single precision on the kernels' device;
            None: torch's are used.
    """

    def __init__(self, network: Network) -> None:
        super().__init__()
        channels = [1, *[network.features] * (network.depth - 1), 1]
        self.padding, self.features = network.padding, network.features
        self.middle = (network.depth + 1) // 2
        self.convolutions = nn.ModuleList(
            Convolution(before, after) for before, after in pairwise(channels)
        )
        self.mid, self.out = FeaturePoint(), FeaturePoint()
        self.arithmetic: torch.dtype | None = None
        self.kernels: Convolver | None = None

    def forward(self, image: Tensor) -> Tensor:
        """`(batch, 1, rows, columns)` to the same shape."""
        pad = self.padding
        x = image.to(self.arithmetic or image.dtype)
        x = F.pad(x, (pad, pad, pad, pad)) if pad else x
        out: Tensor = self.out(self._convolve(x)).to(image.dtype)
        return out[..., pad:-pad, pad:-pad] if pad else out

    def _convolve(self, x: Tensor) -> Tensor:
        convolve, device = None, x.device.type
        if self.kernels and device == self.kernels.device and x.dtype == torch.float32:
            convolve = self.kernels.convolve
        elif device == "cpu" and torch.is_grad_enabled():
            convolve = convolve_with_gradients
        if convolve:
            # Faster than the modules one by one, whose hooks do not run then.
            layers = []
            for convolution in self.convolutions:
                assert isinstance(convolution, Convolution)
                layers.append(convolution.values(x.dtype))
            found, middle = convolve(x, layers, self.middle - 1 if self.mid.wanted else None)
            if middle is not None:
                self.mid(middle)
            return found
        *hidden, last = self.convolutions
        for number, convolution in enumerate(hidden, start=1):
            # In place: no gradient needs the value before the ReLU.
            x = convolution(x).relu_()
            if number == self.middle:
                x = self.mid(x)
        out: Tensor = last(x)
        return out


@register_network(DC_CNN)
class DCCNN(CascadeNetwork):
    """DdCc: c cascades of d convolutions, each followed by data fidelity; no shared weights."""

    def __init__(self, network: Network) -> None:
        super().__init__(network, network)
        # Channels last in memory: the faster layout for these convolutions on CPU and GPU.
        self.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    def make_block(self, options: Network) -> Cascade:
        """Make the convolutions of one cascade."""
        return Cascade(options)

    @classmethod
    def describe(cls, network: Network, options: Network) -> str:
        """The network in words, such as `5 convolutions of 32 features in each of 5 cascades`."""
        padded = f", inputs padded by {network.padding} pixels" if network.padding else ""
        return (
            f"{network.depth} convolutions of {options.features} features in each of "
            f"{network.cascades} cascades{padded}"
        )

    def set_arithmetic(self, arithmetic: torch.dtype) -> None:
        """Compute the convolutions in a number format, such as `torch.bfloat16`."""
        for cascade in self.cascades:
            assert isinstance(cascade, Cascade)
            cascade.arithmetic = arithmetic


def use_kernels(module: nn.Module, precision: str, device: str = "cpu") -> None:
    """Compute the cascades in ``module`` with the compiled kernels on a device, `cpu` or `cuda`.

    The precision is `fp32` or `bf16`, or on a GPU `tf32`.

    Raises:
        CompilationError: the kernels cannot be built or loaded here, or none of the cascades is one
            of DC-CNN.
    """
    cascades = [cascade for cascade in module.modules() if isinstance(cascade, Cascade)]
    if not cascades:
        raise CompilationError("the compiled convolutions are those of DC-CNN")
    for cascade in cascades:
        cascade.kernels = kernels_for(cascade.features, precision, device)
