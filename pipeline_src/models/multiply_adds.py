"""The size of a network and the arithmetic per slice, computed from its configuration.

For a DC-CNN this needs no torch; other kinds are run on tensors without data.
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
    """Number of weights and biases."""
    if isinstance(network, Network):
        return network.parameters
    return tried(network).parameters


def convolution_multiply_adds(network: Network | OtherNetwork, rows: int, columns: int) -> int:
    """Multiply-adds of all convolutions for one slice.

    Every tap counts at every pixel, including those in the zero padding; biases do not count.
    """
    if isinstance(network, OtherNetwork):
        return tried(network, rows, columns).multiply_adds
    channels = [1, *[network.features] * (network.depth - 1), 1]
    pixels = (rows + 2 * network.padding) * (columns + 2 * network.padding)
    taps = sum(9 * before * after for before, after in pairwise(channels))
    return network.cascades * taps * pixels


def fidelity_multiply_adds(network: Network | OtherNetwork, rows: int, columns: int) -> int:
    """Multiply-adds of the matrix products of data fidelity for one slice.

    Each is `(rows, rows)` times `(rows, columns)`; there is one per cascade, or as many as the
    network calls.
    """
    times = network.cascades
    if times is None and isinstance(network, OtherNetwork):
        times = tried(network, rows, columns).fidelities
    return (times or 0) * rows * rows * columns


def activations(network: Network | OtherNetwork, rows: int, columns: int) -> int:
    """How many numbers training keeps per slice to compute gradients."""
    if isinstance(network, OtherNetwork):
        return tried(network, rows, columns).activations
    pixels = (rows + 2 * network.padding) * (columns + 2 * network.padding)
    return network.cascades * (network.depth - 1) * network.features * pixels


def tried(network: OtherNetwork, rows: int = 64, columns: int = 64) -> Trial:
    """Counts from a trial run of a network; this imports its module, and torch.

    Raises:
        InputError: there is no such kind of network, or its options are not valid for it.
    """
    return _tried(json.dumps(network.model_dump(mode="json")), rows, columns)


@cache
def _tried(described: str, rows: int, columns: int) -> Trial:
    # Imported by name, so that this module does not depend on how DC-CNNs are computed: the counts
    # follow from the network's own module, which is recorded as a source of each result anyway.
    trial: Trial = import_module("pipeline_src.models.trial").trial(
        OtherNetwork.model_validate_json(described), rows, columns
    )
    return trial
