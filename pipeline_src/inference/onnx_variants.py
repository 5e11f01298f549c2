"""Makes smaller variants of an exported network: int8 and half precision."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from pipeline_src.data.store import Store
from pipeline_src.errors import InputError
from pipeline_src.files import atomic_path
from pipeline_src.inference.dccnn import Reconstructor
from pipeline_src.inference.onnx_export import INPUT
from pipeline_src.tensors import as_batch

#: The file of the int8 variant in a bundle.
INT8 = "model.int8.onnx"
#: Slices by which the ranges of an int8 network's features are set.
CALIBRATION_SLICES = 32


def calibration_slices(network: Reconstructor, store: Store) -> NDArray[np.float32]:
    """Zero-filled training slices `(slices, 1, rows, columns)` of a store, evenly spaced.

    Raises:
        InputError: the store has none.
    """
    images, _ = store.part("train")
    if not len(images):
        raise InputError("the store has no training slices, by which int8 is calibrated")
    chosen = np.unique(np.linspace(0, len(images) - 1, CALIBRATION_SLICES).astype(int))
    return zero_filled_of(network, images[chosen])


def zero_filled_of(network: Reconstructor, images: NDArray[np.float32]) -> NDArray[np.float32]:
    """Zero-filled images `(slices, 1, rows, columns)` of slices `(slices, rows, columns)`."""
    with torch.no_grad():
        found: NDArray[np.float32] = network.undersample(as_batch(images)).numpy()
    return found


def write_int8(source: Path, path: Path, zero_filled: NDArray[np.float32]) -> None:
    """Write a variant whose convolutions between features work on 8-bit integers.

    Ranges are static, the smallest and largest values on the slices given; weights have a scale
    per channel. The first and last convolution of each cascade, which read and write the image,
    stay in single precision, and so does data fidelity: they cost little, and in int8 the
    image itself would have 256 values.

    Args:
        source: the network in single precision (.onnx).
        path: the variant to write (.onnx).
        zero_filled: `(slices, 1, rows, columns)`, images of training patients.
    """
    import onnx
    from onnxruntime.quantization import (
        CalibrationDataReader,
        QuantFormat,
        QuantType,
        quantize_static,
    )

    class Reader(CalibrationDataReader):  # type: ignore[misc]
        def __init__(self) -> None:
            self._slices = iter(zero_filled)

        def get_next(self) -> dict[str, NDArray[np.float32]] | None:
            found = next(self._slices, None)
            return None if found is None else {INPUT: found[None]}

    with atomic_path(path) as temporary, _without_advice():
        quantize_static(
            source,
            temporary,
            Reader(),
            quant_format=QuantFormat.QDQ,
            per_channel=True,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
            op_types_to_quantize=["Conv"],
            nodes_to_exclude=_of_images(onnx.load(source)),
        )


def _of_images(model: Any) -> list[str]:
    """Names of the convolutions that read or write one channel."""
    shapes = {tensor.name: tuple(tensor.dims) for tensor in model.graph.initializer}
    return [
        node.name
        for node in model.graph.node
        if node.op_type == "Conv" and 1 in shapes[node.input[1]][:2]
    ]


@contextmanager
def _without_advice() -> Iterator[None]:
    """Keep the quantiser's advice on preprocessing, which the exporter has done, off the screen."""
    log = logging.getLogger()
    level = log.level
    log.setLevel(logging.ERROR)
    try:
        yield
    finally:
        log.setLevel(level)


def write_fp16(source: Path, path: Path) -> None:
    """Write a variant in half precision that takes and gives images in single precision.

    Args:
        source: the network in single precision (.onnx).
        path: the variant to write (.onnx).
    """
    import onnx
    from onnxruntime.transformers.float16 import convert_float_to_float16

    small = convert_float_to_float16(onnx.load(source), keep_io_types=True)
    with atomic_path(path) as temporary:
        temporary.write_bytes(small.SerializeToString(deterministic=True))
