"""The network of a bundle, of any kind, with the data fidelity of its mask."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor, nn

from pipeline_src.config.networks import DC_CNN
from pipeline_src.errors import InputError
from pipeline_src.inference import dccnn
from pipeline_src.inference.bundle_files import read_config
from pipeline_src.inference.trained import Trained, load_trained
from pipeline_src.sampling.data_fidelity import FourierDataFidelity, data_fidelity


class _Matrices(FourierDataFidelity):
    """Data fidelity whose Fourier transforms are products of matrices, which every runtime has.

    Args:
        samples: the mask `(rows, columns)`.
    """

    def __init__(self, samples: NDArray[np.bool_]) -> None:
        super().__init__(samples)
        self.sampling = dccnn.Samples(self.samples)

    def zero_filled(self, target: Tensor) -> Tensor:
        """See `FourierDataFidelity`: `(..., rows, columns)` to the same shape."""
        image: Tensor = self.sampling(target)
        return image


class OtherReconstructor(nn.Module):
    """A network of another kind than DC-CNN, to be used as `dccnn.Reconstructor` is.

    Attributes:
        config: `config.json` of the bundle.
    """

    def __init__(self, trained: Trained) -> None:
        super().__init__()
        self.config: dict[str, Any] = trained.config.content
        self.network = trained.network
        mask = trained.mask
        by_lines = mask.lines is not None
        self.fidelity = data_fidelity(mask) if by_lines else _Matrices(mask.samples)

    def undersample(self, image: Tensor) -> Tensor:
        """The zero-filled image of a full one, `(batch, 1, rows, columns)` of maximum 1; same
        shape.
        """
        return self.fidelity.zero_filled(image)

    def forward(self, zero_filled: Tensor) -> Tensor:
        """The reconstruction of a zero-filled image `(batch, 1, rows, columns)`, of the same
        shape.
        """
        reconstruction: Tensor = self.network(zero_filled, self.fidelity)
        return reconstruction


Reconstructor = dccnn.Reconstructor | OtherReconstructor


def load(folder: str | Path) -> Reconstructor:
    """The network of a bundle, ready to reconstruct.

    Raises:
        InputError: a file is missing or damaged, the files do not fit each other, or the network is
            of a kind whose module is not imported yet.
    """
    folder = Path(folder)
    if read_config(folder).network.kind != DC_CNN:
        network = OtherReconstructor(load_trained(folder))
        return network.eval().requires_grad_(False)
    try:
        return dccnn.load(folder)
    except ValueError as error:
        raise InputError(str(error)) from None
