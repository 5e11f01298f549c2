"""Data fidelity: replaces the network's k-space by the measured one where it was sampled.

For a real image the step x_rec = Re F^H (M y + (1 - M) F x_cnn) of DC-CNN (Schlemper et al., IEEE
TMI 2018, Eq. 6 without noise) equals x_u + x_cnn - Re F^H M F x_cnn with the zero-filled image x_u
= Re F^H M y, so it needs the zero-filled image but not the k-space.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from pipeline_src.sampling.masks import Mask


def line_projection(lines: NDArray[np.bool_]) -> NDArray[np.float64]:
    """P = Re F1^H diag(m) F1, the part of a real image that a line mask keeps.

    F1 is the orthonormal 1-D DFT along the phase-encode axis.

    Args:
        lines: the mask m, `(rows,)`.

    Returns:
        `(rows, rows)`.
    """
    rows = len(lines)
    fourier = np.fft.fft(np.eye(rows), norm="ortho")
    kept: NDArray[np.float64] = (fourier.conj().T @ (lines[:, None] * fourier)).real
    return kept


class LineDataFidelity(nn.Module):
    """Data fidelity for a mask of whole lines `(rows,)`, as one real matrix product.

    x_rec = x_u + (I - Re F1^H diag(m) F1) x_cnn: exact, without complex arithmetic.
    """

    complement: Tensor
    kept: Tensor

    def __init__(self, lines: NDArray[np.bool_], dtype: torch.dtype = torch.float32) -> None:
        super().__init__()
        # Computed in double precision, applied in the network's.
        kept = torch.from_numpy(line_projection(lines))
        complement = torch.eye(len(lines), dtype=kept.dtype) - kept
        self.register_buffer("kept", kept.to(dtype), persistent=False)
        self.register_buffer("complement", complement.to(dtype), persistent=False)

    def zero_filled(self, target: Tensor) -> Tensor:
        """Zero-filled image of a real image `(..., rows, columns)`, of the same shape."""
        return torch.matmul(self.kept, target)

    def forward(self, image: Tensor, zero_filled: Tensor) -> Tensor:
        """Replace the measured lines of images by those of their zero-filled images.

        Args:
            image: `(..., rows, columns)`.
            zero_filled: of the same shape, or one that can be broadcast to it.

        Returns:
            Images of the same shape.
        """
        return zero_filled + torch.matmul(self.complement, image)


class FourierDataFidelity(nn.Module):
    """Data fidelity for any mask `(rows, columns)`, by 2-D FFT."""

    samples: Tensor

    def __init__(self, samples: NDArray[np.bool_]) -> None:
        super().__init__()
        self.register_buffer("samples", torch.from_numpy(samples.copy()), persistent=False)

    def zero_filled(self, target: Tensor) -> Tensor:
        """Zero-filled image of a real image `(..., rows, columns)`, of the same shape."""
        kspace = torch.fft.fft2(target, norm="ortho") * self.samples
        image: Tensor = torch.fft.ifft2(kspace, norm="ortho").real
        return image

    def forward(self, image: Tensor, zero_filled: Tensor) -> Tensor:
        """Replace the measured samples of images by those of their zero-filled images.

        Args:
            image: `(..., rows, columns)`.
            zero_filled: of the same shape, or one that can be broadcast to it.

        Returns:
            Images of the same shape.
        """
        return zero_filled + image - self.zero_filled(image)


DataFidelity = LineDataFidelity | FourierDataFidelity


def data_fidelity(mask: Mask) -> DataFidelity:
    """The data-fidelity step for a mask: a matrix product if the mask consists of whole lines."""
    lines = mask.lines
    return FourierDataFidelity(mask.samples) if lines is None else LineDataFidelity(lines)
