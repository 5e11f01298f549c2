"""Exports a bundle's network as ONNX for any number of slices, with data fidelity as matrix
products, and makes smaller variants of it: int8 and half precision.
"""

from __future__ import annotations

import io
import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from pipeline_src.data.store import Store
from pipeline_src.errors import InputError
from pipeline_src.files import atomic_path, open_regular
from pipeline_src.inference.bundled import Reconstructor
from pipeline_src.tensors import as_batch
from pipeline_src.text import one_line

#: Version of the operators; ONNX Runtime supports it since 1.14.
OPSET = 18
INPUT, OUTPUT = "zero_filled", "reconstruction"
INSTALL = "pip install --editable '.[export]'"
NEEDED = ("onnx", "onnxscript")
#: The file of the int8 variant in a bundle.
INT8 = "model.int8.onnx"
#: Slices by which the ranges of an int8 network's features are set.
CALIBRATION_SLICES = 32


def why_not() -> str:
    """Why no ONNX can be written here; empty if it can."""
    missing = [name for name in NEEDED if find_spec(name) is None]
    return f"{' and '.join(missing)} not installed ({INSTALL})" if missing else ""


def export_onnx(network: Reconstructor, path: Path) -> None:
    """Write a network, checked by ONNX's own checker; `zero_filled` and `reconstruction` are
    `(batch, 1, rows, columns)`.

    Raises:
        InputError: a package that it needs is not installed, or ONNX has no such network.
    """
    if reason := why_not():
        raise InputError(f"{path}: cannot be written: {reason}")
    import onnx

    rows, columns = network.config["matrix"]
    # Two slices, since the exporter would take one for a constant.
    example = torch.zeros(2, 1, rows, columns)
    # The exporter logs what else it could export, warns about its own parts, and prints the whole
    # graph where it does not understand it.
    with (
        _quiet("torch.onnx"),
        _quiet("torch.fx"),
        redirect_stderr(io.StringIO()),
        warnings.catch_warnings(action="ignore"),
    ):
        try:
            program = torch.onnx.export(
                network,
                (example,),
                dynamo=True,
                opset_version=OPSET,
                input_names=[INPUT],
                output_names=[OUTPUT],
                dynamic_shapes=({0: torch.export.Dim("batch", min=1)},),
                verbose=False,
            )
        except torch.onnx.errors.OnnxExporterError as error:
            # Its own text is a page of advice; the cause has the reason.
            reason = one_line(str(error.__cause__ or error).strip().partition("\n")[0])
            kind = network.config["network"]["kind"]
            raise InputError(f"{path.name}: of kind {kind}, not written: {reason}") from None
    assert program is not None
    model = program.model_proto
    _forget_the_way(model)
    onnx.checker.check_model(model, full_check=True)
    with atomic_path(path) as temporary:
        temporary.write_bytes(model.SerializeToString(deterministic=True))


@contextmanager
def _quiet(logger: str | None = None) -> Iterator[None]:
    """Only errors of a logger, or of the root of all, are logged meanwhile."""
    log = logging.getLogger(logger)
    level = log.level
    log.setLevel(logging.ERROR)
    try:
        yield
    finally:
        log.setLevel(level)


def _forget_the_way(model: Any) -> None:
    """Remove what the exporter records about itself, such as folders of this machine."""
    model.doc_string = ""
    del model.metadata_props[:]
    graph = model.graph
    graph.doc_string = ""
    del graph.metadata_props[:]
    for part in (*graph.node, *graph.input, *graph.output, *graph.value_info, *graph.initializer):
        part.doc_string = ""
        del part.metadata_props[:]


def run_onnx(path: Path, zero_filled: NDArray[np.float32]) -> NDArray[np.float32] | None:
    """Run ONNX Runtime on `(batch, 1, rows, columns)`, of the same shape as the result; None if it
    is not installed.

    Raises:
        InputError: the file cannot be read, or has other operators or shapes.
    """
    if find_spec("onnxruntime") is None:
        return None
    import onnxruntime

    # Warnings of the runtime about this machine would clutter the one line of output.
    onnxruntime.set_default_logger_severity(4)
    try:
        with open_regular(path) as stream:
            session = onnxruntime.InferenceSession(
                stream.read(), providers=["CPUExecutionProvider"]
            )
        found: NDArray[np.float32] = session.run([OUTPUT], {INPUT: zero_filled})[0]
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror or error})") from None
    # The runtime raises its own exception classes, one for each kind of failure.
    except Exception as error:
        said = " ".join(str(error).split())[:200]
        raise InputError(
            f"{path}: ONNX Runtime cannot run it ({said}); make the bundle again"
        ) from None
    return found


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

    # The quantiser advises on preprocessing, which the exporter has done.
    with atomic_path(path) as temporary, _quiet():
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
        if node.op_type == "Conv" and 1 in shapes.get(node.input[1], ())[:2]
    ]


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
