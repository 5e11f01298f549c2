"""Networks, features taken from them, and the SFT network."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from pipeline_src.config.networks import Network
from pipeline_src.models.base import count_parameters
from pipeline_src.models.dccnn import DCCNN, Cascade
from pipeline_src.models.sft import SFTNetwork
from pipeline_src.models.taps import Tap, tapped
from pipeline_src.sampling.data_fidelity import LineDataFidelity

pytest_plugins = ["shared_fixtures"]


TEACHER = Network(depth=5, cascades=5, features=4)
STUDENT = Network(depth=3, cascades=5, features=4)
SIZE = 16


@pytest.fixture(autouse=True)
def seeded() -> None:
    torch.manual_seed(0)


def cascade(network: DCCNN, number: int) -> Cascade:
    found = network.cascades[number - 1]
    assert isinstance(found, Cascade)
    return found


def parameters_of(depth: int, cascades: int, features: int) -> int:
    """Weights and biases of 3x3 convolutions, counted one by one."""
    channels = [1] + [features] * (depth - 1) + [1]
    block = sum(9 * channels[i] * channels[i + 1] + channels[i + 1] for i in range(depth))
    return cascades * block


def test_teacher_and_student_have_the_papers_sizes() -> None:
    assert count_parameters(DCCNN(Network(depth=5))) == 141_765
    assert count_parameters(DCCNN(Network(depth=3))) == 49_285


@pytest.mark.parametrize(
    ("depth", "cascades", "features"), [(2, 1, 1), (3, 2, 8), (4, 3, 5), (6, 1, 2)]
)
def test_other_depths_cascades_and_widths_have_the_parameters_of_their_convolutions(
    depth: int, cascades: int, features: int
) -> None:
    network = DCCNN(Network(depth=depth, cascades=cascades, features=features))
    assert count_parameters(network) == parameters_of(depth, cascades, features)
    assert len(network.cascades) == cascades


def test_networks_are_named_by_depth_and_cascades() -> None:
    assert Network(depth=5).name == "D5C5"
    assert Network(depth=3, cascades=2).name == "D3C2"


@pytest.mark.parametrize("padding", [0, 1, 5])
@pytest.mark.parametrize("shape", [(16, 16), (16, 11)])
def test_output_has_the_inputs_shape(
    padding: int, shape: tuple[int, int], fidelity: LineDataFidelity
) -> None:
    network = DCCNN(Network(depth=3, cascades=2, features=3, padding=padding))
    image = torch.rand(2, 1, *shape)
    assert network(image, fidelity).shape == image.shape


def test_padding_changes_a_cascade_only_within_its_reach_of_the_border() -> None:
    plain = Cascade(Network(depth=4, features=3))
    padded = Cascade(Network(depth=4, features=3, padding=5))
    padded.load_state_dict(plain.state_dict())
    image = torch.rand(1, 1, 24, 24)
    difference = (plain(image) - padded(image)).abs()[0, 0]
    # The first of four convolutions sees the same zeros; each later one reaches a pixel further.
    assert difference[3:-3, 3:-3].max() < 1e-6
    assert difference[2:-2, 2:-2].max() > 1e-5
    assert difference[0].max() > 1e-5


def test_more_padding_than_the_cascade_reaches_changes_nothing_further() -> None:
    less = Cascade(Network(depth=3, features=3, padding=3))
    more = Cascade(Network(depth=3, features=3, padding=7))
    more.load_state_dict(less.state_dict())
    image = torch.rand(1, 1, SIZE, SIZE)
    torch.testing.assert_close(more(image), less(image), rtol=1e-5, atol=1e-6)


def test_cascade_is_relu_between_convolutions_and_none_after_the_last() -> None:
    block = Cascade(Network(depth=3, features=3))
    image = torch.rand(1, 1, SIZE, SIZE)
    x = image
    for number, convolution in enumerate(block.convolutions):
        x = convolution(x)
        if number < 2:
            x = x.clamp(min=0)
    torch.testing.assert_close(block(image), x)
    last = block.convolutions[-1]
    assert isinstance(last, torch.nn.Conv2d)
    assert last.bias is not None
    with torch.no_grad():
        last.bias.fill_(-100.0)
    assert block(image).max() < -50


def test_network_alternates_cascades_and_data_fidelity(
    fidelity: LineDataFidelity, zero_filled: Tensor
) -> None:
    network = DCCNN(Network(depth=3, cascades=3, features=3))
    x = zero_filled
    for number in (1, 2, 3):
        x = zero_filled + torch.matmul(fidelity.complement, cascade(network, number)(x))
    torch.testing.assert_close(network(zero_filled, fidelity), x)


@pytest.mark.parametrize(("depth", "middle"), [(2, 1), (3, 2), (4, 2), (5, 3), (7, 4)])
@pytest.mark.parametrize("padding", [0, 2])
def test_taps_take_the_middle_relu_the_last_convolution_and_the_image(
    depth: int, middle: int, padding: int, fidelity: LineDataFidelity, zero_filled: Tensor
) -> None:
    network = DCCNN(Network(depth=depth, cascades=2, features=3, padding=padding))
    taps = [Tap(place, k) for place in ("mid", "out", "image") for k in (1, 2)]
    with tapped(network, taps) as features:
        whole = network(zero_filled, fidelity)

    image = zero_filled
    for k in (1, 2):
        x = torch.nn.functional.pad(image, (padding,) * 4)
        for number, convolution in enumerate(cascade(network, k).convolutions, start=1):
            x = convolution(x)
            if number < depth:
                x = x.relu()
            if number == middle:
                torch.testing.assert_close(features[Tap("mid", k)], x)
        torch.testing.assert_close(features[Tap("out", k)], x)
        assert x.shape[-2:] == (SIZE + 2 * padding, SIZE + 2 * padding)
        image = fidelity(x[..., padding : SIZE + padding, padding : SIZE + padding], zero_filled)
        torch.testing.assert_close(features[Tap("image", k)], image)
    assert features[Tap("image", 2)] is whole


def test_taps_are_gone_once_closed_even_after_an_error(
    fidelity: LineDataFidelity, zero_filled: Tensor
) -> None:
    network = DCCNN(STUDENT)
    with tapped(network, [Tap("out", 1)]) as features:
        network(zero_filled, fidelity)
    kept = features[Tap("out", 1)]
    network(zero_filled * 2, fidelity)
    assert features[Tap("out", 1)] is kept

    def fail() -> None:
        with tapped(network, [Tap("out", 1)]):
            raise RuntimeError("in the middle")

    with pytest.raises(RuntimeError, match="in the middle"):
        fail()
    blocks = [cascade(network, k) for k in (1, 2, 3, 4, 5)]
    assert not any(block.mid.wanted or block.out.wanted for block in blocks)


def unbatched_sft(
    network: SFTNetwork, zero_filled: Tensor, fidelity: LineDataFidelity
) -> tuple[Tensor, list[Tensor]]:
    """Each branch on its own, from the teacher's cascade where it leaves to the last one."""
    count = network.teacher.network.cascades
    after: list[Tensor] = []
    x = zero_filled
    for k in range(1, count + 1):
        x = fidelity(cascade(network.teacher, k)(x), zero_filled)
        after.append(x)
    branches = []
    for i in range(1, count):
        x = after[i - 1]
        for k in range(i + 1, count + 1):
            x = fidelity(cascade(network.student, k)(x), zero_filled)
        branches.append(x)
    return after[-1], branches


@pytest.mark.parametrize("cascades", [2, 3, 5])
@pytest.mark.parametrize("padding", [0, 2])
def test_batched_branches_equal_a_loop_over_branches(
    cascades: int, padding: int, fidelity: LineDataFidelity, zero_filled: Tensor
) -> None:
    network = SFTNetwork(
        DCCNN(Network(depth=5, cascades=cascades, features=4, padding=padding)),
        DCCNN(Network(depth=3, cascades=cascades, features=3, padding=padding)),
    )
    teacher, branches = network(zero_filled, fidelity)
    expected_teacher, expected = unbatched_sft(network, zero_filled, fidelity)
    assert branches.shape == (cascades - 1, *zero_filled.shape)
    torch.testing.assert_close(teacher, expected_teacher, rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(branches, torch.stack(expected), rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(network.teacher(zero_filled, fidelity), teacher)


def test_gradients_of_batched_branches_equal_those_of_the_loop(
    fidelity: LineDataFidelity, zero_filled: Tensor
) -> None:
    network = SFTNetwork(DCCNN(TEACHER), DCCNN(STUDENT))
    weights = torch.rand(4, *zero_filled.shape)
    _, branches = network(zero_filled, fidelity)
    (branches * weights).sum().backward()
    found = {n: p.grad.clone() for n, p in network.named_parameters() if p.grad is not None}
    network.zero_grad(set_to_none=True)
    _, expected = unbatched_sft(network, zero_filled, fidelity)
    (torch.stack(expected) * weights).sum().backward()
    looped = {n: p.grad for n, p in network.named_parameters() if p.grad is not None}
    assert found.keys() == looped.keys()
    for name, gradient in found.items():
        torch.testing.assert_close(gradient, looped[name], rtol=1e-3, atol=1e-4)


def test_every_block_but_the_students_first_learns_in_sft(
    fidelity: LineDataFidelity, zero_filled: Tensor
) -> None:
    network = SFTNetwork(DCCNN(TEACHER), DCCNN(STUDENT))
    teacher, branches = network(zero_filled, fidelity)
    (teacher.abs().mean() + branches.abs().mean()).backward()
    for name, parameter in network.named_parameters():
        if name.startswith("student.cascades.0."):
            assert parameter.grad is None, name
        else:
            assert parameter.grad is not None, name
    for network_part in (network.teacher, network.student):
        for number in range(2, 6):
            first = cascade(network_part, number).convolutions[0].weight
            assert isinstance(first, Tensor)
            assert first.grad is not None
            assert (first.grad != 0).any()
