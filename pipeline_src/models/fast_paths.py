"""The faster ways of computing a cascade's convolutions, each checked against the plain modules."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import torch
from torch import Tensor, nn

from pipeline_src.acceleration.cascade import Kernels
from pipeline_src.acceleration.slicewise import convolve_with_gradients
from pipeline_src.models.convolution import Convolution


class Convolved(NamedTuple):
    """The last convolution's output, and the ReLU output of the middle layer, if asked for."""

    out: Tensor
    middle: Tensor | None


class FastPaths:
    """How a cascade's convolutions are computed other than module by module, on the CPU.

    There, hooks on the convolutions do not run.

    Attributes:
        arithmetic: number format of the convolutions; None: that of the image. Weights stay in
            the format they have.
        kernels: compiled convolutions for images in single precision on the CPU; None: the
            library's.
    """

    def __init__(self) -> None:
        self.arithmetic: torch.dtype | None = None
        self.kernels: Kernels | None = None

    def cast(self, image: Tensor) -> Tensor:
        """An image in the number format of the convolutions."""
        return image.to(self.arithmetic or image.dtype)

    def convolve(
        self, convolutions: Iterable[nn.Module], x: Tensor, middle: int | None
    ) -> Convolved | None:
        """Convolutions one after the other, each but the last followed by ReLU.

        Args:
            x: `(batch, 1, rows, columns)`, as `cast` gives it.
            middle: the layer, from 0, whose features are returned too.

        Returns:
            None where the modules are the way to go: on a GPU, and where no gradients are wanted
            and there are no kernels.
        """
        on_cpu = x.device.type == "cpu"
        compiled = self.kernels if on_cpu and x.dtype == torch.float32 else None
        if not compiled and not (on_cpu and torch.is_grad_enabled()):
            return None
        layers = []
        for convolution in convolutions:
            assert isinstance(convolution, Convolution)
            layers.append(convolution.values(x.dtype))
        convolve = compiled.convolve if compiled else convolve_with_gradients
        return Convolved(*convolve(x, layers, middle))
