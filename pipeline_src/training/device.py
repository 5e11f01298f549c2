"""The device of a training, set up so that the same run gives the same numbers."""

from __future__ import annotations

import os

import torch

from pipeline_src.config.method import Training
from pipeline_src.errors import InputError
from pipeline_src.training.memory import keep_freed_memory


def set_up_device(settings: Training) -> torch.device:
    """Choose the device, and set threads, determinism and arithmetic.

    Raises:
        InputError: CUDA is asked for and there is none, or TF32 on a device without it.
    """
    device = choose_device(settings.device)
    torch.set_num_threads(settings.threads)
    if device.type == "cuda":
        # cuBLAS reads this when it starts; without it its sums may differ from run to run.
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
        # On the CPU every operation used here repeats to the bit at a given thread count.
        torch.use_deterministic_algorithms(True)
        torch.backends.cudnn.benchmark = False
        # Convolutions alone: data fidelity is a matrix product and stays exact.
        tf32 = settings.precision == "tf32"
        torch.backends.cudnn.conv.fp32_precision = "tf32" if tf32 else "ieee"  # type: ignore[attr-defined]
    elif settings.precision == "tf32":
        raise InputError("training.precision: 'tf32' needs a CUDA device; use fp32 or bf16")
    else:
        keep_freed_memory()
    return device


def choose_device(wanted: str) -> torch.device:
    """The device that ``auto``, ``cpu`` or ``cuda`` stands for on this machine.

    Raises:
        InputError: CUDA is asked for, or SLURM has given a GPU, and torch sees none.
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
