"""Networks of other kinds than DC-CNN: the U-Net cascade, and those of modules of one's own."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from itertools import product
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor, nn
from training_helpers import CONFIGURATION, Files, state, study_with, train

from pipeline_src.config import check_study
from pipeline_src.config.networks import Network, OtherNetwork, available_networks
from pipeline_src.errors import InputError
from pipeline_src.models.base import (
    REGISTERED,
    CascadeNetwork,
    ReconstructionNetwork,
    Tap,
    count_parameters,
)
from pipeline_src.models.dccnn import DCCNN
from pipeline_src.models.kinds.unet_cascade import Options, UNet, UNetCascade
from pipeline_src.models.multiply_adds import counts, fidelity_multiply_adds
from pipeline_src.models.registry import describe_network, make_network, network_class
from pipeline_src.models.taps import tapped
from pipeline_src.models.trial import trial
from pipeline_src.models.weights import load_network, save_weights
from pipeline_src.sampling.data_fidelity import LineDataFidelity

pytest_plugins = ["shared_fixtures"]

UNETS = {"kind": "unet_cascade", "cascades": 3, "options": {"features": 2, "levels": 1}}
LARGER = UNETS | {"options": {"features": 2, "levels": 2}}
STUDENT = OtherNetwork.model_validate(UNETS)
#: A network without blocks: data fidelity in the middle.
WHOLE = """
from torch import nn

from pipeline_src.models.base import FeaturePoint, ReconstructionNetwork, register_network


@register_network("whole")
class Whole(ReconstructionNetwork):
    def __init__(self, network, options):
        super().__init__(network)
        self.first, self.last = nn.Conv2d(1, 4, 3, padding=1), nn.Conv2d(4, 1, 3, padding=1)
        self.out = FeaturePoint()

    @classmethod
    def describe(cls, network, options):
        return "two convolutions"

    def forward(self, zero_filled, fidelity):
        return fidelity(self.out(self.last(self.first(zero_filled).relu())), zero_filled)
"""


@pytest.fixture(autouse=True)
def seeded() -> None:
    torch.manual_seed(0)


@pytest.fixture
def whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, Any]]:
    """The configuration of a network without blocks, of a module outside the package."""
    (tmp_path / "whole_network.py").write_text(WHOLE)
    monkeypatch.syspath_prepend(tmp_path)
    yield {"kind": "whole", "module": "whole_network"}
    REGISTERED.pop("whole", None)
    sys.modules.pop("whole_network", None)


@pytest.mark.parametrize(("rows", "columns"), [(16, 16), (15, 18), (9, 7)])
@pytest.mark.parametrize("levels", [1, 2, 3])
def test_u_nets_keep_the_size_of_any_image(rows: int, columns: int, levels: int) -> None:
    image = torch.rand(2, 1, rows, columns)
    assert UNet(Options(features=2, levels=levels))(image).shape == image.shape


def test_a_u_net_adds_to_its_input_and_its_features_are_where_it_says() -> None:
    block = UNet(Options(features=3, levels=1))
    image, seen = torch.rand(1, 1, 8, 8), []
    block.mid.register_forward_hook(lambda _module, _given, out: seen.append(out))
    found = block(image)
    assert seen[0].shape == (1, 3, 8, 8)
    assert seen[0].min() >= 0
    torch.testing.assert_close(found, image + block.last(seen[0]))


def test_blocks_alternate_with_data_fidelity(
    fidelity: LineDataFidelity, zero_filled: Tensor
) -> None:
    network = make_network(STUDENT)
    assert isinstance(network, UNetCascade)
    with tapped(network, [Tap("out", k) for k in (1, 2, 3)]) as features:
        found = network(zero_filled, fidelity)
    x = zero_filled
    for number, block in enumerate(network.cascades, start=1):
        torch.testing.assert_close(features[Tap("out", number)], block(x))
        x = zero_filled + torch.matmul(fidelity.complement, block(x))
    torch.testing.assert_close(found, x)


def test_in_bf16_the_blocks_alone_are_rounded(
    fidelity: LineDataFidelity, zero_filled: Tensor
) -> None:
    network = make_network(STUDENT)
    exact = network(zero_filled, fidelity)
    network.set_arithmetic(torch.bfloat16)
    with tapped(network, [Tap("mid", 1)]) as features:
        rounded = network(zero_filled, fidelity)
    assert rounded.dtype == features[Tap("mid", 1)].dtype == torch.float32
    assert not torch.equal(rounded, exact)
    torch.testing.assert_close(rounded, exact, rtol=0.02, atol=0.02)
    # What was sampled is as exact as ever.
    kept = torch.matmul(fidelity.kept, rounded - exact)
    assert kept.abs().max() < 0.1 * (rounded - exact).abs().max()


def test_parameters_and_multiply_adds_are_those_of_the_layers() -> None:
    network = OtherNetwork(kind="unet_cascade", cascades=2, options={"features": 2, "levels": 1})
    rows, columns = 8, 6
    # Channels of each 3x3 convolution, and how many pixels it has.
    layers = [(1, 2, 48), (2, 2, 48), (2, 4, 12), (4, 4, 12), (6, 2, 48), (2, 2, 48)]
    block = sum(9 * a * b * pixels for a, b, pixels in layers) + 2 * 48
    assert counts(network, rows, columns).multiply_adds == 2 * block
    numbers = sum(9 * a * b + b for a, b, _ in layers) + 2 + 1
    assert counts(network).parameters == count_parameters(make_network(network)) == 2 * numbers
    assert fidelity_multiply_adds(network, rows, columns) == 2 * rows * rows * columns
    # Each convolution and each ReLU after one puts out as many numbers.
    assert counts(network, rows, columns).activations == 2 * (
        2 * sum(b * pixels for _, b, pixels in layers) + 48
    )


@pytest.mark.parametrize("padding", [0, 3])
def test_a_trial_counts_what_is_known_of_dc_cnns(padding: int) -> None:
    network = Network(depth=4, cascades=3, features=5, padding=padding)
    found = trial(network, 12, 10)
    known = counts(network, 12, 10)
    assert (found.multiply_adds, found.parameters) == (known.multiply_adds, known.parameters)
    assert found.fidelities == known.fidelities == 3


def test_weights_name_their_kind_and_are_read_without_being_told(tmp_path: Path) -> None:
    network = make_network(STUDENT)
    save_weights(tmp_path / "w.safetensors", network, model="student")
    loaded = load_network(tmp_path / "w.safetensors")
    assert isinstance(loaded, UNetCascade)
    assert loaded.network == STUDENT
    for name, value in loaded.state_dict().items():
        assert torch.equal(value, network.state_dict()[name])
    with safe_open(tmp_path / "w.safetensors", framework="pt") as file:
        assert json.loads(file.metadata()["network"])["kind"] == "unet_cascade"


def test_weights_that_name_no_kind_are_of_a_dc_cnn(tmp_path: Path) -> None:
    network = DCCNN(Network(depth=3, cascades=2, features=3))
    described = network.network.model_dump(exclude={"kind"})
    tensors = {name: t.contiguous() for name, t in network.state_dict().items()}
    save_file(tensors, tmp_path / "w.safetensors", {"network": json.dumps(described)})
    assert load_network(tmp_path / "w.safetensors").network == network.network


def test_weights_have_no_module_imported(tmp_path: Path, whole: dict[str, Any]) -> None:
    network = OtherNetwork.model_validate(whole)
    save_weights(tmp_path / "w.safetensors", make_network(network))
    assert isinstance(load_network(tmp_path / "w.safetensors"), ReconstructionNetwork)
    REGISTERED.pop("whole")
    with pytest.raises(
        InputError, match=r"kind 'whole'.*if you trust it, .*--import whole_network"
    ):
        load_network(tmp_path / "w.safetensors")
    assert "whole" not in REGISTERED


@pytest.mark.parametrize(
    ("network", "line"),
    [
        (
            UNETS | {"kind": "unet_cascades"},
            r"networks.teacher: kind: 'unet_cascades' is not a kind "
            r"of network; did you mean 'unet_cascade'\?",
        ),
        (UNETS | {"depth": 3}, r"networks.teacher: depth: is a key of dc_cnn; .*`options`"),
        ({"kind": "dc_cnn", "dept": 3}, r"networks.teacher.dept: unknown key .*teacher.depth"),
        (UNETS | {"cascades": 2}, r"networks.student.cascades: 3 differs from the teacher's 2"),
        (UNETS | {"cascades": None}, r"networks.student.cascades: 3 differs .* null"),
    ],
)
def test_a_configuration_that_is_none_is_refused(network: dict[str, Any], line: str) -> None:
    with pytest.raises(InputError, match=line):
        study_with(networks={"teacher": network})


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        (
            {"options": {"feature": 3}},
            r"unet_cascade: options.feature: no such option; did you "
            r"mean 'features'\?",
        ),
        ({"options": {"levels": 0}}, r"options.levels: 0: .*greater than or equal to 1"),
        ({"cascades": None}, r"unet_cascade is a chain of blocks; give .*`cascades`"),
        ({"module": "no_such_module"}, r"module no_such_module cannot be imported"),
        (
            {"module": "json"},
            r"module json registers no network named 'unet_cascade'; write @register_n",
        ),
    ],
)
def test_a_network_that_cannot_be_made_is_refused(changes: dict[str, Any], line: str) -> None:
    with pytest.raises(InputError, match=line):
        make_network(OtherNetwork.model_validate(UNETS | changes))


def test_networks_say_what_they_are() -> None:
    assert STUDENT.name == "unet_cascade C3 (features 2, levels 1)"
    assert describe_network(STUDENT) == (
        "3 cascades of U-Nets with 1 level below full resolution and 2 features at it"
    )
    assert "5 convolutions of 32 features" in describe_network(Network(depth=5))


PAIRS = {"u-nets": {"teacher": LARGER, "student": UNETS}, "mixed": {"teacher": LARGER}}


@pytest.mark.parametrize(("pair", "domain"), list(product(PAIRS, ("image", "features"))))
def test_student_friendly_training_and_distillation_of_other_kinds(
    pair: str,
    domain: str,
    files: Files,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    study = study_with(
        networks=PAIRS[pair],
        sft={"imitation_domain": domain},
        training={"epochs": 1},
        methods={"sp": {}},
    )
    if (pair, domain) == ("mixed", "features"):
        with pytest.raises(InputError, match="teacher has 2 features and the student 16"):
            train(study, "sft_teacher", files.inputs(), tmp_path / "sft")
        return
    sft = train(study, "sft_teacher", files.inputs(), tmp_path / "sft")
    logged = capsys.readouterr().err
    assert "torch's; the kernels are for networks of kind dc_cnn, not unet_cascade" in logged
    blocks = sft / "student_weights.safetensors"
    inputs = files.inputs(sft / "weights.safetensors", blocks)
    student = train(study, "sft_kd_at", inputs, tmp_path / "student")
    trained, donor = state(student / "weights.safetensors"), state(blocks)
    assert trained.keys() == donor.keys()
    assert not torch.equal(
        *(s[f"{next(n for n in s if n.startswith('cascades.1.'))}"] for s in (trained, donor))
    )


def test_a_network_without_blocks_is_distilled_and_not_trained_student_friendly(
    files: Files, tmp_path: Path, whole: dict[str, Any]
) -> None:
    study = CONFIGURATION | {
        "networks": {"teacher": whole, "student": whole},
        "methods": {"fitnets": {}, "at": {}},
        "training": CONFIGURATION["training"] | {"epochs": 1},
    }
    way_out = r"recipe sft_kd needs; use recipes: \[std_kd\], controls: \[student_matched\]"
    with pytest.raises(InputError, match=way_out):
        check_study(study)
    with pytest.raises(InputError, match="control student_sft_start needs"):
        check_study(study | {"recipes": ["std_kd"]})
    study = check_study(study | {"recipes": ["std_kd"], "controls": ["student_matched"]})
    assert "sft_teacher" not in study.model_names()
    teacher = train(study, "teacher", files.inputs(), tmp_path / "teacher")
    inputs = files.inputs(teacher / "weights.safetensors")
    train(study, "std_kd_fitnets", inputs, tmp_path / "fitnets")
    with pytest.raises(InputError, match="whole has no feature 'mid' in cascade 1"):
        train(study, "std_kd_at", inputs, tmp_path / "at")


def test_every_kind_is_a_network_that_says_what_it_is() -> None:
    for kind in available_networks():
        if kind == "dc_cnn":
            continue
        found = network_class(OtherNetwork(kind=kind, cascades=2))
        assert issubclass(found, CascadeNetwork)
        assert isinstance(make_network(OtherNetwork(kind=kind, cascades=2)), nn.Module)
        assert describe_network(OtherNetwork(kind=kind, cascades=2))
