"""Computes a cascade's convolutions and their gradients with the compiled kernels."""

from __future__ import annotations

import ctypes
import math
import threading
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd import Function
from torch.autograd.function import once_differentiable

from pipeline_src.acceleration.compiled import KINDS, CompilationError, kinds_here, load
from pipeline_src.acceleration.convolver import Convolver

TORCH_LIBRARY = Path(torch.__file__).parent / "lib" / "libtorch_cpu.so"
_Pointer = ctypes.c_void_p
#: Pixels behind the features that some kernels read, and do not use.
READ_BEHIND = 17


class _Cascade(ctypes.Structure):
    """The struct `Cascade` of cascade.c."""

    _fields_ = (
        *((name, ctypes.c_int32) for name in ("slices", "rows", "columns", "layers")),
        *((name, ctypes.c_int32) for name in ("kept", "middle")),
        *((name, _Pointer) for name in ("thread", "threads", "barrier", "weights", "biases")),
        *((name, _Pointer) for name in ("image", "features", "out", "scratch")),
        *((name, _Pointer) for name in ("of_out", "of_middle")),
        *((name, _Pointer) for name in ("of_weights", "of_biases", "of_image")),
    )


class _Convolutions(Function):
    @staticmethod
    def forward(
        ctx: Any, kernels: Kernels, wanted: bool, middle: int | None, image: Tensor, *flat: Tensor
    ) -> tuple[Tensor, Tensor | None]:
        # The kernels read weights in PyTorch's default order.
        weights = [weight.contiguous() for weight in flat[::2]]
        batch, _, rows, columns = image.shape
        framed = _framed(image)
        # Without gradients: two layers of a slice, and the middle layer of all slices.
        first = 2 if middle is None or not wanted else middle * batch
        planes = (len(weights) - 1) * batch if wanted else 2 if middle is None else 2 + batch
        shape = (planes, *framed.shape[2:], kernels.features)
        numbers = math.prod(shape)
        size = (numbers + READ_BEHIND * kernels.features,)
        if wanted:
            features = framed.new_empty(size, dtype=kernels.dtype)
        else:
            features = _reused("features", size, kernels.dtype)
        features = features[:numbers].view(shape)
        out = framed.new_empty(image.shape)
        cascade = _Cascade(batch, rows, columns, len(weights), wanted, _number(middle))
        tables = _table(weights), _table(flat[1::2])
        cascade.weights, cascade.biases = map(ctypes.addressof, tables)
        cascade.image, cascade.features, cascade.out = map(Tensor.data_ptr, (framed, features, out))
        kernels.run("forward", cascade)
        if wanted:
            ctx.kernels, ctx.middle, ctx.size = kernels, middle, image.shape
            ctx.set_materialize_grads(False)
            ctx.save_for_backward(framed, features, *weights)
        if middle is None:
            return out, None
        found = features[first : first + batch, 1 : rows + 1, 1 : columns + 1]
        # A copy: a view would keep the features of all layers alive with it.
        dense = torch.channels_last
        return out, found.permute(0, 3, 1, 2).to(image.dtype, copy=True, memory_format=dense)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, of_out: Tensor | None, of_middle: Tensor | None) -> tuple[Any, ...]:
        framed, features, *weights = ctx.saved_tensors
        batch, _, rows, columns = ctx.size
        # Layers after the middle one do not contribute to its gradient.
        reached = (
            len(weights) if of_out is not None else ctx.middle + 1 if of_middle is not None else 0
        )
        of_weights = [torch.empty_like(weight) for weight in weights[:reached]]
        of_biases = [framed.new_empty(len(weight)) for weight in weights[:reached]]
        of_image = framed.new_empty(ctx.size) if ctx.needs_input_grad[3] and reached else None
        cascade = _Cascade(batch, rows, columns, len(weights), True, _number(ctx.middle))
        tables = _table(weights), _table(of_weights), _table(of_biases)
        cascade.weights, cascade.of_weights, cascade.of_biases = map(ctypes.addressof, tables)
        incoming = (
            None if of_out is None else _framed(of_out),
            None if of_middle is None else of_middle.permute(0, 2, 3, 1).contiguous(),
        )
        cascade.image, cascade.features = framed.data_ptr(), features.data_ptr()
        cascade.of_out, cascade.of_middle, cascade.of_image = (
            None if tensor is None else tensor.data_ptr() for tensor in (*incoming, of_image)
        )
        if reached:
            ctx.kernels.run("backward", cascade)
        found = [t for pair in zip(of_weights, of_biases, strict=True) for t in pair]
        return (None, None, None, of_image, *found, *[None] * (2 * (len(weights) - reached)))


class Kernels(Convolver):
    """The kernels for cascades with a given number of features, run by torch's threads.

    Every sum has one fixed order: the result depends, to the last bit, neither on the number of
    threads nor on the compiler, and on the processor only where it has AMX and multiplies in bf16.

    Args:
        features: channels between the first and the last convolution; the kernels compute the next
            multiple of 16, or 32 with AMX.
        precision: `fp32`; or `bf16`, in which features are kept and multiplied, while weights,
            images and all sums are in single precision.
        kind: one of the kinds returned by `kinds_here`; None: the first of them.

    Raises:
        CompilationError: the kernels cannot be built or run here.
    """

    function = _Convolutions
    device = "cpu"

    def __init__(self, features: int, precision: str = "fp32", kind: str | None = None) -> None:
        kinds = [kind] if kind else kinds_here(precision)
        if not kinds:
            wanted = " or ".join(k for k, v in KINDS.items() if v.precision == precision)
            raise CompilationError(f"for {precision} they need a processor with {wanted}")
        self.kind = kinds[0]
        self.features = KINDS[self.kind].padded(features)
        self.dtype = torch.bfloat16 if precision == "bf16" else torch.float32
        self._team = _openmp()
        library = load(self.features, self.kind)
        self._work, self._scratch = {}, {}
        for name in ("forward", "backward"):
            self._work[name] = ctypes.cast(getattr(library, f"cascade_{name}"), _Pointer)
            self._scratch[name] = getattr(library, f"{name}_scratch")
            self._scratch[name].restype = ctypes.c_long

    def run(self, name: str, cascade: _Cascade) -> None:
        """Run `forward` or `backward` in every thread."""
        threads = torch.get_num_threads()
        floats = self._scratch[name](ctypes.byref(cascade), threads)
        scratch = _reused("scratch", (floats,), torch.float32)
        cascade.scratch = scratch.data_ptr()
        cascade.thread, cascade.threads, cascade.barrier = self._team.asked
        self._team.run(self._work[name], ctypes.byref(cascade), threads, 0)


_memory = threading.local()


def _reused(purpose: str, shape: tuple[int, ...], dtype: torch.dtype) -> Tensor:
    """An uninitialised tensor in memory that this thread reuses at its next call for that purpose.

    Memory that is freed between calls would be taken by smaller tensors that live longer.
    """
    size = math.prod(shape) * dtype.itemsize
    block: Tensor | None = getattr(_memory, purpose, None)
    if block is None or len(block) < size:
        block = torch.empty(size, dtype=torch.uint8)
        setattr(_memory, purpose, block)
    return block[:size].view(dtype).view(shape)


def _framed(image: Tensor) -> Tensor:
    """Images `(batch, 1, rows, columns)` with a border of zeros: one pixel, then up to even
    sizes.
    """
    rows, columns = image.shape[2:]
    return F.pad(image, (1, 1 + columns % 2, 1, 1 + rows % 2))


def _number(layer: int | None) -> int:
    """A layer's number as cascade.c expects it."""
    return -1 if layer is None else layer


def _table(tensors: Sequence[Tensor]) -> Any:
    """A C array with the addresses of tensors."""
    return (_Pointer * len(tensors))(*(tensor.data_ptr() for tensor in tensors))


class _Team(NamedTuple):
    """Functions of an OpenMP library: one starts threads, the others tell a thread its number and
    how many there are, and let it wait for the others.
    """

    run: Any
    asked: tuple[Any, Any, Any]


@cache
def _openmp() -> _Team:
    """The OpenMP library of torch's own threads; threads of a second library would compete for the
    same cores.

    Raises:
        CompilationError: there is none.
    """
    names = ("omp_get_thread_num", "omp_get_num_threads", "GOMP_barrier")
    try:
        # Torch's library leads to the OpenMP it was linked with, even if others are loaded.
        library = ctypes.CDLL(str(TORCH_LIBRARY))
        run = library.GOMP_parallel
        number, count, barrier = (
            ctypes.cast(getattr(library, name), _Pointer).value for name in names
        )
    except (OSError, AttributeError) as error:
        raise CompilationError(f"torch has no OpenMP threads to run them ({error})") from error
    run.argtypes = [_Pointer, _Pointer, ctypes.c_uint, ctypes.c_uint]
    run.restype = None
    return _Team(run, (number, count, barrier))
