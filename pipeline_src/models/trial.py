"""Counts what a network computes by running it on tensors that have a shape but no data."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from pipeline_src.config.networks import Counts, Network, Networks, OtherNetwork
from pipeline_src.errors import InputError
from pipeline_src.models.base import ReconstructionNetwork, count_parameters, refuse_shape
from pipeline_src.models.registry import make_network
from pipeline_src.models.taps import Features, Tap, tapped

#: Rows and columns of the image on which features are compared.
SIDE = 64


class Counted(nn.Module):
    """Replaces data fidelity: changes nothing and counts its calls."""

    def __init__(self) -> None:
        super().__init__()
        self.calls = 0

    def forward(self, image: Tensor, _zero_filled: Tensor) -> Tensor:
        """Image `(batch, 1, rows, columns)` and zero-filled one of its shape to the same shape."""
        self.calls += 1
        return image


def _without_numbers(network: Network | OtherNetwork) -> ReconstructionNetwork:
    with torch.device("meta"):
        return make_network(network)


def trial(network: Network | OtherNetwork, rows: int, columns: int) -> Counts:
    """Run a network on one slice of a given size, and on others to see that their shape stays.

    Raises:
        InputError: there is no such kind of network, its options are not valid for it, or it
            changes the shape of images.
    """
    # Imported late: trainings only need `feature_shapes`.
    from torch.utils.flop_counter import FlopCounterMode

    made, fidelity, layers = _without_numbers(network), Counted(), 0
    # Two slices that are not square: one that is repeated or turned would show.
    image = torch.empty(2, 1, rows, columns + 16, device="meta")
    with torch.no_grad():
        out = made(image, Counted())
    if out.shape != image.shape:
        refuse_shape(network, "a reconstruction", out, image)

    def add(_layer: nn.Module, _given: object, out: Tensor) -> None:
        nonlocal layers
        layers += out.numel()

    for module in made.modules():
        if not any(True for _ in module.children()) and not isinstance(module, nn.Identity):
            module.register_forward_hook(add)
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        made(torch.empty(1, 1, rows, columns, device="meta"), fidelity)
    # The library counts a multiplication and an addition as two.
    return Counts(count_parameters(made), counter.get_total_flops() // 2, fidelity.calls, layers)


def feature_shapes(
    network: Network | OtherNetwork, taps: Sequence[Tap]
) -> dict[Tap, tuple[int, ...]]:
    """Channels, rows and columns of features for an image of `SIDE` x `SIDE`.

    Raises:
        InputError: the network cannot be made, or has no such feature.
    """
    made = _without_numbers(network)
    features: Features
    with torch.no_grad(), tapped(made, taps) as features:
        made(torch.empty(1, 1, SIDE, SIDE, device="meta"), Counted())
    for tap in taps:
        if tap not in features:
            raise InputError(
                f"networks: {network.name} has a FeaturePoint {tap.place!r} in cascade "
                f"{tap.cascade} and does not call it; call it on the feature in forward"
            )
    return {tap: tuple(features[tap].shape[1:]) for tap in taps}


def require_comparable(
    networks: Networks, taps: Sequence[Tap], what: str, *, channels: bool
) -> None:
    """Check that the features of a teacher and a student have the same size.

    Args:
        networks: teacher and student.
        taps: the features that are compared.
        what: the key and value that ask for the comparison; the message begins with it.
        channels: whether the numbers of channels must be equal too.

    Raises:
        InputError: they differ, or a network has no such features.
    """
    teacher, student = networks.teacher, networks.student
    if isinstance(teacher, Network) and isinstance(student, Network) and not channels:
        return  # The study's own checks require the same padding of both.
    of_teacher, of_student = feature_shapes(teacher, taps), feature_shapes(student, taps)
    for tap in taps:
        (wide, *pixels), (narrow, *others) = of_teacher[tap], of_student[tap]
        if channels and wide != narrow:
            raise InputError(
                f"{what} compares channel with channel, but the teacher has {wide} features and "
                f"the student {narrow}"
            )
        if pixels != others:
            raise InputError(
                f"{what} compares pixel with pixel, but of an image of {SIDE} x {SIDE} the "
                f"teacher's feature {tap.place!r} of cascade {tap.cascade} has "
                f"{pixels[0]} x {pixels[1]} and the student's {others[0]} x {others[1]}; take "
                "networks whose features have the same size, or another method"
            )
