"""The device of a training, set up so that the same run gives the same numbers."""

from __future__ import annotations

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
        InputError: CUDA is asked for and there is none.
    """
    if wanted == "cuda" and not torch.cuda.is_available():
        raise InputError("training.device: 'cuda' asked for, but torch sees no CUDA device")
    if wanted == "auto":
        wanted = "cuda" if torch.cuda.is_available() else "cpu"
    return torch.device(wanted)
