"""A network of one's own that changes the shape of images is refused before it is trained."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch

from pipeline_src.config.networks import OtherNetwork
from pipeline_src.errors import InputError
from pipeline_src.models.base import REGISTERED, Tap
from pipeline_src.models.registry import make_network
from pipeline_src.models.trial import Counted, feature_shapes, trial

Shaped = Callable[[str], OtherNetwork]
MODULE = """
from torch import nn

from pipeline_src.models.base import CascadeNetwork, FeaturePoint, register_network


class Block(nn.Module):
    def __init__(self):
        super().__init__()
        self.convolution, self.mid = nn.Conv2d(1, 1, 3, padding=1), FeaturePoint()

    def forward(self, image):
        x = self.convolution(image)
        return {made}


@register_network("shaped")
class Shaped(CascadeNetwork):
    def make_block(self, options):
        return Block()

    @classmethod
    def describe(cls, network, options):
        return "convolutions"
"""


@pytest.fixture
def shaped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Shaped]:
    """The configuration of a network whose blocks return an expression of their convolution."""

    def make(made: str) -> OtherNetwork:
        (tmp_path / "shaped_network.py").write_text(MODULE.format(made=made))
        monkeypatch.syspath_prepend(tmp_path)
        return OtherNetwork(kind="shaped", module="shaped_network", cascades=2)

    yield make
    REGISTERED.pop("shaped", None)
    sys.modules.pop("shaped_network", None)


@pytest.mark.parametrize(
    ("made", "shape"),
    [
        ("x[..., :-1]", "(2, 1, 8, 23)"),
        ("x[..., :1]", "(2, 1, 8, 1)"),  # data fidelity would spread these
        ("x[:1]", "(1, 1, 8, 24)"),
        ("x.mT", "(2, 1, 24, 8)"),
        ("x[:, 0]", "(2, 8, 24)"),
        ("x.expand(-1, 3, -1, -1)", "(2, 3, 8, 24)"),
    ],
)
def test_another_shape_is_refused_by_block_and_shape(made: str, shape: str, shaped: Shaped) -> None:
    with pytest.raises(InputError) as caught:
        trial(shaped(made), 8, 8)
    assert "networks: block 1 of shaped C2" in str(caught.value)
    assert f"makes the shape {shape} of (2, 1, 8, 24)" in str(caught.value)


def test_the_same_shape_is_counted(shaped: Shaped) -> None:
    assert trial(shaped("x"), 8, 8).multiply_adds == 2 * 9 * 64


def test_a_training_does_not_go_on_with_another_shape(
    shaped: Shaped,
) -> None:
    network = make_network(shaped("x[:1]"))
    with pytest.raises(InputError, match="the same shape is due"):
        network(torch.rand(2, 1, 8, 8), Counted())  # type: ignore[arg-type]


def test_a_feature_point_that_is_not_called_is_named(
    shaped: Shaped,
) -> None:
    with pytest.raises(InputError, match="FeaturePoint 'mid' in cascade 2 and does not call it"):
        feature_shapes(shaped("x"), [Tap("mid", 2)])
