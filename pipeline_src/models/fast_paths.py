"""Faster ways of computing a cascade's convolutions, each tested against the plain modules."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import torch
from torch import Tensor, nn

from pipeline_src.acceleration.convolver import Convolver
from pipeline_src.acceleration.slicewise import convolve_with_gradients
from pipeline_src.models.convolution import Convolution


class Convolved(NamedTuple):
    """The last convolution's output, and the middle layer's ReLU output if it was asked for."""

    out: Tensor
    middle: Tensor | None


class FastPaths:
    """Computes a cascade's convolutions without calling its modules one by one.

    Hooks on those convolutions do not run then.

    Attributes:
        arithmetic: number format of the convolutions; None: that of the image. Weights keep their
            own format.
        kernels: this project's convolutions, for images in single precision on the kernels' device;
            None: torch's are used.
    """

    def __init__(self) -> None:
        self.arithmetic: torch.dtype | None = None
        self.kernels: Convolver | None = None

    def cast(self, image: Tensor) -> Tensor:
        """Convert an image of any shape to the convolutions' number format; the shape stays the
        same.
        """
        return image.to(self.arithmetic or image.dtype)

    def convolve(
        self, convolutions: Iterable[nn.Module], x: Tensor, middle: int | None
    ) -> Convolved | None:
        """Apply the convolutions one after the other, with ReLU after each but the last.

        Args:
            convolutions: the modules that hold weights and biases.
            x: `(batch, 1, rows, columns)`, as `cast` returns it.
            middle: the layer, counted from 0, whose features are returned too.

        Returns:
            None if the modules must be called instead: without kernels, on a GPU or if no gradients
                are needed.
        """
        on_cpu = x.device.type == "cpu"
        compiled = self.kernels
        if compiled and (x.device.type != compiled.device or x.dtype != torch.float32):
            compiled = None
        if not compiled and not (on_cpu and torch.is_grad_enabled()):
            return None
        layers = []
        for convolution in convolutions:
            assert isinstance(convolution, Convolution)
            layers.append(convolution.values(x.dtype))
        convolve = compiled.convolve if compiled else convolve_with_gradients
        return Convolved(*convolve(x, layers, middle))
