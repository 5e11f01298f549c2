"""Weights files: their round trip, what does not fit, warm starts, and damaged files."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from pipeline_src.config.networks import Network
from pipeline_src.errors import InputError
from pipeline_src.models.dccnn import DCCNN
from pipeline_src.models.weights import (
    load_network,
    load_tensors,
    read_metadata,
    save_weights,
)
from pipeline_src.sampling.data_fidelity import LineDataFidelity

pytest_plugins = ["shared_fixtures"]

STUDENT = Network(depth=3, cascades=5, features=4)


@pytest.fixture(autouse=True)
def seeded() -> None:
    torch.manual_seed(0)


def test_weights_come_back_bit_for_bit_with_their_network(tmp_path: Path) -> None:
    network = DCCNN(Network(depth=3, cascades=2, features=3, padding=5))
    path = tmp_path / "new" / "weights.safetensors"
    save_weights(path, network)
    loaded = load_network(path)
    assert loaded.network == network.network
    assert loaded.state_dict().keys() == network.state_dict().keys()
    for name, value in network.state_dict().items():
        assert torch.equal(loaded.state_dict()[name], value), name
    assert [p.name for p in path.parent.iterdir()] == [path.name]


def test_the_same_weights_make_the_same_file(tmp_path: Path) -> None:
    network = DCCNN(STUDENT)
    for name in ("a.safetensors", "b.safetensors"):
        save_weights(tmp_path / name, network)
    first, second = ((tmp_path / f"{name}.safetensors").read_bytes() for name in "ab")
    assert first == second


def test_loaded_network_reconstructs_as_the_saved_one(
    tmp_path: Path, fidelity: LineDataFidelity, zero_filled: Tensor
) -> None:
    network = DCCNN(STUDENT)
    save_weights(tmp_path / "w.safetensors", network)
    loaded = load_network(tmp_path / "w.safetensors")
    assert torch.equal(loaded(zero_filled, fidelity), network(zero_filled, fidelity))


FIRST = "cascades.0.convolutions.0.weight"
SECOND = "cascades.1.convolutions.2.bias"


def written(path: Path, tensors: dict[str, Tensor], network: Network = STUDENT) -> Path:
    save_file(tensors, path, {"network": json.dumps(network.model_dump())})
    return path


def tensors_of(network: Network = STUDENT) -> dict[str, Tensor]:
    return {name: value.contiguous() for name, value in DCCNN(network).state_dict().items()}


def test_missing_tensors_are_all_listed(tmp_path: Path) -> None:
    tensors = tensors_of()
    del tensors[FIRST], tensors[SECOND]
    path = written(tmp_path / "w.safetensors", tensors)
    with pytest.raises(InputError) as caught:
        load_network(path)
    text = str(caught.value)
    assert str(path) in text
    assert f"{FIRST} is missing" in text
    assert f"{SECOND} is missing" in text
    assert "28 of 30 tensors match" in text


def test_tensors_of_another_shape_are_listed_with_both_shapes(tmp_path: Path) -> None:
    tensors = tensors_of() | {FIRST: torch.zeros(4, 1, 5, 5)}
    path = written(tmp_path / "w.safetensors", tensors)
    with pytest.raises(InputError) as caught:
        load_network(path)
    assert f"{FIRST} is (4, 1, 5, 5) where (4, 1, 3, 3) is due" in str(caught.value)
    assert "29 of 30 tensors match" in str(caught.value)


def test_left_over_tensors_are_listed(tmp_path: Path) -> None:
    tensors = tensors_of() | {"cascades.5.bias": torch.zeros(1), "extra": torch.zeros(1)}
    path = written(tmp_path / "w.safetensors", tensors)
    with pytest.raises(InputError) as caught:
        load_network(path)
    assert "cascades.5.bias is not used" in str(caught.value)
    assert "extra is not used" in str(caught.value)
    assert "30 of 30 tensors match" in str(caught.value)


def test_failed_load_leaves_the_network_as_it_was() -> None:
    network = DCCNN(STUDENT)
    before = {name: value.clone() for name, value in network.state_dict().items()}
    tensors = tensors_of()
    del tensors[SECOND]
    with pytest.raises(InputError, match="given: weights do not fit D3C5"):
        load_tensors(network, tensors, origin="given")
    for name, value in network.state_dict().items():
        assert torch.equal(value, before[name]), name


def test_warm_start_of_later_cascades_leaves_the_first_as_it_was() -> None:
    network = DCCNN(STUDENT)
    before = {name: value.clone() for name, value in network.state_dict().items()}
    donor = tensors_of()
    load_tensors(network, donor, origin="donor", cascades=range(2, 6))
    for name, value in network.state_dict().items():
        source = before if name.startswith("cascades.0.") else donor
        assert torch.equal(value, source[name]), name


def test_warm_start_needs_nothing_of_the_first_cascade() -> None:
    donor = {name: t for name, t in tensors_of().items() if not name.startswith("cascades.0.")}
    network = DCCNN(STUDENT)
    load_tensors(network, donor, origin="donor", cascades=range(2, 6))
    assert torch.equal(network.state_dict()[SECOND], donor[SECOND])


def test_warm_start_from_another_network_is_refused() -> None:
    donor = tensors_of(Network(depth=3, cascades=5, features=6))
    with pytest.raises(InputError, match=r"cascades\.4\.convolutions\.2\.weight is \(1, 6, 3, 3\)"):
        load_tensors(DCCNN(STUDENT), donor, origin="donor", cascades=range(2, 6))
    with pytest.raises(InputError, match=r"cascades\.3\.convolutions\.0\.weight is missing"):
        load_tensors(
            DCCNN(STUDENT),
            tensors_of(Network(depth=3, cascades=3, features=4)),
            origin="donor",
            cascades=range(2, 6),
        )


def test_warm_start_that_names_no_cascade_is_refused() -> None:
    with pytest.raises(InputError, match="none is due"):
        load_tensors(DCCNN(STUDENT), tensors_of(), origin="donor", cascades=[])


@pytest.mark.parametrize("content", ["empty", "text", "cut", "header cut", "folder", "absent"])
def test_unreadable_file_is_one_clear_line(tmp_path: Path, content: str) -> None:
    path = tmp_path / "w.safetensors"
    save_weights(path, DCCNN(STUDENT))
    whole = path.read_bytes()
    path.unlink()
    if content == "folder":
        path.mkdir()
    elif content != "absent":
        path.write_bytes(
            {
                "empty": b"",
                "text": b"no weights" * 20,
                "cut": whole[:-40],
                "header cut": whole[:30],
            }[content]
        )
    with pytest.raises(InputError) as caught:
        load_network(path)
    assert str(caught.value).startswith(f"{path}: weights cannot be read (")
    assert "\n" not in str(caught.value)


def test_file_that_does_not_describe_its_network_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "w.safetensors"
    save_file(tensors_of(), path)
    with pytest.raises(InputError, match="does not say which network"):
        load_network(path)


@pytest.mark.parametrize("described", ["not JSON", "{}", '{"depth": 3, "unknown": 1}'])
def test_file_with_a_damaged_description_is_refused(tmp_path: Path, described: str) -> None:
    path = tmp_path / "w.safetensors"
    save_file(tensors_of(), path, {"network": described})
    with pytest.raises(InputError, match=r"w\.safetensors"):
        load_network(path)


def test_stored_tensors_are_named_by_cascade_and_convolution(tmp_path: Path) -> None:
    path = tmp_path / "w.safetensors"
    save_weights(path, DCCNN(Network(depth=2, cascades=2, features=3)))
    assert set(load_file(path)) == {
        f"cascades.{c}.convolutions.{d}.{kind}"
        for c in (0, 1)
        for d in (0, 1)
        for kind in ("weight", "bias")
    }


def test_the_models_name_is_kept_and_the_file_the_same_in_every_process(tmp_path: Path) -> None:
    """The library writes metadata in an order that differs from process to process."""
    network = DCCNN(Network(depth=2, cascades=1, features=3))
    save_weights(tmp_path / "w.safetensors", network, model="std_kd_ü")
    assert read_metadata(tmp_path / "w.safetensors") == {
        "model": "std_kd_ü",
        "network": json.dumps(network.network.model_dump()),
    }
    header = (tmp_path / "w.safetensors").read_bytes()[8:]
    assert header.startswith(b'{"__metadata__":{"model":')
    for name, value in load_network(tmp_path / "w.safetensors").state_dict().items():
        assert torch.equal(value, network.state_dict()[name])


def test_a_file_that_names_no_model_is_read(tmp_path: Path) -> None:
    path = written(tmp_path / "w.safetensors", tensors_of())
    assert "model" not in read_metadata(path)
    assert load_network(path).network == STUDENT


@pytest.mark.parametrize(
    "network",
    [
        Network(depth=3, cascades=5).model_copy(update={"cascades": 10**9}),
        Network(depth=3, cascades=5).model_copy(update={"features": 10**5}),
    ],
    ids=["cascades", "features"],
)
def test_a_description_of_a_huge_network_makes_none(network: Network, tmp_path: Path) -> None:
    path = written(tmp_path / "w.safetensors", tensors_of(), network)
    with pytest.raises(InputError, match="description of the network is damaged"):
        load_network(path)


def test_loading_draws_as_many_numbers_as_making_a_network(tmp_path: Path) -> None:
    """What is drawn afterwards does not depend on how the fit was looked at."""
    save_weights(tmp_path / "w.safetensors", DCCNN(STUDENT))
    torch.manual_seed(3)
    DCCNN(STUDENT)
    expected = torch.rand(1)
    torch.manual_seed(3)
    load_network(tmp_path / "w.safetensors")
    assert torch.equal(torch.rand(1), expected)
