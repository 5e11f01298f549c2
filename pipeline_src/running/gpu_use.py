"""Describes the GPU of a training, and measures its memory and energy."""

from __future__ import annotations

import ctypes
from typing import Any

import torch

from pipeline_src.running.gpus import trainings_per_gpu

LIBRARY = "libnvidia-ml.so.1"


def gpu_facts(device: torch.device) -> dict[str, Any]:
    """What affects a training's last bits besides its code: the GPU's model, and the versions of
    CUDA and cuDNN; empty on the CPU.
    """
    if device.type != "cuda":
        return {}
    return {
        "gpu": torch.cuda.get_device_name(device),
        "cuda": torch.version.cuda,
        "cudnn": torch.backends.cudnn.version(),
    }


class GpuUse:
    """Memory and energy of a GPU from now on, and its driver, as far as they can be read.

    Energy is that of the whole GPU, from the counter of NVIDIA's management library, so it includes
    whatever else ran on it. If trainings share the GPU, it is not reported: a sum over them would
    count it several times.
    """

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._counter = _Counter(device) if device.type == "cuda" else None
        self._started = self._counter.joules() if self._counter else None

    def so_far(self) -> dict[str, Any]:
        """Driver, peak memory in MiB and energy in joules (None if not known); empty on the CPU."""
        if self._counter is None:
            return {}
        now, started = self._counter.joules(), self._started
        used = None
        if now is not None and started is not None and trainings_per_gpu() == 1:
            used = round(now - started, 1)
        return {
            "gpu_driver": self._counter.driver(),
            "gpu_peak_memory_mib": torch.cuda.max_memory_allocated(self._device) >> 20,
            "gpu_energy_joules": used,
        }


class _Counter:
    """NVIDIA's management library, which is part of the driver; without it all values are None."""

    def __init__(self, device: torch.device) -> None:
        self._library: Any = None
        self._handle = ctypes.c_void_p()
        identity = str(torch.cuda.get_device_properties(device).uuid)
        name = identity if identity.startswith("GPU-") else f"GPU-{identity}"
        try:
            library = ctypes.CDLL(LIBRARY)
            found = not library.nvmlInit_v2() and not library.nvmlDeviceGetHandleByUUID(
                name.encode(), ctypes.byref(self._handle)
            )
        except (OSError, AttributeError):
            return
        self._library = library if found else None

    def joules(self) -> float | None:
        """Energy in joules since the driver was loaded."""
        millijoules = ctypes.c_ulonglong()
        wanted = ctypes.byref(millijoules)
        told = self._ask("nvmlDeviceGetTotalEnergyConsumption", self._handle, wanted)
        return millijoules.value / 1000 if told else None

    def driver(self) -> str | None:
        """The driver's version."""
        text = ctypes.create_string_buffer(96)
        told = self._ask("nvmlSystemGetDriverVersion", text, ctypes.c_uint(len(text)))
        return text.value.decode() if told else None

    def _ask(self, function: str, *arguments: Any) -> bool:
        if self._library is None:
            return False
        try:
            return not getattr(self._library, function)(*arguments)
        except AttributeError:  # an older driver
            return False
