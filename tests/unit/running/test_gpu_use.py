"""What is recorded of a GPU, with a stand-in for it and for its driver's library."""

from __future__ import annotations

import ctypes
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from pipeline_src.running.gpu_use import GpuUse, gpu_facts
from pipeline_src.running.gpus import SHARED_BY
from pipeline_src.running.resume_state import Saved, StateFiles

CPU, CUDA = torch.device("cpu"), torch.device("cuda")


class Library:
    """Answers as NVIDIA's does: 0 where all is well, values into what it is given."""

    def __init__(self) -> None:
        self.millijoules = 5_000_000
        self.asked: list[bytes] = []

    def nvmlInit_v2(self) -> int:  # noqa: N802
        return 0

    def nvmlDeviceGetHandleByUUID(self, name: bytes, handle: Any) -> int:  # noqa: N802
        self.asked.append(name)
        handle._obj.value = 1
        return 0

    def nvmlDeviceGetTotalEnergyConsumption(self, _handle: Any, into: Any) -> int:  # noqa: N802
        into._obj.value = self.millijoules
        return 0

    def nvmlSystemGetDriverVersion(self, into: Any, _length: Any) -> int:  # noqa: N802
        into.value = b"580.1"
        return 0


@pytest.fixture
def gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    stand_ins = {
        "get_device_name": lambda _device: "One GPU",
        "get_device_properties": lambda _device: SimpleNamespace(uuid="1-2-3"),
        "max_memory_allocated": lambda _device: 7 << 20,
    }
    for name, stand_in in stand_ins.items():
        monkeypatch.setattr(torch.cuda, name, stand_in)


@pytest.mark.usefixtures("gpu")
def test_memory_energy_and_driver_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    library = Library()
    monkeypatch.setattr(ctypes, "CDLL", lambda _name: library)
    use = GpuUse(CUDA)
    library.millijoules += 2500
    assert use.so_far() == {
        "gpu_driver": "580.1",
        "gpu_peak_memory_mib": 7,
        "gpu_energy_joules": 2.5,
    }
    assert library.asked == [b"GPU-1-2-3"]


@pytest.mark.usefixtures("gpu")
def test_the_energy_of_a_shared_gpu_is_nobodys(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ctypes, "CDLL", lambda _name: Library())
    monkeypatch.setenv(SHARED_BY, "2")
    told = GpuUse(CUDA).so_far()
    assert (told["gpu_energy_joules"], told["gpu_peak_memory_mib"]) == (None, 7)


@pytest.mark.usefixtures("gpu")
@pytest.mark.parametrize("library", [None, SimpleNamespace(), SimpleNamespace(nvmlInit_v2=int)])
def test_what_is_not_told_is_null(monkeypatch: pytest.MonkeyPatch, library: Any) -> None:
    def load(name: str) -> Any:
        if library is None:
            raise OSError(f"{name}: cannot open shared object file")
        return library

    monkeypatch.setattr(ctypes, "CDLL", load)
    told = GpuUse(CUDA).so_far()
    assert told == {"gpu_driver": None, "gpu_peak_memory_mib": 7, "gpu_energy_joules": None}


def test_the_cpu_has_none() -> None:
    assert gpu_facts(CPU) == {}
    assert GpuUse(CPU).so_far() == {}


@pytest.mark.usefixtures("gpu")
def test_a_state_of_another_gpu_is_not_taken_up_and_that_is_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    here = gpu_facts(CUDA)
    assert here["gpu"] == "One GPU"
    StateFiles(tmp_path, "same", here).save(Saved({"w": torch.ones(2)}, {}))
    assert StateFiles(tmp_path, "same", here).load() is not None
    assert StateFiles(tmp_path, "same", {**here, "gpu": "Another"}).load() is None
    said = capsys.readouterr().err
    assert "it is of a training on gpu One GPU" in said
    assert "this is gpu Another" in said
    assert said.count("\n") == 1
    assert StateFiles(tmp_path, "same").load() is None
