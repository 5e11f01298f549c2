"""What a network is: what every kind declares of itself."""

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
    """A feature's place: `out`, a block's output before cropping and data fidelity; `mid`, the
    feature in its middle, which DC-CNN takes after convolution (d + 1) // 2 (the third of a
    teacher's five, the second of a student's three); `image`, the image after data fidelity, which
    after the last cascade is the reconstruction. Cascades count from 1.
    """

    place: Literal["mid", "out", "image"]
    cascade: int


class FeaturePoint(nn.Identity):
    """A place where a feature is taken: what goes through it is handed to those who ask."""

    @property
    def wanted(self) -> bool:
        """Whether anybody asks."""
        return bool(self._forward_hooks)


class ReconstructionNetwork(nn.Module, ABC):
    """A network from a zero-filled image to a reconstruction.

    Its feature points are the submodules `mid` and `out`, such as a `FeaturePoint`, or none, and
    itself for `image`.

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
        """Reconstruct zero-filled images `(batch, 1, rows, columns)`."""

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
            InputError: the network cannot.
        """
        raise InputError(
            f"training.precision: {str(arithmetic).removeprefix('torch.')} is not possible for "
            f"{self.network.name}, which is no chain of blocks; use fp32"
        )


class CascadeNetwork(ReconstructionNetwork):
    """Blocks that map an image to an image, each followed by data fidelity; no shared weights.

    Any block can stand in for the one of the same number of another such network, as
    student-friendly training wants. The feature points are those of the blocks.

    Args:
        network: configuration; ``cascades`` is the number of blocks.
        options: as ``options_model`` takes them.
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
        """A block: `(batch, 1, rows, columns)` to the same shape, of any size."""

    def block(self, number: int, image: Tensor) -> Tensor:
        """The output of the block of a number, from 0, before data fidelity."""
        block = self.cascades[number]
        if self._arithmetic is None:
            out: Tensor = block(image)
            return out
        # Cast weights are not kept: a captured step would go on with those of its capture.
        with torch.autocast(image.device.type, self._arithmetic, cache_enabled=False):
            cast: Tensor = block(image).to(image.dtype)
            return cast

    def forward(
        self, zero_filled: Tensor, fidelity: DataFidelity, *, cascades: int | None = None
    ) -> Tensor:
        """Reconstruct zero-filled images `(batch, 1, rows, columns)`.

        ``cascades``: how many of them to go through; None: all.
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
        """Compute the blocks in a number format; weights stay in the one they have."""
        self._arithmetic = arithmetic


NetworkClass = TypeVar("NetworkClass", bound=type[ReconstructionNetwork])
#: Classes by kind; those of modules that are not imported are not there.
REGISTERED: dict[str, type[ReconstructionNetwork]] = {}


def register_network(kind: str) -> Callable[[NetworkClass], NetworkClass]:
    """Class decorator that makes a network known as ``kind``."""

    def keep(network: NetworkClass) -> NetworkClass:
        REGISTERED[kind] = network
        return network

    return keep


def count_parameters(module: nn.Module) -> int:
    """Trainable numbers of a module: 141,765 for D5C5 and 49,285 for D3C5 at 32 features."""
    return sum(p.numel() for p in module.parameters())
