"""Lets a GPU read images from main memory where its own is too small for them."""

from __future__ import annotations

import weakref
from typing import Any

import torch
from torch import Tensor

from pipeline_src.errors import InputError

#: Share of a training's GPU memory that the images of one part may take; there are two parts, and
#: features and a teacher's answers need the rest.
MOST = 1 / 3


def within_reach(images: Tensor, device: torch.device, trainings: int = 1) -> Tensor:
    """Images as a tensor of the device, for work there that reads some at a time.

    On a GPU they are copied to its memory or, if they would take more than `MOST` of it, to main
    memory that the GPU reads over the bus. Values and shape are the same.

    Args:
        images: `(slices, 1, rows, columns)`, on the CPU.
        device: where they are read.
        trainings: how many share the GPU's memory.

    Raises:
        InputError: neither memory is enough.
    """
    if device.type != "cuda":
        return images.to(device)
    size, memory = images.nbytes, torch.cuda.get_device_properties(device).total_memory
    if size <= MOST * memory / trainings:
        return images.to(device)
    seen = torch.as_tensor(
        _ReadByGpu(images), device=torch.device("cuda", torch.cuda.current_device())
    )
    return seen.view(images.shape)


class _ReadByGpu:
    """A copy of images in main memory that the GPU may read; kept by the tensors that show it.

    Attributes:
        __cuda_array_interface__: its address, shape and format, for torch.
    """

    def __init__(self, images: Tensor) -> None:
        # A copy, because a mapped file can be neither locked in memory nor relied on to stay.
        try:
            self._copy = torch.empty(images.shape, dtype=images.dtype).copy_(images)
        except RuntimeError as error:
            raise _no_room(images.nbytes, "there is not enough of it") from error
        address, cudart = self._copy.data_ptr(), torch.cuda.cudart()
        # All addresses are those of the GPU, too (unified virtual addressing, 64-bit systems).
        code = int(cudart.cudaHostRegister(address, self._copy.nbytes, 0))
        if code:
            raise _no_room(images.nbytes, f"CUDA cannot lock it (error {code})")
        weakref.finalize(self, cudart.cudaHostUnregister, address)
        self.__cuda_array_interface__: dict[str, Any] = {
            "shape": tuple(self._copy.shape),
            "typestr": self._copy.numpy().dtype.str,
            "data": (address, False),
            "version": 2,
        }


def _no_room(size: int, why: str) -> InputError:
    return InputError(
        f"training: {size / 2**30:.1f} GiB of images are too many for the GPU's memory, and in "
        f"main memory {why}; take a GPU with more, let fewer trainings share it, or prepare fewer "
        "or smaller slices"
    )
