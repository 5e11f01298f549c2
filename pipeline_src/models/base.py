"""The base classes of reconstruction networks, and the registry of their kinds."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any, ClassVar, Literal, NamedTuple, TypeVar

import torch
from torch import Tensor, nn

from pipeline_src.config.networks import Network, OtherNetwork
from pipeline_src.config.options import NoOptions
from pipeline_src.config.section import Section
from pipeline_src.errors import InputError
from pipeline_src.sampling.data_fidelity import DataFidelity


class Tap(NamedTuple):
    """A place in a network at which a feature is taken; cascades count from 1.

    `out` is a block's output before cropping and data fidelity. `mid` is the feature in its middle,
    in a DC-CNN the one after convolution (d + 1) // 2 (the third of a teacher's five, the second of
    a student's three). `image` is the image after data fidelity, which after the last cascade is
    the reconstruction.
    """

    place: Literal["mid", "out", "image"]
    cascade: int


class FeaturePoint(nn.Identity):
    """A module that passes its input on, so that hooks on it can take a feature."""

    @property
    def wanted(self) -> bool:
        """Whether a hook takes the feature."""
        return bool(self._forward_hooks)


class ReconstructionNetwork(nn.Module, ABC):
    """A network from a zero-filled image to a reconstruction.

    Features are taken at its submodules `mid` and `out`, such as a `FeaturePoint`; a network may
    have neither. The feature `image` is its own output.

    Attributes:
        network: its configuration.
    """

    #: The kind's own options, a `Section`.
    options_model: ClassVar[type[Section]] = NoOptions

    def __init__(self, network: Network | OtherNetwork) -> None:
        super().__init__()
        self.network = network

    @classmethod
    @abstractmethod
    def describe(cls, network: Any, options: Any) -> str:
        """The network in words, for the report's methods section, such as `U-Nets of 2 levels`."""

    @abstractmethod
    def forward(self, zero_filled: Tensor, fidelity: DataFidelity) -> Tensor:
        """Reconstruct zero-filled images `(batch, 1, rows, columns)`; the result has the same
        shape.
        """

    def point(self, tap: Tap) -> nn.Module:
        """The module whose output is a feature.

        Raises:
            InputError: the network has no such feature.
        """
        if tap == Tap("image", 1):
            return self
        return self._point_of(self if tap.cascade == 1 else None, tap)

    def _point_of(self, holder: nn.Module | None, tap: Tap) -> nn.Module:
        found = getattr(holder, tap.place, None)
        if not isinstance(found, nn.Module):
            raise InputError(
                f"networks: {self.network.name} has no feature {tap.place!r} in cascade "
                f"{tap.cascade}; take a method or form that compares another one, or give the "
                f"network a FeaturePoint of that name"
            )
        return found

    def set_arithmetic(self, arithmetic: torch.dtype) -> None:
        """Compute all but data fidelity in a number format, such as `torch.bfloat16`.

        Raises:
            InputError: the network does not support it.
        """
        raise InputError(
            f"training.precision: {str(arithmetic).removeprefix('torch.')} is not possible for "
            f"{self.network.name}, which is not a chain of blocks; use fp32"
        )


class CascadeNetwork(ReconstructionNetwork):
    """Blocks that map an image to an image, each followed by data fidelity; no shared weights.

    A block can be replaced by the block of the same number of another such network, which
    student-friendly training needs. Features are taken in the blocks.

    Args:
        network: configuration; ``cascades`` is the number of blocks.
        options: an instance of ``options_model``.
    """

    cascades: nn.ModuleList

    def __init__(self, network: Network | OtherNetwork, options: Any) -> None:
        super().__init__(network)
        self._arithmetic: torch.dtype | None = None
        self.cascades = nn.ModuleList(
            self.make_block(options) for _ in range(network.cascades or 1)
        )
        self.images = nn.ModuleList(FeaturePoint() for _ in self.cascades)

    @abstractmethod
    def make_block(self, options: Any) -> nn.Module:
        """Make a block, which maps `(batch, 1, rows, columns)` of any size to the same shape."""

    def block(self, number: int, image: Tensor) -> Tensor:
        """Apply one block, without data fidelity.

        Args:
            number: which block, counted from 0.
            image: `(batch, 1, rows, columns)`.

        Returns:
            `(batch, 1, rows, columns)`.

        Raises:
            InputError: the block makes another shape of it, which data fidelity might spread.
        """
        block = self.cascades[number]
        if self._arithmetic is None:
            out: Tensor = block(image)
        else:
            # Cast weights are not kept: a captured step would go on with those of its capture.
            with torch.autocast(image.device.type, self._arithmetic, cache_enabled=False):
                out = block(image).to(image.dtype)
        if out.shape != image.shape:
            refuse_shape(self.network, f"block {number + 1}", out, image)
        return out

    def forward(
        self, zero_filled: Tensor, fidelity: DataFidelity, *, cascades: int | None = None
    ) -> Tensor:
        """Reconstruct zero-filled images `(batch, 1, rows, columns)`; the result has the same
        shape.

        ``cascades`` is the number of cascades to apply; None: all.
        """
        x = zero_filled
        for number in range(len(self.cascades) if cascades is None else cascades):
            x = self.images[number](fidelity(self.block(number, x), zero_filled))
        return x

    def point(self, tap: Tap) -> nn.Module:
        """See `ReconstructionNetwork`."""
        there = 1 <= tap.cascade <= len(self.cascades)
        if there and tap.place == "image":
            return self.images[tap.cascade - 1]
        return self._point_of(self.cascades[tap.cascade - 1] if there else None, tap)

    def set_arithmetic(self, arithmetic: torch.dtype) -> None:
        """Compute the blocks in a number format; the weights keep theirs."""
        self._arithmetic = arithmetic


NetworkClass = TypeVar("NetworkClass", bound=type[ReconstructionNetwork])
#: Classes by kind; those of modules that are not imported are not there.
REGISTERED: dict[str, type[ReconstructionNetwork]] = {}


def register_network(kind: str) -> Callable[[NetworkClass], NetworkClass]:
    """Class decorator that registers a network under ``kind``."""

    def keep(network: NetworkClass) -> NetworkClass:
        REGISTERED[kind] = network
        return network

    return keep


def refuse_shape(network: Network | OtherNetwork, what: str, out: Tensor, image: Tensor) -> None:
    """Refuse what is not an image of the shape that it was made of.

    Args:
        network: whose.
        what: what made it, such as `block 1`.
        out: of another shape than `(batch, 1, rows, columns)`.
        image: `(batch, 1, rows, columns)`.

    Raises:
        InputError: always.
    """
    raise InputError(
        f"networks: {what} of {network.name} makes the shape {tuple(out.shape)} of "
        f"{tuple(image.shape)} (batch, 1, rows, columns), where the same shape is due"
    )


def count_parameters(module: nn.Module) -> int:
    """Number of trainable parameters: 141,765 for D5C5 and 49,285 for D3C5 at 32 features."""
    return sum(p.numel() for p in module.parameters())
