"""Chooses and sets up the device of a training, so that the same run gives the same numbers."""

from __future__ import annotations

import ctypes
import os
import sys
from typing import Any, Literal

import torch

from pipeline_src.config.training import Training
from pipeline_src.errors import InputError

# Parameters of mallopt(3).
_M_TRIM_THRESHOLD, _M_TOP_PAD, _M_MMAP_THRESHOLD = -1, -2, -3


def set_up_device(settings: Training) -> torch.device:
    """Choose the device, and set threads, determinism and arithmetic.

    Raises:
        InputError: CUDA is requested but there is none, or TF32 on a device without it.
    """
    device = choose_device(settings.device)
    torch.set_num_threads(settings.threads)
    if device.type == "cuda":
        # cuBLAS reads this when it starts; without it, sums may differ from run to run.
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
        # On the CPU every operation used here is bit-reproducible at a given number of threads.
        use_deterministic_algorithms()
        torch.backends.cudnn.benchmark = False
        set_convolution_precision("tf32" if settings.precision == "tf32" else "ieee")
    elif settings.precision == "tf32":
        raise InputError("training.precision: 'tf32' needs a CUDA device; use fp32 or bf16")
    else:
        keep_freed_memory()
    return device


def keep_freed_memory() -> None:
    """Let glibc keep freed blocks instead of returning them to the system.

    Each step frees and asks for the same large blocks; if they are returned, the kernel clears them
    again every time (a fifth of a small training's processor time). Does nothing on systems other
    than Linux with glibc.
    """
    if not sys.platform.startswith("linux"):
        return
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_M_MMAP_THRESHOLD, 1 << 30)
        mallopt(_M_TRIM_THRESHOLD, (1 << 31) - 1)
        mallopt(_M_TOP_PAD, 64 << 20)


def use_deterministic_algorithms() -> None:
    """Make torch refuse operations whose result may differ from run to run.

    Torch's own function of that name first loads its compiler, which takes two seconds per process;
    this does the rest of what it does. New memory is not filled beforehand: nothing here reads
    memory that it did not write, and filling is a kernel per tensor.
    """
    torch._C._set_deterministic_algorithms(True, warn_only=False)
    torch._C._set_deterministic_fill_uninitialized_memory(False)


def set_convolution_precision(precision: Literal["ieee", "tf32"]) -> None:
    """Set how cuDNN multiplies in convolutions of single precision.

    Matrix products stay exact, because data fidelity is one. Torch has one setting for
    convolutions, one for recurrent networks, and an older switch for both; reading that switch
    raises an error while the settings differ.
    """
    torch.backends.cudnn.allow_tf32 = precision == "tf32"
    cudnn: Any = torch.backends.cudnn
    for kind in (cudnn.conv, cudnn.rnn):
        kind.fp32_precision = precision
    torch.backends.cuda.matmul.fp32_precision = "ieee"


def choose_device(wanted: str) -> torch.device:
    """The device for ``auto``, ``cpu`` or ``cuda`` on this machine.

    Raises:
        InputError: CUDA is requested, or SLURM assigned a GPU, but torch finds none.
    """
    seen = torch.cuda.is_available()
    if wanted == "cuda" and not seen:
        raise InputError("training.device: 'cuda' asked for, but torch sees no CUDA device")
    given = os.environ.get("SLURM_STEP_GPUS")
    if wanted == "auto" and given and not seen:
        raise InputError(
            f"training.device: SLURM gave this job GPU {given}, but torch sees no CUDA device; "
            "see the doctor command, or set training.device: cpu"
        )
    if wanted == "auto":
        wanted = "cuda" if seen else "cpu"
    return torch.device(wanted)
