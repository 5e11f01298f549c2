"""A trained reconstruction network, loaded from the folder of a bundle.

This file needs only Python, torch and safetensors. Each bundle contains a copy of it:

    from dccnn import load

    network = load(".")
    reconstruction = network(network.undersample(image))  # (batch, 1, rows, columns), maximum 1

The network is DC-CNN: cascades of convolutions, each followed by data fidelity, which puts the
measured samples back (Schlemper et al., IEEE TMI 2018).
"""

from __future__ import annotations

import hashlib
import json
import math
import warnings
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

FORMAT = "sft-kd-recon bundle 1"
#: The only kind of network that a bundle can hold.
KIND = "dc_cnn"
#: Allowed sizes of a bundle's network; a larger one would not be a reconstruction network.
LIMITS = {
    "depth": (2, 100),
    "cascades": (1, 100),
    "features": (1, 4096),
    "padding": (0, 1000),
}
#: An image with a larger value was not divided by the maximum of its volume.
BRIGHTEST = 10.0


class Cascade(nn.Module):
    """3x3 convolutions with ReLU between them: `(batch, 1, rows, columns)` to the same shape."""

    def __init__(self, depth: int, features: int, padding: int) -> None:
        super().__init__()
        channels = [1, *[features] * (depth - 1), 1]
        self.padding = padding
        self.convolutions = nn.ModuleList(
            nn.Conv2d(channels[i], channels[i + 1], 3, padding=1) for i in range(depth)
        )

    def forward(self, image: Tensor) -> Tensor:
        """Apply the convolutions."""
        pad = self.padding
        x = F.pad(image, (pad, pad, pad, pad)) if pad else image
        for convolution in self.convolutions[:-1]:
            x = F.relu(convolution(x))
        out: Tensor = self.convolutions[-1](x)
        return out[..., pad:-pad, pad:-pad] if pad else out


class Lines(nn.Module):
    """Data fidelity for a mask `(rows, columns)` of whole lines: one product of matrices."""

    kept: Tensor
    complement: Tensor

    def __init__(self, samples: Tensor) -> None:
        super().__init__()
        # Computed in double precision, applied in the network's.
        fourier = _fourier(len(samples))
        kept = (fourier.conj().T @ (samples[:, :1] * fourier)).real
        _keep(self, "kept", kept)
        _keep(self, "complement", torch.eye(len(kept), dtype=kept.dtype) - kept)

    def forward(self, image: Tensor) -> Tensor:
        """The zero-filled image of an image `(..., rows, columns)`, of the same shape."""
        return torch.matmul(self.kept, image)

    def put_back(self, image: Tensor, zero_filled: Tensor) -> Tensor:
        """Replace the measured samples of images `(..., rows, columns)` by those of their
        zero-filled images; all have the same shape, and so has the result, `(..., rows, columns)`.
        """
        return zero_filled + torch.matmul(self.complement, image)


class Samples(nn.Module):
    """Data fidelity for any mask `(rows, columns)`.

    Fourier transforms along both axes are products of matrices, with real and imaginary parts kept
    separately.
    """

    samples: Tensor
    down_real: Tensor
    down_imaginary: Tensor
    across_real: Tensor
    across_imaginary: Tensor

    def __init__(self, samples: Tensor) -> None:
        super().__init__()
        _keep(self, "samples", samples)
        for name, size in zip(("down", "across"), samples.shape, strict=True):
            fourier = _fourier(size)
            _keep(self, f"{name}_real", fourier.real)
            _keep(self, f"{name}_imaginary", fourier.imag)

    def forward(self, image: Tensor) -> Tensor:
        """The zero-filled image of an image `(..., rows, columns)`, of the same shape."""
        real, imaginary = self.down_real @ image, self.down_imaginary @ image
        taken_real = self.samples * (real @ self.across_real - imaginary @ self.across_imaginary)
        taken_imaginary = self.samples * (
            real @ self.across_imaginary + imaginary @ self.across_real
        )
        # The inverse transform uses the conjugates; only the real part of the result is kept.
        real = self.down_real @ taken_real + self.down_imaginary @ taken_imaginary
        imaginary = self.down_real @ taken_imaginary - self.down_imaginary @ taken_real
        return real @ self.across_real + imaginary @ self.across_imaginary

    def put_back(self, image: Tensor, zero_filled: Tensor) -> Tensor:
        """Replace the measured samples of images `(..., rows, columns)` by those of their
        zero-filled images; all have the same shape, and so has the result, `(..., rows, columns)`.
        """
        kept: Tensor = self(image)
        return zero_filled + image - kept


class Reconstructor(nn.Module):
    """A network and the mask `(rows, columns)` that it was trained for.

    Attributes:
        config: `config.json` of the bundle.
    """

    sampling: Lines | Samples

    def __init__(self, network: dict[str, int], samples: Tensor, config: dict[str, Any]) -> None:
        super().__init__()
        self.config = config
        self.cascades = _cascades(network)
        lines = bool((samples == samples[:, :1]).all())
        self.sampling = Lines(samples) if lines else Samples(samples)

    def _check(self, image: Tensor, least: float) -> None:
        expected = (1, *self.config["matrix"])
        if image.ndim != 4 or tuple(image.shape[1:]) != expected or image.dtype != torch.float32:
            raise ValueError(
                f"image is {tuple(image.shape)} of {image.dtype}; torch.float32 of "
                f"(batch, {', '.join(map(str, expected))}) is needed"
            )
        if torch.compiler.is_compiling() or not image.numel():
            return  # without values
        low, high = (float(value) for value in image.aminmax())
        if not (math.isfinite(low) and math.isfinite(high)):
            raise ValueError("image holds NaN or infinite values; finite ones are needed")
        if low < least or high > BRIGHTEST:
            warnings.warn(
                f"image has values from {low:.4g} to {high:.4g}; the network is for magnitudes "
                "divided by the maximum of their volume, from 0 to 1",
                stacklevel=3,
            )

    def undersample(self, image: Tensor) -> Tensor:
        """The zero-filled image of a full one, `(batch, 1, rows, columns)` of maximum 1; same
        shape.
        """
        self._check(image, least=0)
        zero_filled: Tensor = self.sampling(image)
        return zero_filled

    def forward(self, zero_filled: Tensor) -> Tensor:
        """The reconstruction of a zero-filled image `(batch, 1, rows, columns)`, of the same
        shape.
        """
        self._check(zero_filled, least=-BRIGHTEST)
        x: Tensor = zero_filled
        for cascade in self.cascades:
            x = self.sampling.put_back(cascade(x), zero_filled)
        return x


def _cascades(network: dict[str, int]) -> nn.ModuleList:
    return nn.ModuleList(
        Cascade(network["depth"], network["features"], network["padding"])
        for _ in range(network["cascades"])
    )


def _keep(module: nn.Module, name: str, values: Tensor) -> None:
    module.register_buffer(name, values.to(torch.float32).contiguous(), persistent=False)


def _fourier(size: int) -> Tensor:
    """The orthonormal Fourier transform as a complex matrix `(size, size)`."""
    fourier: Tensor = torch.fft.fft(torch.eye(size, dtype=torch.complex128), norm="ortho")
    return fourier


def load(folder: str | Path) -> Reconstructor:
    """The network of a bundle, ready to reconstruct.

    Raises:
        ValueError: a file is missing or damaged, or the files do not fit each other.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise ValueError(f"{folder}: is not a folder")
    _refuse_changed(folder)
    config = _config(folder / "config.json")
    samples = _tensors(folder / "mask.safetensors").get("samples")
    if samples is None or samples.dtype != torch.bool or list(samples.shape) != config["matrix"]:
        raise ValueError(f"{folder / 'mask.safetensors'}: is not a mask of {config['matrix']}")
    weights = _tensors(folder / "model.safetensors")
    with torch.device("meta"):  # a description may be of any size
        due = _cascades(config["network"]).state_dict()
    shapes = {f"cascades.{name}": value.shape for name, value in due.items()}
    if shapes != {name: value.shape for name, value in weights.items()}:
        raise ValueError(f"{folder / 'model.safetensors'}: weights do not fit config.json")
    for name, value in weights.items():
        if not value.is_floating_point() or not value.float().isfinite().all():
            raise ValueError(f"{folder / 'model.safetensors'}: {name} holds no weights")
    network = Reconstructor(config["network"], samples, config)
    network.load_state_dict(weights)
    return network.eval().requires_grad_(False)


def _refuse_changed(folder: Path) -> None:
    """Refuse files that are not those of the bundle's list of digests."""
    sums = folder / "SHA256SUMS"
    if not sums.is_file():
        return
    pairs = (line.partition("  ") for line in sums.read_text(encoding="utf-8").splitlines())
    listed = {name: digest for digest, _, name in pairs}
    for name in ("config.json", "mask.safetensors", "model.safetensors"):
        try:
            _refuse_endless(folder / name)
            content = (folder / name).read_bytes()
        except OSError as error:
            raise ValueError(f"{folder / name}: cannot be read ({error})") from None
        if hashlib.sha256(content).hexdigest() != listed.get(name):
            raise ValueError(f"{folder / name}: is not as it was written (its digest differs)")


def _config(path: Path) -> dict[str, Any]:
    try:
        _refuse_endless(path)
        config: Any = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise ValueError(f"{path}: cannot be read ({error})") from None
    if not isinstance(config, dict) or config.get("format") != FORMAT:
        raise ValueError(f"{path}: its format is not {FORMAT!r}")
    network, matrix = config.get("network"), config.get("matrix")
    if isinstance(network, dict) and network.get("kind", KIND) != KIND:
        raise ValueError(f"{path}: network is of kind {network['kind']!r}, not {KIND}")
    if not isinstance(network, dict) or set(network) - {"kind"} != set(LIMITS):
        raise ValueError(f"{path}: network does not have the keys {', '.join(LIMITS)}")
    for key, (least, most) in LIMITS.items():
        if type(network[key]) is not int or not least <= network[key] <= most:
            raise ValueError(f"{path}: network.{key} is not a number from {least} to {most}")
    sizes = matrix if isinstance(matrix, list) else []
    if len(sizes) != 2 or any(type(size) is not int or not 1 <= size <= 1 << 14 for size in sizes):
        raise ValueError(f"{path}: matrix is not two numbers, rows and columns")
    return dict(config)


def _refuse_endless(path: Path) -> None:
    """Of a pipe or a device, reading might never end."""
    if path.exists() and not path.is_file():
        raise OSError("is no regular file")


def _tensors(path: Path) -> dict[str, Tensor]:
    try:
        _refuse_endless(path)
        tensors: dict[str, Tensor] = load_file(path)
    except (OSError, SafetensorError) as error:
        raise ValueError(
            f"{path}: is missing, damaged or not a safetensors file ({error})"
        ) from None
    return tensors
