"""How large a network is, and how much arithmetic one slice is, told from its configuration.

Of a DC-CNN both are told without torch; another kind is tried on tensors without numbers.
"""

from __future__ import annotations

import json
from functools import cache
from importlib import import_module
from itertools import pairwise
from typing import TYPE_CHECKING

from pipeline_src.config.networks import Network, OtherNetwork

if TYPE_CHECKING:
    from pipeline_src.models.trial import Trial


def parameters(network: Network | OtherNetwork) -> int:
    """Weights and biases."""
    if isinstance(network, Network):
        return network.parameters
    return tried(network).parameters


def convolution_multiply_adds(network: Network | OtherNetwork, rows: int, columns: int) -> int:
    """Multiply-adds of all convolutions for one slice.

    Every tap counts at every pixel, those in the zero padding too; biases do not count.
    """
    if isinstance(network, OtherNetwork):
        return tried(network, rows, columns).multiply_adds
    channels = [1, *[network.features] * (network.depth - 1), 1]
    pixels = (rows + 2 * network.padding) * (columns + 2 * network.padding)
    taps = sum(9 * before * after for before, after in pairwise(channels))
    return network.cascades * taps * pixels


def fidelity_multiply_adds(network: Network | OtherNetwork, rows: int, columns: int) -> int:
    """Multiply-adds of the data fidelity's matrix products for one slice: `(rows, rows)` times
    `(rows, columns)` a cascade, or as often as the network calls it."""
    times = network.cascades
    if times is None and isinstance(network, OtherNetwork):
        times = tried(network, rows, columns).fidelities
    return (times or 0) * rows * rows * columns


def activations(network: Network | OtherNetwork, rows: int, columns: int) -> int:
    """Numbers of one slice that training keeps for gradients."""
    if isinstance(network, OtherNetwork):
        return tried(network, rows, columns).activations
    pixels = (rows + 2 * network.padding) * (columns + 2 * network.padding)
    return network.cascades * (network.depth - 1) * network.features * pixels


def tried(network: OtherNetwork, rows: int = 64, columns: int = 64) -> Trial:
    """What is counted where a network is tried; its module is imported, and torch.

    Raises:
        InputError: there is no such kind of network, or its options are not its own.
    """
    return _tried(json.dumps(network.model_dump(mode="json")), rows, columns)


@cache
def _tried(described: str, rows: int, columns: int) -> Trial:
    # By name: what is counted so follows from the network's own module, which is a source of its
    # own of each result, and not from how DC-CNNs are computed.
    trial: Trial = import_module("pipeline_src.models.trial").trial(
        OtherNetwork.model_validate_json(described), rows, columns
    )
    return trial
