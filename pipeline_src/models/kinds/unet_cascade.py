"""A cascade of U-Nets, the second network that can be distilled: another block between
data-fidelity steps (Ronneberger et al., MICCAI 2015; Schlemper et al., IEEE TMI 2018).
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from pipeline_src.config.networks import OtherNetwork
from pipeline_src.config.section import Section
from pipeline_src.models.base import CascadeNetwork, FeaturePoint, register_network


class Options(Section):
    """Size of each U-Net."""

    features: int = Field(default=16, ge=1, le=1024, description="channels at full resolution")
    levels: int = Field(default=2, ge=1, le=5, description="halvings of the resolution")


def double_convolution(before: int, after: int) -> nn.Sequential:
    """Two 3x3 convolutions, each with ReLU."""
    return nn.Sequential(
        nn.Conv2d(before, after, 3, padding=1),
        nn.ReLU(),
        nn.Conv2d(after, after, 3, padding=1),
        nn.ReLU(),
    )


class UNet(nn.Module):
    """A U-Net: halves the resolution and doubles the channels per level, then goes back up, with
    the features of the way down concatenated; the input is added to the output.

    Attributes:
        mid: receives the last features at full resolution, which have the same size in U-Nets of
            any depth.
        out: receives the output.
    """

    def __init__(self, options: Options) -> None:
        super().__init__()
        widths = [options.features << level for level in range(options.levels + 1)]
        self.down = nn.ModuleList(
            double_convolution(before, after)
            for before, after in zip([1, *widths], widths, strict=False)
        )
        self.up = nn.ModuleList(
            double_convolution(3 * width, width) for width in reversed(widths[:-1])
        )
        self.last = nn.Conv2d(options.features, 1, 1)
        self.mid, self.out = FeaturePoint(), FeaturePoint()

    def forward(self, image: Tensor) -> Tensor:
        """`(batch, 1, rows, columns)` to the same shape."""
        beside: list[Tensor] = []
        x = image
        for number, block in enumerate(self.down):
            # An odd side is rounded up.
            x = block(F.avg_pool2d(x, 2, ceil_mode=True) if number else x)
            beside.append(x)
        beside.pop()
        for block in self.up:
            skipped = beside.pop()
            x = F.interpolate(x, skipped.shape[-2:], mode="nearest")
            x = block(torch.cat([x, skipped], dim=1))
        out: Tensor = self.out(image + self.last(self.mid(x)))
        return out


@register_network("unet_cascade")
class UNetCascade(CascadeNetwork):
    """A cascade with a U-Net as each block."""

    options_model = Options

    def make_block(self, options: Options) -> UNet:
        """Make one U-Net."""
        return UNet(options)

    @classmethod
    def describe(cls, network: OtherNetwork, options: Options) -> str:
        """The network in words: `5 cascades of U-Nets with 2 levels below full resolution ...`."""
        levels = f"{options.levels} level{'s' * (options.levels > 1)}"
        return (
            f"{network.cascades} cascades of U-Nets with {levels} below full resolution and "
            f"{options.features} features at it"
        )
