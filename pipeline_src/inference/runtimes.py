"""Ways of running a trained network on a CPU: torch, this project's kernels, other runtimes.

`config.runtimes` has their names and what each needs.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from pipeline_src.acceleration.compiled import CompilationError
from pipeline_src.errors import InputError
from pipeline_src.evaluation.timing import Times, time_alternating
from pipeline_src.inference.bundle_files import ONNX, WEIGHTS, read_bundle_mask
from pipeline_src.inference.bundled import load
from pipeline_src.inference.onnx_export import INPUT, INT8, OUTPUT, write_fp16, write_int8
from pipeline_src.models.dccnn import use_kernels
from pipeline_src.models.weights import load_network
from pipeline_src.sampling.data_fidelity import data_fidelity

FP16 = "model.fp16.onnx"
Floats = NDArray[np.float32]
#: Reconstructs zero-filled images `(batch, 1, rows, columns)`; the result has the same shape.
Reconstruct = Callable[[Floats], Floats]


class Exported:
    """A bundle, and the variants of its network that are made when they are asked for.

    Args:
        folder: the bundle; variants are written beside its files.
        calibration: returns zero-filled training slices `(slices, 1, rows, columns)` for int8.
    """

    def __init__(self, folder: Path, calibration: Callable[[], Floats]) -> None:
        self.folder, self._calibration = folder, calibration

    def file(self, name: str) -> Path:
        """A file of the bundle, such as `model.onnx`; a variant is made if it is not there."""
        path = self.folder / name
        if name == INT8 and not path.exists():
            write_int8(self.folder / ONNX, path, self._calibration())
        elif name == FP16 and not path.exists():
            write_fp16(self.folder / ONNX, path)
        return path


@dataclass(frozen=True)
class Runtime:
    """A way of running a network.

    Attributes:
        file: the name of the file that it runs.
        start: loads that file, in its bundle, for a number of threads.
    """

    file: str
    start: Callable[[Path, int], Reconstruct]


def _torch(path: Path, threads: int) -> Reconstruct:
    return _by_torch(load(path.parent), threads)


def _compiled(path: Path, threads: int) -> Reconstruct:
    network = load_network(path).eval()
    try:
        use_kernels(network, "fp32")
    except CompilationError as error:
        raise InputError(f"runtime compiled: {network.network.name}: {error}") from None
    fidelity = data_fidelity(read_bundle_mask(path.parent))
    return _by_torch(partial(network, fidelity=fidelity), threads)


def _by_torch(network: Callable[[torch.Tensor], torch.Tensor], threads: int) -> Reconstruct:
    torch.set_num_threads(threads)

    def reconstruct(zero_filled: Floats) -> Floats:
        with torch.no_grad():
            found: Floats = network(torch.from_numpy(zero_filled)).numpy()
        return found

    return reconstruct


def _onnx_runtime(path: Path, threads: int) -> Reconstruct:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 4
    # Threads that wait for work by spinning would slow whatever runs next to them.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])

    def reconstruct(zero_filled: Floats) -> Floats:
        found: Floats = session.run([OUTPUT], {INPUT: zero_filled})[0]
        return found

    return reconstruct


def _openvino(precision: str, path: Path, threads: int) -> Reconstruct:
    import openvino

    wanted = {
        "INFERENCE_NUM_THREADS": threads,
        "INFERENCE_PRECISION_HINT": precision,
        "PERFORMANCE_HINT": "LATENCY",
    }
    model = openvino.Core().compile_model(str(path), "CPU", wanted)

    def reconstruct(zero_filled: Floats) -> Floats:
        # A copy: the next call writes into the same memory.
        found: Floats = np.array(model({INPUT: zero_filled})[OUTPUT])
        return found

    return reconstruct


#: By their names in configurations; the others are compared with the first.
RUNTIMES = {
    "torch": Runtime(WEIGHTS, _torch),
    "compiled": Runtime(WEIGHTS, _compiled),
    "onnxruntime": Runtime(ONNX, _onnx_runtime),
    "onnxruntime_int8": Runtime(INT8, _onnx_runtime),
    "onnxruntime_fp16": Runtime(FP16, _onnx_runtime),
    "openvino": Runtime(ONNX, partial(_openvino, "f32")),
    "openvino_bf16": Runtime(ONNX, partial(_openvino, "bf16")),
}


def timed(
    exported: Exported, runtimes: Sequence[str], zero_filled: Floats, threads: int, repeats: int
) -> tuple[dict[str, Reconstruct], Times]:
    """Each runtime as it was started, and its times for an image `(1, 1, rows, columns)`, in turns.

    Args:
        exported: the network.
        runtimes: names of `RUNTIMES`.
        zero_filled: the image, of that shape.
        threads: processor threads of each.
        repeats: timed reconstructions of each.
    """
    chosen = {name: RUNTIMES[name] for name in runtimes}
    started = {name: run.start(exported.file(run.file), threads) for name, run in chosen.items()}
    # Torch has one number of threads per process.
    torch.set_num_threads(threads)
    calls = {name: partial(run, zero_filled) for name, run in started.items()}
    return started, time_alternating(calls, repeats)
