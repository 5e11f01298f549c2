"""Ways of running a trained network on a CPU: torch, this project's kernels, other runtimes.

`config.runtimes` has their names and what each needs.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from operator import attrgetter
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from pipeline_src.evaluation.timing import Times, time_alternating
from pipeline_src.inference.bundle_files import ONNX, WEIGHTS, read_bundle_mask
from pipeline_src.inference.dccnn import Reconstructor, load
from pipeline_src.inference.onnx_export import INPUT, OUTPUT
from pipeline_src.inference.onnx_variants import INT8, write_fp16, write_int8
from pipeline_src.models.dccnn import use_kernels
from pipeline_src.models.weights import load_network
from pipeline_src.sampling.data_fidelity import data_fidelity

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

    @property
    def weights(self) -> Path:
        """The weights of torch's network."""
        return self.folder / WEIGHTS

    @property
    def onnx(self) -> Path:
        """The network in single precision."""
        return self.folder / ONNX

    @property
    def int8(self) -> Path:
        """The network with 8-bit integers."""
        path = self.folder / INT8
        if not path.exists():
            write_int8(self.onnx, path, self._calibration())
        return path

    @property
    def fp16(self) -> Path:
        """The network in half precision."""
        path = self.folder / "model.fp16.onnx"
        if not path.exists():
            write_fp16(self.onnx, path)
        return path

    def network(self) -> Reconstructor:
        """Torch's network, as a bundle has it."""
        return load(self.folder)


@dataclass(frozen=True)
class Runtime:
    """A way of running a network.

    Attributes:
        file: the file that it runs.
        start: loads that file for a number of threads.
    """

    file: Callable[[Exported], Path]
    start: Callable[[Exported, int], Reconstruct]


def _torch(exported: Exported, threads: int) -> Reconstruct:
    network = exported.network()
    torch.set_num_threads(threads)

    def reconstruct(zero_filled: Floats) -> Floats:
        with torch.no_grad():
            found: Floats = network(torch.from_numpy(zero_filled)).numpy()
        return found

    return reconstruct


def _compiled(exported: Exported, threads: int) -> Reconstruct:
    network = load_network(exported.weights).eval()
    use_kernels(network, "fp32")
    fidelity = data_fidelity(read_bundle_mask(exported.folder))
    torch.set_num_threads(threads)

    def reconstruct(zero_filled: Floats) -> Floats:
        with torch.no_grad():
            found: Floats = network(torch.from_numpy(zero_filled), fidelity).numpy()
        return found

    return reconstruct


def _onnx_runtime(file: Callable[[Exported], Path]) -> Callable[[Exported, int], Reconstruct]:
    def start(exported: Exported, threads: int) -> Reconstruct:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.log_severity_level = 4
        # Threads that wait for work by spinning would slow whatever runs next to them.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        session = onnxruntime.InferenceSession(
            file(exported), options, providers=["CPUExecutionProvider"]
        )

        def reconstruct(zero_filled: Floats) -> Floats:
            found: Floats = session.run([OUTPUT], {INPUT: zero_filled})[0]
            return found

        return reconstruct

    return start


def _openvino(precision: str) -> Callable[[Exported, int], Reconstruct]:
    def start(exported: Exported, threads: int) -> Reconstruct:
        import openvino

        wanted = {
            "INFERENCE_NUM_THREADS": threads,
            "INFERENCE_PRECISION_HINT": precision,
            "PERFORMANCE_HINT": "LATENCY",
        }
        model = openvino.Core().compile_model(str(exported.onnx), "CPU", wanted)

        def reconstruct(zero_filled: Floats) -> Floats:
            # A copy: the next call writes into the same memory.
            found: Floats = np.array(model({INPUT: zero_filled})[OUTPUT])
            return found

        return reconstruct

    return start


_WEIGHTS, _ONNX = attrgetter("weights"), attrgetter("onnx")
_INT8, _FP16 = attrgetter("int8"), attrgetter("fp16")
#: By their names in configurations; the others are compared with the first.
RUNTIMES = {
    "torch": Runtime(_WEIGHTS, _torch),
    "compiled": Runtime(_WEIGHTS, _compiled),
    "onnxruntime": Runtime(_ONNX, _onnx_runtime(_ONNX)),
    "onnxruntime_int8": Runtime(_INT8, _onnx_runtime(_INT8)),
    "onnxruntime_fp16": Runtime(_FP16, _onnx_runtime(_FP16)),
    "openvino": Runtime(_ONNX, _openvino("f32")),
    "openvino_bf16": Runtime(_ONNX, _openvino("bf16")),
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
    started = {name: RUNTIMES[name].start(exported, threads) for name in runtimes}
    # Torch has one number of threads per process.
    torch.set_num_threads(threads)
    calls = {name: partial(run, zero_filled) for name, run in started.items()}
    return started, time_alternating(calls, repeats)
