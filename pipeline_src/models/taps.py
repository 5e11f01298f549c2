"""Records features while a network runs, so that its forward pass has to return only images."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager

from torch import Tensor, nn

from pipeline_src.models.base import ReconstructionNetwork
from pipeline_src.models.base import Tap as Tap

Features = dict[Tap, Tensor]


@contextmanager
def tapped(network: ReconstructionNetwork, taps: Sequence[Tap]) -> Iterator[Features]:
    """Within this context, each forward pass of ``network`` stores its features in the mapping.

    The features have shape `(batch, channels, rows, columns)` and the number format of the weights,
    whatever format the network computes in.

    Raises:
        InputError: the network has no such feature.
    """
    features: Features = {}
    weights = next(network.parameters()).dtype
    with ExitStack() as closing:
        for tap in taps:

            def receive(_point: nn.Module, _given: object, out: Tensor, tap: Tap = tap) -> None:
                features[tap] = out.to(weights)

            closing.callback(network.point(tap).register_forward_hook(receive).remove)
        yield features
