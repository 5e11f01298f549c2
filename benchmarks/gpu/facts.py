"""Phase (a): what is here, and what it can do at most."""

from __future__ import annotations

import os
import platform
import shutil
import statistics
import subprocess
import sys
from importlib import metadata
from typing import Any

import torch

from benchmarks.gpu.phase import Run
from pipeline_src.operations.preflight import why_no_gpu

PACKAGES = ("torch", "triton", "numpy", "scipy", "pandas", "pydantic", "nibabel", "snakemake")
#: Whether trainings on a GPU can be forks of the server's process.
FORKED = "CUDA in a fork of a process that has imported what the fork server does"
#: Whether Snakemake would find the GPU, by files alone.
BY_FILES = "GPU by its files"
FORK = """
import importlib, os, sys
from pipeline_src.acceleration.fork_server import LOADED, forks_can_use_a_gpu
for name in LOADED:
    importlib.import_module(name)
if not forks_can_use_a_gpu():
    sys.exit("one of its imports starts CUDA")
import torch
if process := os.fork():
    sys.exit(os.waitstatus_to_exitcode(os.waitpid(process, 0)[1]))
x = torch.ones(9, device=sys.argv[1])
sys.exit(0 if (x @ x).item() == 9 else 3)
"""
QUERY = "name,driver_version,power.limit,clocks.max.sm,clocks.max.mem,ecc.mode.current"


def run(run: Run) -> None:
    """Versions first, then what could fail."""
    run.lines.add(
        "facts",
        "versions",
        python=platform.python_version(),
        cores=len(os.sched_getaffinity(0)),
        system=platform.platform(),
        **{name: version(name) for name in PACKAGES},
    )
    for name, holds in calls(run.device.name).items():
        run.lines.add("facts", "call", name=name, ok=not holds, problem=holds)
    run.lines.add("facts", "device", **run.device.facts())
    run.lines.add("facts", "driver", **driver())
    run.lines.add("facts", "mps", **mps())
    run.lines.add("facts", "copy", gigabytes_per_second=copy_rate(run))
    for kind, side in ((torch.bfloat16, 8192), (torch.float32, 4096)):
        side = side if run.device.graphs else 128
        rate = product_rate(run, kind, side)
        run.lines.add("facts", "product", format=str(kind), side=side, tflops=rate)


def version(package: str) -> str | None:
    """None where it is not installed."""
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def calls(device: str) -> dict[str, str]:
    """The calls of torch that the pipeline's GPU path makes, and what is wrong with each; empty
    where nothing is. Some of them differ between releases."""

    def precision() -> None:
        cudnn: Any = torch.backends.cudnn
        for of in (cudnn.conv, cudnn.rnn, torch.backends.cuda.matmul):
            of.fp32_precision = of.fp32_precision

    def adam() -> None:
        from pipeline_src.training.optimiser import Adam

        weight = torch.ones(3, device=device)
        made = Adam({"weight": weight})
        made.set_rate(0.1)
        made.step([torch.ones(3, device=device)])
        if not bool((weight < 1).all()):
            raise RuntimeError(f"a step from ones along ones led to {weight.tolist()}")

    def graph() -> None:
        for name in ("CUDAGraph", "graph", "graph_pool_handle", "Stream", "set_stream"):
            getattr(torch.cuda, name)
        if device != "cuda":
            return
        made, x = torch.cuda.CUDAGraph(), torch.zeros(3, device=device)
        with torch.cuda.graph(made):
            x += 1
        made.replay()
        made.replay()
        if x.tolist() != [2.0] * 3:
            raise RuntimeError(f"two replays of adding one gave {x.tolist()}")

    def determinism() -> None:
        torch._C._set_deterministic_algorithms(
            torch.are_deterministic_algorithms_enabled(), warn_only=False
        )
        torch._C._get_deterministic_fill_uninitialized_memory()

    def casts() -> None:
        own = [torch.ones(3, 2, device=device), torch.full((2,), 1.5, device=device)]
        cast = [torch.empty_like(one, dtype=torch.bfloat16) for one in own]
        torch._foreach_copy_(cast, own)
        if cast[1].tolist() != [1.5, 1.5]:
            raise RuntimeError(f"1.5 cast to bf16 is {cast[1].tolist()}")

    def files() -> None:
        if reason := why_no_gpu():
            raise RuntimeError(f"a study would not start: {reason}")

    def pools() -> None:
        for name in ("_cuda_endAllocateToPool", "_cuda_releasePool"):
            getattr(torch._C, name)

    def fork() -> None:
        done = subprocess.run(
            [sys.executable, "-c", FORK, device], capture_output=True, text=True, timeout=60
        )
        if done.returncode:
            raise RuntimeError((done.stderr.strip().splitlines() or ["the fork was killed"])[-1])

    wanted = {
        "cudnn.conv.fp32_precision": precision,
        "fused Adam": adam,
        "casts of a list": casts,
        "CUDAGraph": graph,
        "_set_deterministic_algorithms": determinism,
    }
    if device == "cuda":
        wanted["_cuda_endAllocateToPool"] = pools
        wanted[BY_FILES] = files
        wanted[FORKED] = fork
    found = {}
    for name, call in wanted.items():
        try:
            call()
            found[name] = ""
        except Exception as error:
            found[name] = f"{type(error).__name__}: {str(error).splitlines()[0]}"
    return found


def driver() -> dict[str, Any]:
    """What `nvidia-smi` says of the first GPU."""
    command = ["nvidia-smi", f"--query-gpu={QUERY}", "--format=csv,noheader"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=20)
    except (OSError, subprocess.SubprocessError) as error:
        return {"problem": str(error)}
    if done.returncode or not done.stdout.strip():
        return {"problem": (done.stderr or done.stdout).strip()}
    values = done.stdout.splitlines()[0].split(",")
    return dict(zip(QUERY.split(","), map(str.strip, values), strict=False))


def mps() -> dict[str, Any]:
    """Whether the multi-process service is installed, and whether it runs; it is not started."""
    pipes = os.environ.get("CUDA_MPS_PIPE_DIRECTORY", "/tmp/nvidia-mps")
    return {
        "installed": shutil.which("nvidia-cuda-mps-control"),
        "running": os.path.exists(os.path.join(pipes, "control")),  # noqa: PTH110, PTH118
    }


def copy_rate(run: Run) -> float:
    """Gigabytes read and written a second by a copy within the device, the median of ten."""
    size = (1 << 30) if run.device.graphs else (1 << 22)
    source = torch.randint(255, (size,), dtype=torch.uint8, device=run.device.torch)
    target = torch.empty_like(source)
    took = run.device.seconds(lambda: target.copy_(source), 12)[2:]
    return 2 * size / statistics.median(took) / 1e9


def product_rate(run: Run, kind: torch.dtype, side: int) -> float:
    """Teraflops of a matrix product of random numbers, the median of ten."""
    a, b = (torch.randn(side, side, device=run.device.torch).to(kind) for _ in range(2))
    out = torch.empty_like(a)
    took = run.device.seconds(lambda: torch.matmul(a, b, out=out), 13)[3:]
    return 2 * side**3 / statistics.median(took) / 1e12
