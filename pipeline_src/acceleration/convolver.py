"""What this project's convolution kernels have in common, whatever device they are for."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd import Function

Pairs = Sequence[tuple[Tensor, Tensor]]


class Convolver:
    """Computes a cascade's convolutions with compiled kernels.

    Attributes:
        function: called with these kernels, whether gradients are wanted, the middle layer, the
            image, and each layer's weight and bias.
        device: the type of device that they are for, by torch's name.
        kind: which kernels they are, for the manifest.
        features: channels that they compute between the first and the last convolution. Networks
            with fewer are widened by channels that are zero.
    """

    function: ClassVar[type[Function]]
    device: ClassVar[str]
    kind: str
    features: int

    def convolve(
        self, image: Tensor, layers: Pairs, middle: int | None = None
    ) -> tuple[Tensor, Tensor | None]:
        """Apply the convolutions one after the other, with ReLU after each but the last.

        Args:
            image: `(batch, 1, rows, columns)`, in single precision on the kernels' device.
            layers: weight `(channels_out, channels_in, 3, 3)` and bias, shape `(channels_out,)`, of
                each of at least two convolutions.
            middle: the layer, counted from 0, whose features are returned too.

        Returns:
            The last convolution's output `(batch, 1, rows, columns)`, and the ReLU output of layer
                ``middle`` `(batch, features, rows, columns)`, or None if it is not asked for.
        """
        features = len(layers[0][1])
        if features < self.features:
            layers = _widened(layers, self.features - features)
        flat = [tensor for layer in layers for tensor in layer]
        wanted = torch.is_grad_enabled() and any(t.requires_grad for t in (image, *flat))
        out, found = self.function.apply(self, wanted, middle, image, *flat)
        return out, found if found is None else found[:, :features]


def _widened(layers: Pairs, spare: int) -> list[tuple[Tensor, Tensor]]:
    """The same convolutions with ``spare`` more channels between them, which stay zero."""
    last = len(layers) - 1
    return [
        (
            F.pad(weight, (0, 0, 0, 0, 0, spare if number else 0, 0, spare * (number < last))),
            F.pad(bias, (0, spare * (number < last))),
        )
        for number, (weight, bias) in enumerate(layers)
    ]
