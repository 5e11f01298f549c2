"""Images that a GPU reads from main memory, with a stand-in for CUDA."""

from __future__ import annotations

import gc
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from pipeline_src.acceleration.host_memory import MOST, within_reach
from pipeline_src.errors import InputError

GPU = torch.device("cuda")
IMAGES = torch.arange(24, dtype=torch.float32).reshape(3, 1, 2, 4)


class Cuda:
    """A GPU of little memory, and which parts of main memory it may read.

    Attributes:
        memory: bytes that it has.
        code: what CUDA answers when memory is to be locked; 0: done.
        locked: size by address.
        copied: how many tensors were copied to it.
    """

    def __init__(self) -> None:
        self.memory, self.code, self.copied = 0, 0, 0
        self.locked: dict[int, int] = {}

    def cudaHostRegister(self, address: int, size: int, _flags: int) -> int:  # noqa: N802
        if not self.code:
            self.locked[address] = size
        return self.code

    def cudaHostUnregister(self, address: int) -> int:  # noqa: N802
        del self.locked[address]
        return 0

    def shown(self, owner: Any, device: torch.device) -> Tensor:
        """A tensor over the memory that the owner tells of, as torch makes it."""
        assert device.type == "cuda"
        told = owner.__cuda_array_interface__
        assert told["data"][0] in self.locked
        seen = np.asarray(SimpleNamespace(__array_interface__={**told, "version": 3}, owner=owner))
        return torch.from_numpy(seen)

    def copy(self, images: Tensor, device: torch.device) -> Tensor:
        assert device.type == "cuda"
        self.copied += 1
        return images.clone()


@pytest.fixture
def cuda(monkeypatch: pytest.MonkeyPatch) -> Cuda:
    made = Cuda()

    def properties(_device: torch.device) -> SimpleNamespace:
        return SimpleNamespace(total_memory=made.memory)

    monkeypatch.setattr(torch.cuda, "get_device_properties", properties)
    monkeypatch.setattr(torch.cuda, "current_device", lambda: 0)
    monkeypatch.setattr(torch.cuda, "cudart", lambda: made)
    monkeypatch.setattr(torch, "as_tensor", made.shown)
    monkeypatch.setattr(Tensor, "to", lambda images, device: made.copy(images, device))
    return made


def test_images_that_fit_are_copied_to_the_gpu(cuda: Cuda) -> None:
    cuda.memory = int(IMAGES.nbytes / MOST) + 1
    assert torch.equal(within_reach(IMAGES, GPU), IMAGES)
    assert cuda.copied == 1
    assert not cuda.locked


@pytest.mark.parametrize(("memory", "trainings"), [(IMAGES.nbytes / MOST - 1, 1), (1000, 4)])
def test_others_stay_in_main_memory_where_the_gpu_reads_them(
    memory: float, trainings: int, cuda: Cuda
) -> None:
    cuda.memory = int(memory)
    own = IMAGES.clone()
    seen = within_reach(own, GPU, trainings)
    own.zero_()  # as a file that changes: what the GPU reads is a copy
    assert torch.equal(seen, IMAGES)
    assert cuda.copied == 0
    assert list(cuda.locked.values()) == [IMAGES.nbytes]
    assert torch.equal(seen[torch.tensor([2, 0])], IMAGES[[2, 0]])
    del seen
    gc.collect()
    assert not cuda.locked


def test_memory_that_cannot_be_locked_is_told_in_one_line(cuda: Cuda) -> None:
    cuda.code = 2
    with pytest.raises(InputError, match=r"too many for the GPU's memory.*\(error 2\); take a GPU"):
        within_reach(IMAGES, GPU)


def test_on_the_cpu_images_are_where_they_were() -> None:
    assert within_reach(IMAGES, torch.device("cpu")).data_ptr() == IMAGES.data_ptr()
