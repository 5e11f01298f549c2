"""Images as the tensors that networks take."""

from __future__ import annotations

import warnings

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor


def as_batch(images: NDArray[np.float32]) -> Tensor:
    """Images `(slices, rows, columns)` as a batch `(slices, 1, rows, columns)` on the CPU.

    The memory is shared, so that images that stay in a file stay there. Do not write to the batch:
    such images cannot be written to.
    """
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "The given NumPy array is not writable")
        return torch.from_numpy(images)[:, None]
