"""Taking features from a network while it runs, so that its forward pass returns images alone."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Literal, NamedTuple

from torch import Tensor

from pipeline_src.models.dccnn import DCCNN, Cascade


class Tap(NamedTuple):
    """A feature's place: `out`, the last convolution's output of a cascade before cropping and
    data fidelity; `mid`, the ReLU output of its convolution (d + 1) // 2 (the third of a
    teacher's five, the second of a student's three). Cascades count from 1.
    """

    place: Literal["mid", "out"]
    cascade: int


Features = dict[Tap, Tensor]


@contextmanager
def tapped(network: DCCNN, taps: Sequence[Tap]) -> Iterator[Features]:
    """While open, each forward pass of ``network`` leaves its tapped features in the mapping.

    They are in the number format of the weights, whatever the convolutions compute in.
    """
    features: Features = {}
    weights = next(network.parameters()).dtype
    with ExitStack() as closing:
        for tap in taps:
            receivers = _receivers(network, tap)

            def receive(feature: Tensor, tap: Tap = tap) -> None:
                features[tap] = feature.to(weights)

            receivers.append(receive)
            closing.callback(receivers.remove, receive)
        yield features


def _receivers(network: DCCNN, tap: Tap) -> list[Callable[[Tensor], None]]:
    cascade = network.cascades[tap.cascade - 1]
    assert isinstance(cascade, Cascade)
    return cascade.receivers[tap.place]
