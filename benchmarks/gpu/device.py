"""The few calls that differ between a GPU and the CPU of a dry run."""

from __future__ import annotations

import resource
import time
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

import torch


class Device(ABC):
    """A device that work is timed on.

    Attributes:
        name: as torch and the configuration name it.
        graphs: whether steps can be captured and replayed.
    """

    name: str
    graphs: bool

    @property
    def form(self) -> str:
        """What a step of the pipeline is here."""
        return "graph" if self.graphs else "eager"

    @property
    def torch(self) -> torch.device:
        """For tensors."""
        return torch.device(self.name)

    @abstractmethod
    def wait(self) -> None:
        """Until all that was asked for is done."""

    @abstractmethod
    def seconds(self, function: Callable[[], object], repeats: int) -> list[float]:
        """What each of the calls takes on the device."""

    @abstractmethod
    def at_once(self, functions: Sequence[Callable[[], object]], repeats: int) -> float:
        """Seconds until every function was called so many times, each on a stream of its own."""

    @abstractmethod
    def kernels(self, function: Callable[[], object]) -> Counter[str]:
        """Microseconds on the device by kernel, of one call; how many ran is under `events`."""

    @abstractmethod
    def clear_peak(self) -> None:
        """Start to watch memory anew."""

    @abstractmethod
    def peak_mib(self) -> float:
        """The most memory since; of the process, where the device keeps no count."""

    @abstractmethod
    def facts(self) -> dict[str, Any]:
        """What it is."""


def profiled(function: Callable[[], object], kind: Any) -> list[tuple[str, float]]:
    """Name and microseconds of everything that ran on one kind of device."""
    from torch.profiler import profile

    with profile(activities=[kind]) as watched:
        function()
    cuda = kind == torch.profiler.ProfilerActivity.CUDA
    found = []
    for event in watched.events():
        if (event.device_type.name == "CUDA") == cuda:
            time_us = event.device_time if cuda else event.self_cpu_time_total
            found.append((event.name, float(time_us)))
    return found


class Cuda(Device):
    """The GPU that is current."""

    name, graphs = "cuda", True

    def wait(self) -> None:
        """Of the device."""
        torch.cuda.synchronize()

    def seconds(self, function: Callable[[], object], repeats: int) -> list[float]:
        """Between two events each."""
        pairs = []
        for _ in range(repeats):
            pair = [torch.cuda.Event(enable_timing=True) for _ in range(2)]
            pair[0].record()
            function()
            pair[1].record()
            pairs.append(pair)
        self.wait()
        return [first.elapsed_time(last) / 1000 for first, last in pairs]

    def at_once(self, functions: Sequence[Callable[[], object]], repeats: int) -> float:
        """By the clock, since events are of one stream."""
        streams = [torch.cuda.Stream() for _ in functions]
        self.wait()
        started = time.perf_counter()
        for _ in range(repeats):
            for function, stream in zip(functions, streams, strict=True):
                with torch.cuda.stream(stream):
                    function()
        self.wait()
        return time.perf_counter() - started

    def kernels(self, function: Callable[[], object]) -> Counter[str]:
        """Of the GPU."""

        def once() -> None:
            function()
            self.wait()

        self.wait()
        return counted(profiled(once, torch.profiler.ProfilerActivity.CUDA))

    def clear_peak(self) -> None:
        """Of the allocator."""
        torch.cuda.reset_peak_memory_stats()

    def peak_mib(self) -> float:
        """Given out by the allocator."""
        return torch.cuda.max_memory_allocated() / 2**20

    def facts(self) -> dict[str, Any]:
        """What it is, and what drives it."""
        properties = torch.cuda.get_device_properties(0)
        return {
            "gpu": properties.name,
            "gpus": torch.cuda.device_count(),
            "capability": f"{properties.major}.{properties.minor}",
            "multiprocessors": properties.multi_processor_count,
            "memory_mib": properties.total_memory >> 20,
            "cuda": torch.version.cuda,
            "cudnn": torch.backends.cudnn.version(),
        }


class Cpu(Device):
    """A stand-in of a dry run: nothing is captured, calls follow one another."""

    name, graphs = "cpu", False

    def wait(self) -> None:
        """Nothing is ever under way."""

    def seconds(self, function: Callable[[], object], repeats: int) -> list[float]:
        """By the clock."""
        found = []
        for _ in range(repeats):
            started = time.perf_counter()
            function()
            found.append(time.perf_counter() - started)
        return found

    def at_once(self, functions: Sequence[Callable[[], object]], repeats: int) -> float:
        """One after the other."""
        return sum(sum(self.seconds(function, repeats)) for function in functions)

    def kernels(self, function: Callable[[], object]) -> Counter[str]:
        """Operations of torch, themselves alone."""
        return counted(profiled(function, torch.profiler.ProfilerActivity.CPU))

    def clear_peak(self) -> None:
        """The system keeps one for the whole process."""

    def peak_mib(self) -> float:
        """Of the process."""
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024

    def facts(self) -> dict[str, Any]:
        """There is no GPU."""
        return {"gpu": None, "capability": torch.backends.cpu.get_cpu_capability()}


def counted(events: Sequence[tuple[str, float]]) -> Counter[str]:
    """Microseconds by name; the number of events under `events`."""
    total: Counter[str] = Counter()
    for name, microseconds in events:
        total[name] += round(microseconds)
    total["events"] = len(events)
    return total


def device_of(name: str) -> Device:
    """The device of that name."""
    return Cuda() if name == "cuda" else Cpu()
