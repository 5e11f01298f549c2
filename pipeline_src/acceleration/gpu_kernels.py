"""Triton kernels for the 3x3 convolutions of a cascade on a GPU, and for their gradients.

Features are `(pixels, channels)`, the pixels of all slices one after the other; images are
`(pixels,)`, in single precision. A convolution has one pixel of zero padding. Sums are in single
precision and in one fixed order, so that two runs on the same GPU agree to the last bit.

Weights are in the order `(channels_out, 3, 3, channels_in)` ("channels last"). With ``FLIP`` a
kernel reads the neighbours on the opposite side, as gradients with respect to an input need.
"""

from __future__ import annotations

import triton
import triton.language as tl


@triton.jit
def _neighbours(pixels, tap, total, ROWS: tl.constexpr, COLUMNS: tl.constexpr, FLIP: tl.constexpr):
    """The pixels under one of the nine taps, and which of them lie within the slice."""
    down, right = tap // 3 - 1, tap % 3 - 1
    if FLIP:
        down, right = -down, -right
    row, column = pixels // COLUMNS % ROWS + down, pixels % COLUMNS + right
    inside = (row >= 0) & (row < ROWS) & (column >= 0) & (column < COLUMNS)
    return pixels + down * COLUMNS + right, inside & (pixels < total)


@triton.jit
def _image_under(
    image, pixels, tap, total, ROWS: tl.constexpr, COLUMNS: tl.constexpr, FLIP: tl.constexpr
):
    """An image at the pixels under a tap, zero outside the slice."""
    near, inside = _neighbours(pixels, tap, total, ROWS, COLUMNS, FLIP)
    return tl.load(image + near, mask=inside, other=0.0)


@triton.jit
def _features_under(
    features,
    pixels,
    tap,
    total,
    ROWS: tl.constexpr,
    COLUMNS: tl.constexpr,
    CHANNELS: tl.constexpr,
    FLIP: tl.constexpr,
):
    """Features at the pixels under a tap, zero outside the slice."""
    near, inside = _neighbours(pixels, tap, total, ROWS, COLUMNS, FLIP)
    places = near[:, None] * CHANNELS + tl.arange(0, CHANNELS)[None, :]
    return tl.load(features + places, mask=inside[:, None], other=0.0)


@triton.jit
def _finish(sums, places, kept, gate, added, GATED: tl.constexpr, ADDED: tl.constexpr):
    """Features from sums: with ReLU; or gradients, which pass where the feature ``gate`` is
    positive."""
    if GATED:
        if ADDED:
            sums += tl.load(added + places, mask=kept, other=0.0).to(tl.float32)
        found = tl.where(tl.load(gate + places, mask=kept, other=0.0) > 0, sums, 0.0)
    else:
        found = tl.maximum(sums, 0.0)
    return found


@triton.jit
def expand(
    image,
    weight,
    bias,
    gate,
    added,
    out,
    total,
    tap_stride: tl.constexpr,
    channel_stride: tl.constexpr,
    ROWS: tl.constexpr,
    COLUMNS: tl.constexpr,
    CHANNELS: tl.constexpr,
    BLOCK: tl.constexpr,
    FLIP: tl.constexpr,
    GATED: tl.constexpr,
    ADDED: tl.constexpr,
):
    """One channel to many: a first convolution with ReLU; or, GATED, the gradient with respect to
    the features that a last convolution reads."""
    pixels = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    channels = tl.arange(0, CHANNELS)
    sums = tl.zeros((BLOCK, CHANNELS), tl.float32)
    if not GATED:
        sums += tl.load(bias + channels)[None, :]
    for tap in tl.static_range(9):
        values = _image_under(image, pixels, tap, total, ROWS, COLUMNS, FLIP)
        row = tl.load(weight + tap * tap_stride + channels * channel_stride)
        sums += values[:, None] * row[None, :]
    places, kept = pixels[:, None] * CHANNELS + channels[None, :], (pixels < total)[:, None]
    found = _finish(sums, places, kept, gate, added, GATED, ADDED)
    tl.store(out + places, found.to(out.dtype.element_ty), mask=kept)


@triton.jit
def mix(
    features,
    weight,
    bias,
    gate,
    added,
    out,
    total,
    ROWS: tl.constexpr,
    COLUMNS: tl.constexpr,
    CHANNELS: tl.constexpr,
    BLOCK: tl.constexpr,
    STAGES: tl.constexpr,
    PRECISION: tl.constexpr,
    BY_ROW: tl.constexpr,
    GATED: tl.constexpr,
    ADDED: tl.constexpr,
):
    """Many channels to many: a convolution with ReLU; or, GATED, the gradient with respect to the
    features that it reads.

    The weights are `(channels summed over, 3, 3, other channels)` with BY_ROW, else `(other
    channels, 3, 3, channels summed over)`.
    """
    pixels = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    channels = tl.arange(0, CHANNELS)
    if BY_ROW:
        taps = channels[:, None] * (9 * CHANNELS) + channels[None, :]
    else:
        taps = channels[:, None] + channels[None, :] * (9 * CHANNELS)
    sums = tl.zeros((BLOCK, CHANNELS), tl.float32)
    for tap in tl.range(9, num_stages=STAGES):
        values = _features_under(features, pixels, tap, total, ROWS, COLUMNS, CHANNELS, GATED)
        matrix = tl.load(weight + tap * CHANNELS + taps)
        sums = tl.dot(values, matrix, sums, input_precision=PRECISION)
    if not GATED:
        sums += tl.load(bias + channels)[None, :]
    places, kept = pixels[:, None] * CHANNELS + channels[None, :], (pixels < total)[:, None]
    found = _finish(sums, places, kept, gate, added, GATED, ADDED)
    tl.store(out + places, found.to(out.dtype.element_ty), mask=kept)


@triton.jit
def gather(
    features,
    weight,
    bias,
    out,
    total,
    tap_stride: tl.constexpr,
    channel_stride: tl.constexpr,
    ROWS: tl.constexpr,
    COLUMNS: tl.constexpr,
    CHANNELS: tl.constexpr,
    BLOCK: tl.constexpr,
    FLIP: tl.constexpr,
):
    """Many channels to one: a last convolution; or, with FLIP, the gradient with respect to the
    image that a first one reads (without bias)."""
    pixels = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    channels = tl.arange(0, CHANNELS)
    sums = tl.zeros((BLOCK, CHANNELS), tl.float32)
    for tap in tl.static_range(9):
        values = _features_under(features, pixels, tap, total, ROWS, COLUMNS, CHANNELS, FLIP)
        row = tl.load(weight + tap * tap_stride + channels * channel_stride)
        sums += values.to(tl.float32) * row[None, :]
    found = tl.sum(sums, axis=1)
    if not FLIP:
        found += tl.load(bias)
    tl.store(out + pixels, found, mask=pixels < total)


@triton.jit
def mix_weights(
    features,
    gradient,
    partial,
    total,
    width,
    ROWS: tl.constexpr,
    COLUMNS: tl.constexpr,
    CHANNELS: tl.constexpr,
    BLOCK: tl.constexpr,
    STAGES: tl.constexpr,
    PRECISION: tl.constexpr,
    BLOCKS: tl.constexpr,
):
    """Gradient with respect to weights and bias of a convolution of many channels to many.

    Program (i, j) sums over the i-th share of the pixels, for the j-th row of taps. Weights and
    then biases are written to row i of ``partial``, whose rows are ``width`` apart.
    """
    share, tap_row = tl.program_id(0), tl.program_id(1)
    channels = tl.arange(0, CHANNELS)
    left = tl.zeros((CHANNELS, CHANNELS), tl.float32)
    middle = tl.zeros((CHANNELS, CHANNELS), tl.float32)
    right = tl.zeros((CHANNELS, CHANNELS), tl.float32)
    biases = tl.zeros((BLOCK, CHANNELS), tl.float32)
    for block in tl.range(0, BLOCKS, num_stages=STAGES):
        pixels = (share * BLOCKS + block) * BLOCK + tl.arange(0, BLOCK)
        places = pixels[:, None] * CHANNELS + channels[None, :]
        of_out = tl.load(gradient + places, mask=(pixels < total)[:, None], other=0.0)
        turned = tl.trans(of_out)
        values = _features_under(
            features, pixels, 3 * tap_row, total, ROWS, COLUMNS, CHANNELS, False
        )
        left = tl.dot(turned, values, left, input_precision=PRECISION)
        values = _features_under(
            features, pixels, 3 * tap_row + 1, total, ROWS, COLUMNS, CHANNELS, False
        )
        middle = tl.dot(turned, values, middle, input_precision=PRECISION)
        values = _features_under(
            features, pixels, 3 * tap_row + 2, total, ROWS, COLUMNS, CHANNELS, False
        )
        right = tl.dot(turned, values, right, input_precision=PRECISION)
        biases += of_out.to(tl.float32)
    row = partial + share * width
    taps = channels[:, None] * (9 * CHANNELS) + channels[None, :] + tap_row * (3 * CHANNELS)
    tl.store(row + taps, left)
    tl.store(row + taps + CHANNELS, middle)
    tl.store(row + taps + 2 * CHANNELS, right)
    tl.store(row + 9 * CHANNELS * CHANNELS + channels, tl.sum(biases, axis=0), mask=tap_row == 1)


@triton.jit
def thin_weights(
    image,
    features,
    partial,
    total,
    width,
    tap_stride: tl.constexpr,
    channel_stride: tl.constexpr,
    ROWS: tl.constexpr,
    COLUMNS: tl.constexpr,
    CHANNELS: tl.constexpr,
    BLOCK: tl.constexpr,
    FLIP: tl.constexpr,
    BLOCKS: tl.constexpr,
):
    """Gradient with respect to weights and bias of a convolution with one channel on one side.

    The image is what a first convolution reads, and the features are the gradient with respect to
    what it gives; or, with FLIP, the other way round for a last one. Shares as in `mix_weights`.
    """
    share, tap_row = tl.program_id(0), tl.program_id(1)
    channels = tl.arange(0, CHANNELS)
    left = tl.zeros((BLOCK, CHANNELS), tl.float32)
    middle = tl.zeros((BLOCK, CHANNELS), tl.float32)
    right = tl.zeros((BLOCK, CHANNELS), tl.float32)
    biases = tl.zeros((BLOCK, CHANNELS), tl.float32)
    bias = tl.zeros((BLOCK,), tl.float32)
    for block in tl.range(0, BLOCKS):
        pixels = (share * BLOCKS + block) * BLOCK + tl.arange(0, BLOCK)
        places, kept = pixels[:, None] * CHANNELS + channels[None, :], pixels < total
        values = tl.load(features + places, mask=kept[:, None], other=0.0).to(tl.float32)
        beside = _image_under(image, pixels, 3 * tap_row, total, ROWS, COLUMNS, FLIP)
        left += beside[:, None] * values
        here = _image_under(image, pixels, 3 * tap_row + 1, total, ROWS, COLUMNS, FLIP)
        middle += here[:, None] * values
        beside = _image_under(image, pixels, 3 * tap_row + 2, total, ROWS, COLUMNS, FLIP)
        right += beside[:, None] * values
        if FLIP:
            bias += here
        else:
            biases += values
    row = partial + share * width
    taps = row + 3 * tap_row * tap_stride + channels * channel_stride
    tl.store(taps, tl.sum(left, axis=0))
    tl.store(taps + tap_stride, tl.sum(middle, axis=0))
    tl.store(taps + 2 * tap_stride, tl.sum(right, axis=0))
    if FLIP:
        # Of the middle row alone the neighbour under the middle tap is the pixel itself.
        tl.store(row + 9 * CHANNELS, tl.sum(bias, axis=0), mask=tap_row == 1)
    else:
        tl.store(row + 9 * CHANNELS + channels, tl.sum(biases, axis=0), mask=tap_row == 1)


@triton.jit
def add_shares(partial, out, width, wanted, SHARES: tl.constexpr, BLOCK: tl.constexpr):
    """Sum the rows of ``partial``, `(SHARES, width)`, into the first ``wanted`` numbers of
    ``out``."""
    tl.static_assert(SHARES % 16 == 0)
    columns = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    rows = tl.arange(0, 16)
    sums = tl.zeros((16, BLOCK), tl.float32)
    for first in tl.range(0, SHARES, 16):
        places = (first + rows)[:, None] * width + columns[None, :]
        sums += tl.load(partial + places, mask=(columns < wanted)[None, :], other=0.0)
    tl.store(out + columns, tl.sum(sums, axis=0), mask=columns < wanted)
