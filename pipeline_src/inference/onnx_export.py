"""Exports a bundle's network as ONNX for any number of slices, with data fidelity as matrix
products.
"""

from __future__ import annotations

import logging
import warnings
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from pipeline_src.errors import InputError
from pipeline_src.files import atomic_path, open_regular
from pipeline_src.inference.dccnn import Reconstructor

#: Version of the operators; ONNX Runtime supports it since 1.14.
OPSET = 18
INPUT, OUTPUT = "zero_filled", "reconstruction"
INSTALL = "pip install --editable '.[export]'"
NEEDED = ("onnx", "onnxscript")


def why_not() -> str:
    """Why no ONNX can be written here; empty if it can."""
    missing = [name for name in NEEDED if find_spec(name) is None]
    return f"{' and '.join(missing)} not installed ({INSTALL})" if missing else ""


def export_onnx(network: Reconstructor, path: Path) -> None:
    """Write a network, checked by ONNX's own checker; `zero_filled` and `reconstruction` are
    `(batch, 1, rows, columns)`.

    Raises:
        InputError: a package that it needs is not installed.
    """
    if reason := why_not():
        raise InputError(f"{path}: cannot be written: {reason}")
    import onnx

    rows, columns = network.config["matrix"]
    # Two slices, since the exporter would take one for a constant.
    example = torch.zeros(2, 1, rows, columns)
    # The exporter logs what else it could export, and warns about its own parts.
    log = logging.getLogger("torch.onnx")
    level = log.level
    log.setLevel(logging.ERROR)
    with warnings.catch_warnings(action="ignore"):
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
    log.setLevel(level)
    assert program is not None
    model = program.model_proto
    _forget_the_way(model)
    onnx.checker.check_model(model, full_check=True)
    with atomic_path(path) as temporary:
        temporary.write_bytes(model.SerializeToString(deterministic=True))


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
