"""Replaying as CUDA graphs what is done again and again on batches of few sizes."""

from __future__ import annotations

import sys
from collections.abc import Callable
from contextlib import suppress

import torch
from torch import Tensor

from pipeline_src.errors import InputError

#: Graphs whose capture failed. Torch's allocator of host memory still asks them whether a stream is
#: theirs, so they must not be freed.
_FAILED: list[torch.cuda.CUDAGraph] = []


class Replayed:
    """Work on batches, replayed as a CUDA graph, one graph a batch size.

    The first batches of a size run as they are, on a side stream, which is what a capture needs
    beforehand; they count like all others. Work that cannot be captured (a loss of one's own that
    waits for the device) goes on running as it is, and says so.

    Args:
        work: takes the indices of a batch; it reads and writes tensors that stay where they are.
        what: for that line, such as `training`.

    Attributes:
        graphs: by batch size, the graph and the tensor that its indices are copied to.
    """

    WARM_UP = 3

    def __init__(self, work: Callable[[Tensor], None], what: str) -> None:
        self._work, self._what = work, what
        self._seen: dict[int, int] = {}
        self._can_capture = True
        # One for all: memory that a stream has freed is used again on that stream alone.
        self._side = torch.cuda.Stream()
        self.graphs: dict[int, tuple[torch.cuda.CUDAGraph, Tensor]] = {}

    def __call__(self, indices: Tensor) -> None:
        """Do the work on the slices at ``indices``.

        Raises:
            InputError: the GPU's memory does not suffice.
        """
        size = len(indices)
        self._seen[size] = self._seen.get(size, 0) + 1
        if self._can_capture and size not in self.graphs and self._seen[size] > self.WARM_UP:
            self._capture(size, indices)
        if size in self.graphs:
            graph, place = self.graphs[size]
            place.copy_(indices)
            graph.replay()
            return
        current = torch.cuda.current_stream()
        self._side.wait_stream(current)
        try:
            with torch.cuda.stream(self._side):
                self._work(indices)
        except torch.OutOfMemoryError as error:
            raise InputError(
                f"{self._what}: the GPU's memory does not suffice for a batch of {size} "
                f"({first_line(error)}); lower training.batch_size or "
                "distillation.teacher_cache_mib, let fewer trainings share the GPU, or take one "
                "with more"
            ) from error
        current.wait_stream(self._side)

    def _capture(self, size: int, indices: Tensor) -> None:
        place = indices.clone()
        try:
            graph = captured(lambda: self._work(place), self._side)
        except RuntimeError as error:
            self._can_capture = False
            cause = true_cause(error)
            reason = first_line(cause)
            if isinstance(cause, torch.OutOfMemoryError):
                reason = f"the GPU's memory does not suffice for one ({reason})"
            print(f"{self._what} without CUDA graphs: {reason}", file=sys.stderr, flush=True)
        else:
            self.graphs[size] = (graph, place)


def captured(work: Callable[[], None], stream: torch.cuda.Stream) -> torch.cuda.CUDAGraph:
    """The graph of what ``work`` asks of the device.

    Where that fails, the current stream and the allocator are as before: torch leaves both as they
    were during the capture if its end fails too, which it does after most errors in between.

    Raises:
        RuntimeError: it cannot be captured.
    """
    graph, pool = torch.cuda.CUDAGraph(), torch.cuda.graph_pool_handle()
    before, device = torch.cuda.current_stream(), torch.cuda.current_device()
    try:
        with torch.cuda.graph(graph, pool=pool, stream=stream):
            work()
    except BaseException:
        torch.cuda.set_stream(before)
        _FAILED.append(graph)
        with suppress(RuntimeError):  # raised where the capture ended in order
            torch._C._cuda_endAllocateToPool(device, pool)
            torch._C._cuda_releasePool(device, pool)
        raise
    return graph


def true_cause(error: BaseException) -> BaseException:
    """The error that came first: those after it tell of the capture that it spoiled."""
    while (earlier := error.__cause__ or error.__context__) is not None:
        error = earlier
    return error


def first_line(error: BaseException) -> str:
    """Of its message, or its name where it has none."""
    return next(iter(str(error).splitlines()), "") or type(error).__name__
