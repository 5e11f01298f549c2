"""This project's own convolution kernels, for each kind of device."""

from __future__ import annotations

from pipeline_src.acceleration.cascade import Kernels
from pipeline_src.acceleration.compiled import CompilationError
from pipeline_src.acceleration.convolver import Convolver
from pipeline_src.acceleration.gpu_cascade import GpuKernels, why_not_here


def kernels_for(features: int, precision: str, device: str) -> Convolver:
    """The kernels for cascades with a number of features on a device, `cpu` or `cuda`.

    Raises:
        CompilationError: they cannot be built or run here.
    """
    if device != "cuda":
        return Kernels(features, precision)
    if reason := why_not_here(features, precision):
        raise CompilationError(reason)
    return GpuKernels(features, precision)
