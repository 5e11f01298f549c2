"""How much arithmetic a network is: multiply-adds of one slice, told from its configuration."""

from __future__ import annotations

from itertools import pairwise

from pipeline_src.config.method import Network


def convolution_multiply_adds(network: Network, rows: int, columns: int) -> int:
    """Multiply-adds of all convolutions for one slice.

    Every tap counts at every pixel, those in the zero padding too; biases do not count.
    """
    channels = [1, *[network.features] * (network.depth - 1), 1]
    pixels = (rows + 2 * network.padding) * (columns + 2 * network.padding)
    taps = sum(9 * before * after for before, after in pairwise(channels))
    return network.cascades * taps * pixels


def fidelity_multiply_adds(network: Network, rows: int, columns: int) -> int:
    """Multiply-adds of the data fidelity's matrix products for one slice: `(rows, rows)` times
    `(rows, columns)` a cascade."""
    return network.cascades * rows * rows * columns
