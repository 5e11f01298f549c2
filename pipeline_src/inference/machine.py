"""What a reconstruction runs on: the device, and whose convolutions."""

from __future__ import annotations

import torch

from pipeline_src.acceleration.compiled import CompilationError
from pipeline_src.errors import InputError
from pipeline_src.inference.trained import Trained
from pipeline_src.models.dccnn import use_kernels
from pipeline_src.training.device import set_convolution_precision


def place(wanted: str, threads: int) -> torch.device:
    """The device for `auto`, `cpu` or `cuda`, set up so that runs are reproducible to the bit.

    Raises:
        InputError: CUDA is requested but there is none.
    """
    torch.set_num_threads(threads)
    seen = torch.cuda.is_available()
    if wanted == "cuda" and not seen:
        raise InputError("--device cuda: torch sees no CUDA device; give --device cpu")
    device = torch.device("cuda" if wanted != "cpu" and seen else "cpu")
    if device.type == "cuda":
        set_convolution_precision("ieee")
    return device


def use_convolutions(trained: Trained, kind: str, device: torch.device) -> None:
    """Use torch's convolutions (`library`), as in the evaluation, or the compiled ones.

    Raises:
        InputError: the compiled ones are not available.
    """
    if kind == "library":
        return
    try:
        use_kernels(trained.network, "fp32", device.type)
    except CompilationError as error:
        raise InputError(
            f"--convolutions compiled: they cannot be made here ({error}); give --convolutions "
            "library"
        ) from None
