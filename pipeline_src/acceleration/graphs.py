"""Replays repeated GPU work as CUDA graphs, one graph per batch size."""

from __future__ import annotations

import sys
from collections.abc import Callable
from contextlib import suppress

import torch
from torch import Tensor

from pipeline_src.errors import InputError

#: Graphs whose capture failed. Torch's allocator of host memory still asks them whether a stream
#: belongs to them, so they must not be freed.
_FAILED: list[torch.cuda.CUDAGraph] = []


class Replayed:
    """Work on batches, replayed as a CUDA graph per batch size; called with indices `(batch,)`.

    The first batches of a size run without a graph, on a side stream, which a capture requires;
    their results count as well. Work that cannot be captured (a user's own loss that waits for the
    device) continues without a graph, and a message says so.

    Args:
        work: takes the indices of a batch; the tensors that it reads and writes must stay in place.
        what: a name for messages, such as `training`.

    Attributes:
        graphs: by batch size, the graph and the tensor to which its indices are copied.
    """

    WARM_UP = 3

    def __init__(self, work: Callable[[Tensor], None], what: str) -> None:
        self._work, self._what = work, what
        self._seen: dict[int, int] = {}
        self._can_capture = True
        # One stream for all sizes: freed memory is reused only on the same stream.
        self._side = torch.cuda.Stream()
        self.graphs: dict[int, tuple[torch.cuda.CUDAGraph, Tensor]] = {}

    def __call__(self, indices: Tensor) -> None:
        """Do the work on the slices at ``indices`` `(batch,)`.

        Raises:
            InputError: the GPU has too little memory.
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
    """Capture a graph of the GPU work that ``work`` does.

    If that fails, the current stream and the allocator are restored: torch leaves both in the state
    of the capture when ending the capture fails too, which happens after most errors.

    Raises:
        RuntimeError: the work cannot be captured.
    """
    graph, pool = torch.cuda.CUDAGraph(), torch.cuda.graph_pool_handle()
    before, device = torch.cuda.current_stream(), torch.cuda.current_device()
    try:
        with torch.cuda.graph(graph, pool=pool, stream=stream):
            work()
    except BaseException:
        torch.cuda.set_stream(before)
        _FAILED.append(graph)
        with suppress(RuntimeError):  # raised if the capture had ended properly
            torch._C._cuda_endAllocateToPool(device, pool)
            torch._C._cuda_releasePool(device, pool)
        raise
    return graph


def true_cause(error: BaseException) -> BaseException:
    """The first error of a chain: later ones only report that the capture was broken by it."""
    while (earlier := error.__cause__ or error.__context__) is not None:
        error = earlier
    return error


def first_line(error: BaseException) -> str:
    """The first line of an error's message, or its type's name if it has none."""
    return next(iter(str(error).splitlines()), "") or type(error).__name__
