"""One step of training: batch, loss, gradients, Adam; captured once and replayed on a GPU."""

from __future__ import annotations

import sys
from collections.abc import Callable

import torch
from torch import Tensor

from pipeline_src.training.data import Slices
from pipeline_src.training.objectives import Objective
from pipeline_src.training.optimiser import Adam


class EpochLosses:
    """The losses of an epoch's batches, kept on the device: reading one would wait for it.

    Attributes:
        values: `(batches,)`, in double precision.
        done: how many batches are in, a scalar on the device.
    """

    def __init__(self, batches: int, device: torch.device) -> None:
        self.values = torch.zeros(batches, dtype=torch.float64, device=device)
        self.done = torch.zeros(1, dtype=torch.int64, device=device)

    def clear(self) -> None:
        """Start an epoch."""
        self.values.zero_()
        self.done.zero_()

    def add(self, loss: Tensor) -> None:
        """Note the next batch's loss."""
        self.values.index_copy_(0, self.done, loss.detach().double().reshape(1))
        self.done += 1


def training_step(
    objective: Objective, adam: Adam, slices: Slices, losses: EpochLosses
) -> Callable[[Tensor], None]:
    """A function that trains on the slices at the indices it is given.

    On a CUDA device it is captured as a graph and replayed.
    """
    step = plain_step(objective, adam, slices, losses)
    return GraphedStep(step) if slices.target.device.type == "cuda" else step


def plain_step(
    objective: Objective, adam: Adam, slices: Slices, losses: EpochLosses
) -> Callable[[Tensor], None]:
    """As `training_step`, and never captured."""
    parameters = list(adam.parameters.values())

    def step(indices: Tensor) -> None:
        loss = objective.loss(slices.batch(indices))
        gradients = torch.autograd.grad(loss, parameters, allow_unused=True)
        adam.step(gradients)
        losses.add(loss)

    return step


class GraphedStep:
    """A step replayed as a CUDA graph, one graph a batch size.

    The first batches of a size run as they are, on a side stream, which is what a capture needs
    beforehand; they train like all others. A step that cannot be captured (a loss of one's own
    that waits for the device) goes on running as it is, and says so.
    """

    WARM_UP = 3

    def __init__(self, step: Callable[[Tensor], None]) -> None:
        self._step = step
        self._seen: dict[int, int] = {}
        self._graphs: dict[int, tuple[torch.cuda.CUDAGraph, Tensor]] = {}
        self._can_capture = True

    def __call__(self, indices: Tensor) -> None:
        """Train on the slices at ``indices``."""
        size = len(indices)
        self._seen[size] = self._seen.get(size, 0) + 1
        if self._can_capture and size not in self._graphs and self._seen[size] > self.WARM_UP:
            self._capture(size, indices)
        if size in self._graphs:
            graph, place = self._graphs[size]
            place.copy_(indices)
            graph.replay()
        else:
            stream = torch.cuda.Stream()
            stream.wait_stream(torch.cuda.current_stream())
            with torch.cuda.stream(stream):
                self._step(indices)
            torch.cuda.current_stream().wait_stream(stream)

    def _capture(self, size: int, indices: Tensor) -> None:
        graph, place = torch.cuda.CUDAGraph(), indices.clone()
        try:
            with torch.cuda.graph(graph):
                self._step(place)
        except RuntimeError as error:
            self._can_capture = False
            reason = str(error).splitlines()[0]
            print(f"training without CUDA graphs: {reason}", file=sys.stderr, flush=True)
        else:
            self._graphs[size] = (graph, place)
