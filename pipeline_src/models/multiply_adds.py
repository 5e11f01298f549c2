"""The size of a network and the arithmetic per slice, computed from its configuration.

For a DC-CNN this needs no torch; other kinds are run on tensors without data.
"""

from __future__ import annotations

import json
from functools import cache
from importlib import import_module
from itertools import pairwise

from pipeline_src.config.networks import Counts, Network, OtherNetwork


def counts(network: Network | OtherNetwork, rows: int = 64, columns: int = 64) -> Counts:
    """What reconstructing one slice takes.

    Every tap of a convolution counts at every pixel, including those in the zero padding; biases do
    not count. For another kind than DC-CNN, this imports its module, and torch.

    Raises:
        InputError: there is no such kind of network, or its options are not valid for it.
    """
    if isinstance(network, OtherNetwork):
        return _tried(json.dumps(network.model_dump(mode="json")), rows, columns)
    channels = [1, *[network.features] * (network.depth - 1), 1]
    pixels = (rows + 2 * network.padding) * (columns + 2 * network.padding)
    taps = sum(9 * before * after for before, after in pairwise(channels))
    biases = sum(channels[1:])
    return Counts(
        parameters=network.cascades * (taps + biases),
        multiply_adds=network.cascades * taps * pixels,
        fidelities=network.cascades,
        activations=network.cascades * (network.depth - 1) * network.features * pixels,
    )


def fidelity_multiply_adds(network: Network | OtherNetwork, rows: int, columns: int) -> int:
    """Multiply-adds of the matrix products of data fidelity for one slice: each is `(rows, rows)`
    times `(rows, columns)`.
    """
    return counts(network, rows, columns).fidelities * rows * rows * columns


@cache
def _tried(described: str, rows: int, columns: int) -> Counts:
    # Imported by name, so that this module does not depend on how DC-CNNs are computed: the counts
    # follow from the network's own module, which is recorded as a source of each result anyway.
    found: Counts = import_module("pipeline_src.models.trial").trial(
        OtherNetwork.model_validate_json(described), rows, columns
    )
    return found
