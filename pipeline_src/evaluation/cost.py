"""Measures what reconstructing one slice costs with each network, teacher and student side by side.

Parameters, multiply-adds and bytes follow from the weights files and are exact. Times and memory
are measured on this machine, which is named beside them, and vary from run to run.
"""

from __future__ import annotations

import ctypes
import gc
import multiprocessing
import sys
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch import Tensor

from pipeline_src.config.networks import Network, OtherNetwork
from pipeline_src.data.store import read_store
from pipeline_src.errors import InputError
from pipeline_src.evaluation.timing import WARM_UP, Times, time_alternating, time_columns
from pipeline_src.models.base import ReconstructionNetwork
from pipeline_src.models.multiply_adds import counts, fidelity_multiply_adds
from pipeline_src.models.registry import import_modules, imported_modules
from pipeline_src.models.weights import load_network
from pipeline_src.provenance.environment import machine, status_kib
from pipeline_src.sampling.data_fidelity import DataFidelity, data_fidelity
from pipeline_src.sampling.masks import Mask, read_mask, require_size
from pipeline_src.tabular import write_rows
from pipeline_src.training.device import choose_device, set_convolution_precision

# A parameter of mallopt(3): larger blocks are taken from the system instead of the heap.
_M_MMAP_THRESHOLD = -3


def write_cost(
    weights: Mapping[str, Path],
    store: Path,
    mask: Path,
    output: Path,
    *,
    threads: int | None = None,
    repeats: int = 30,
    device: str = "auto",
) -> None:
    """Write a CSV with one row per network, in the order given, and the columns of `measure`.

    Args:
        weights: weights files by the names of their rows, such as `teacher` and `student`.
        store: volume store; its middle slice is reconstructed.
        mask: sampling mask of the same size.
        output: the CSV.
        threads: processor threads of the second measurement; None: torch's default.
        repeats: timed reconstructions per network and number of threads.
        device: `auto` (CUDA if there is one), `cpu` or `cuda`.

    Raises:
        InputError: a file is missing or damaged, mask and store differ in size, or a number is
            below one.
    """
    threads = torch.get_num_threads() if threads is None else threads
    for name, value in (("threads", threads), ("repeats", repeats), ("networks", len(weights))):
        if value < 1:
            raise InputError(f"cost: {name} is {value}; it must be 1 or more")
    prepared, sampling = read_store(store), read_mask(mask)
    require_size(sampling, mask, prepared.images.shape[1:], store)
    image = prepared.images[len(prepared.images) // 2]
    table = measure(weights, image, sampling, threads, repeats, choose_device(device))
    write_rows(output, table)


def measure(
    weights: Mapping[str, Path],
    image: NDArray[np.float32],
    mask: Mask,
    threads: int,
    repeats: int,
    device: torch.device,
) -> pd.DataFrame:
    """One row per network: first what is the same on every machine, then what was measured.

    Times are for one slice at batch size 1, from the zero-filled image to the reconstruction,
    including data fidelity, in single precision; see `time_alternating`. They are measured with one
    processor thread and again with ``threads``. Memory is that of `peak_extra_mib`, or on CUDA the
    peak of torch's allocator above what was allocated before. A `*_ratio` is this network's value
    divided by the first network's; for times it is the median over the repeats.

    Args:
        weights: weights files by the names of their rows.
        image: `(rows, columns)`, a fully sampled slice.
        mask: of the same size.
        threads: processor threads of the second measurement.
        repeats: timed reconstructions per network and number of threads.
        device: where the networks run.
    """
    networks = {name: load_network(path).eval() for name, path in weights.items()}
    peaks = {name: _peak_mib(weights[name], image, mask, device) for name in networks}
    calls = _calls(networks, image, mask, device)
    times: dict[int, Times] = {}
    for count in dict.fromkeys((1, threads)):
        with _settings(count, device):
            times[count] = time_alternating(calls, repeats)
    rows = [
        {
            "network": name,
            **exact_cost(network.network, mask),
            "weights_bytes": weights[name].stat().st_size,
            "measured_on_processor": machine()["processor"],
            "measured_on_device": _device_name(device),
            "repeats": repeats,
            **time_columns("_one_thread", times[1], name),
            "threads": threads,
            **time_columns("", times[threads], name),
            "peak_extra_memory_mib": peaks[name],
        }
        for name, network in networks.items()
    ]
    table = pd.DataFrame(rows)
    for quantity, column in (
        ("parameters", "parameters"),
        ("convolution_multiply_adds", "convolution_multiply_adds_a_slice"),
        ("weights_bytes", "weights_bytes"),
        ("peak_extra_memory", "peak_extra_memory_mib"),
    ):
        ratio = table[column] / table[column].iloc[0]
        table.insert(list(table).index(column) + 1, f"{quantity}_ratio", ratio)
    return table


def exact_cost(network: Network | OtherNetwork, mask: Mask) -> dict[str, Any]:
    """Name, slice size, parameters, and multiply-adds per reconstruction.

    Those of data fidelity are None if the mask does not consist of whole lines, since that takes
    Fourier transforms.
    """
    rows, columns = mask.samples.shape
    counted, fidelity = (
        counts(network, rows, columns),
        fidelity_multiply_adds(network, rows, columns),
    )
    return {
        "architecture": network.name,
        "rows": rows,
        "columns": columns,
        "parameters": counted.parameters,
        "convolution_multiply_adds_a_slice": counted.multiply_adds,
        "fidelity_multiply_adds_a_slice": None if mask.lines is None else fidelity,
    }


def peak_extra_mib(weights: Path, image: NDArray[np.float32], mask: Mask) -> float | None:
    """Memory that reconstructing one slice `(rows, columns)` takes on the CPU, in MiB.

    To be called in a fresh process. It measures how far the process's resident memory rises while a
    slice is reconstructed with one thread, above its level with network, mask and image loaded and
    the same slice reconstructed before: the activations that are held at the same time, and the
    libraries' work space. For the rest of the process, freed blocks are returned to the system at
    once, so that none is reused without being counted. None if the system does not provide the
    numbers (anything but Linux with glibc).
    """
    libc: Any = ctypes.CDLL(None) if sys.platform.startswith("linux") else None
    if not hasattr(libc, "mallopt") or not hasattr(libc, "malloc_trim"):
        return None
    libc.mallopt(_M_MMAP_THRESHOLD, 1 << 16)
    torch.set_num_threads(1)
    network = load_network(weights).eval()
    [call] = _calls({"": network}, image, mask, torch.device("cpu")).values()
    for _ in range(WARM_UP):
        call()
    gc.collect()
    libc.malloc_trim(0)
    try:
        Path("/proc/self/clear_refs").write_text("5")  # resets the peak of the memory in use
        before = status_kib("VmRSS")
        call()
        return max(0, status_kib("VmHWM") - before) / 1024
    except OSError:
        return None


def _peak_mib(
    weights: Path, image: NDArray[np.float32], mask: Mask, device: torch.device
) -> float | None:
    if device.type == "cuda":
        [call] = _calls({"": load_network(weights).eval()}, image, mask, device).values()
        with _settings(1, device):
            call()
            before = torch.cuda.memory_allocated(device)
            torch.cuda.reset_peak_memory_stats(device)
            call()
            return (torch.cuda.max_memory_allocated(device) - before) / 2**20
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(
        1, mp_context=context, initializer=import_modules, initargs=(imported_modules(),)
    ) as fresh:
        return fresh.submit(peak_extra_mib, weights, image, mask).result()


def _calls(
    networks: Mapping[str, ReconstructionNetwork],
    image: NDArray[np.float32],
    mask: Mask,
    device: torch.device,
) -> dict[str, Callable[[], Tensor]]:
    """A function per network that reconstructs an image `(rows, columns)` and waits until it is
    done.
    """
    fidelity = data_fidelity(mask).to(device)
    zero_filled = fidelity.zero_filled(torch.from_numpy(image)[None, None].to(device))

    def call(network: ReconstructionNetwork, fidelity: DataFidelity) -> Callable[[], Tensor]:
        @torch.no_grad()
        def reconstruct() -> Tensor:
            out: Tensor = network(zero_filled, fidelity)
            if device.type == "cuda":
                torch.cuda.synchronize(device)
            return out

        return reconstruct

    return {name: call(network.to(device), fidelity) for name, network in networks.items()}


@contextmanager
def _settings(threads: int, device: torch.device) -> Iterator[None]:
    """Set processor threads, and single precision without rounding to TF32, within this context."""
    before = torch.get_num_threads()
    convolutions: Any = torch.backends.cudnn.conv  # type: ignore[attr-defined]
    precision = convolutions.fp32_precision
    torch.set_num_threads(threads)
    try:
        if device.type == "cuda":
            set_convolution_precision("ieee")
        yield
    finally:
        torch.set_num_threads(before)
        if device.type == "cuda":
            set_convolution_precision(precision)


def _device_name(device: torch.device) -> str:
    return f"cuda ({torch.cuda.get_device_name(device)})" if device.type == "cuda" else "cpu"
