"""Taking features from a network by hooks, so that its forward pass stays clean."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Literal, NamedTuple

from torch import Tensor, nn

from pipeline_src.models.dccnn import DCCNN, Cascade


class Tap(NamedTuple):
    """A feature's place: `out`, the last convolution's output of a cascade before cropping and
    data fidelity; `mid`, the ReLU output of its convolution (d + 1) // 2 (the third of a
    teacher's five, the second of a student's three). Cascades count from 1.
    """

    place: Literal["mid", "out"]
    cascade: int


Features = dict[Tap, Tensor]


def tapped_module(network: DCCNN, tap: Tap) -> nn.Module:
    """The module whose output is the tap's feature `(batch, channels, rows, columns)`."""
    cascade = network.cascades[tap.cascade - 1]
    assert isinstance(cascade, Cascade)
    if tap.place == "out":
        return cascade.convolutions[-1]
    depth = len(cascade.convolutions)
    return cascade.activations[(depth + 1) // 2 - 1]


@contextmanager
def tapped(network: DCCNN, taps: Sequence[Tap]) -> Iterator[Features]:
    """While open, each forward pass of ``network`` leaves its tapped features in the mapping.

    They are in the number format of the weights, whatever the convolutions compute in.
    """
    features: Features = {}
    weights = next(network.parameters()).dtype

    def remember(tap: Tap) -> object:
        def hook(_module: nn.Module, _inputs: object, output: Tensor) -> None:
            features[tap] = output.to(weights)

        return tapped_module(network, tap).register_forward_hook(hook)

    handles = [remember(tap) for tap in taps]
    try:
        yield features
    finally:
        for handle in handles:
            handle.remove()  # type: ignore[attr-defined]
