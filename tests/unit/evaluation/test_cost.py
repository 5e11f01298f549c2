"""Cost of networks: counts against the running network, times on a clock of our own."""

from __future__ import annotations

from collections.abc import Callable
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn
from training_helpers import SIZE, Files

from pipeline_src.config.networks import Network
from pipeline_src.errors import InputError
from pipeline_src.evaluation import cost
from pipeline_src.evaluation.cost import exact_cost, write_cost
from pipeline_src.evaluation.timing import time_alternating
from pipeline_src.models.dccnn import DCCNN
from pipeline_src.models.multiply_adds import counts, fidelity_multiply_adds
from pipeline_src.models.weights import save_weights
from pipeline_src.sampling.data_fidelity import LineDataFidelity, data_fidelity
from pipeline_src.sampling.masks import Mask, drawn_mask, lines_mask, write_mask

pytest_plugins = ["shared_fixtures"]

NETWORKS = {"teacher": Network(depth=5), "student": Network(depth=3)}


def saved(folder: Path, networks: dict[str, Network]) -> dict[str, Path]:
    torch.manual_seed(0)
    paths = {name: folder / f"{name}.safetensors" for name in networks}
    for name, network in networks.items():
        save_weights(paths[name], DCCNN(network))
    return paths


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """D5C5 and D3C5 of 32 features, as in the paper."""
    return saved(tmp_path_factory.mktemp("weights"), NETWORKS)


@pytest.fixture(scope="module")
def table(
    files: Files, weights: dict[str, Path], tmp_path_factory: pytest.TempPathFactory
) -> pd.DataFrame:
    output = tmp_path_factory.mktemp("cost") / "tables" / "cost.csv"
    write_cost(weights, files.store, files.mask, output, threads=2, repeats=3, device="cpu")
    assert [path.name for path in output.parent.iterdir()] == ["cost.csv"]
    return pd.read_csv(output).set_index("network")


@pytest.fixture
def without_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leaves out the processes that measure memory."""
    monkeypatch.setattr(cost, "_peak_mib", lambda *_: 1.0)


# What is exact.


def test_columns_and_rows(table: pd.DataFrame) -> None:
    assert ",".join(table.reset_index()) == (
        "network,architecture,rows,columns,parameters,parameters_ratio,"
        "convolution_multiply_adds_a_slice,convolution_multiply_adds_ratio,"
        "fidelity_multiply_adds_a_slice,weights_bytes,weights_bytes_ratio,"
        "measured_on_processor,measured_on_device,repeats,"
        "milliseconds_a_slice_one_thread_median,milliseconds_a_slice_one_thread_min,"
        "milliseconds_a_slice_one_thread_max,milliseconds_one_thread_ratio,threads,"
        "milliseconds_a_slice_median,milliseconds_a_slice_min,milliseconds_a_slice_max,"
        "milliseconds_ratio,peak_extra_memory_mib,peak_extra_memory_ratio"
    )
    assert list(table.index) == ["teacher", "student"]
    assert list(table["architecture"]) == ["D5C5", "D3C5"]
    assert (table["rows"] == SIZE).all()
    assert (table["columns"] == SIZE).all()


def test_parameters_are_the_papers(table: pd.DataFrame) -> None:
    assert table["parameters"].to_dict() == {"teacher": 141_765, "student": 49_285}
    assert table["parameters_ratio"].to_dict() == {"teacher": 1.0, "student": 49_285 / 141_765}


def test_multiply_adds_written_are_those_counted(table: pd.DataFrame) -> None:
    # Weights without biases: 9 (32 + 32 * 32 * 3 + 32) and 9 (32 + 32 * 32 + 32) a cascade.
    pixels = SIZE * SIZE
    expected = {"teacher": 5 * 28_224 * pixels, "student": 5 * 9_792 * pixels}
    assert table["convolution_multiply_adds_a_slice"].to_dict() == expected
    assert (table["fidelity_multiply_adds_a_slice"] == 5 * SIZE**3).all()
    ratio = table["convolution_multiply_adds_ratio"]
    assert ratio.to_dict() == {"teacher": 1.0, "student": 9_792 / 28_224}


def test_bytes_are_the_files_sizes(table: pd.DataFrame, weights: dict[str, Path]) -> None:
    sizes = {name: len(path.read_bytes()) for name, path in weights.items()}
    assert table["weights_bytes"].to_dict() == sizes
    # Single precision, and a header.
    assert 4 * 49_285 < sizes["student"] < 4 * 49_285 + 8192


def counted(network: Network, mask: Mask) -> dict[str, int]:
    """Multiply-adds of one reconstruction, as the layers that ran have them."""
    counts = {"convolution": 0, "fidelity": 0}

    def convolved(module: nn.Module, _: Any, out: torch.Tensor) -> None:
        assert isinstance(module, nn.Conv2d)
        pixels = out.shape[0] * out.shape[2] * out.shape[3]
        counts["convolution"] += pixels * module.weight.numel()

    def multiplied(module: nn.Module, inputs: Any, _: Any) -> None:
        assert isinstance(module, LineDataFidelity)
        counts["fidelity"] += module.complement.numel() * inputs[0].shape[-1]

    model, fidelity = DCCNN(network), data_fidelity(mask)
    for module in model.modules():
        if isinstance(module, nn.Conv2d):
            module.register_forward_hook(convolved)
    fidelity.register_forward_hook(multiplied)
    with torch.no_grad():
        model(torch.rand(1, 1, *mask.samples.shape), fidelity)
    return counts


@pytest.mark.parametrize("shape", [(16, 16), (24, 10)])
@pytest.mark.parametrize(
    "network",
    [
        Network(depth=5, cascades=5, features=32),
        Network(depth=3, cascades=2, features=7),
        Network(depth=2, cascades=1, features=4),
        Network(depth=4, cascades=3, features=5, padding=3),
    ],
    ids=lambda network: f"{network.name}x{network.features}+{network.padding}",
)
def test_counts_are_those_of_the_layers_that_run(network: Network, shape: tuple[int, int]) -> None:
    mask = drawn_mask(shape, 4, 0, 2)
    expected = counted(network, mask)
    assert counts(network, *shape).multiply_adds == expected["convolution"]
    assert fidelity_multiply_adds(network, *shape) == expected["fidelity"]
    assert min(expected.values()) > 0


def test_a_mask_of_points_has_no_matrix_product() -> None:
    samples = np.eye(16, dtype=np.bool_)
    mask = Mask(samples, {})
    cost = exact_cost(Network(depth=3), mask)
    assert cost["fidelity_multiply_adds_a_slice"] is None
    assert cost["convolution_multiply_adds_a_slice"] > 0


# What is measured.


def test_measured_numbers_name_their_machine_and_are_in_order(table: pd.DataFrame) -> None:
    assert table["measured_on_processor"].str.len().min() > 0
    assert (table["measured_on_device"] == "cpu").all()
    assert (table["threads"] == 2).all()
    assert (table["repeats"] == 3).all()
    for kind in ("_one_thread", ""):
        low, middle, high = (
            table[f"milliseconds_a_slice{kind}_{statistic}"]
            for statistic in ("min", "median", "max")
        )
        assert (low > 0).all()
        assert (low <= middle).all()
        assert (middle <= high).all()
        assert table[f"milliseconds{kind}_ratio"]["teacher"] == 1.0


class Clock:
    """Time that passes only when a call says so, in seconds."""

    def __init__(self) -> None:
        self.now = 100.0
        self.called: list[str] = []

    def __call__(self) -> float:
        return self.now

    def call(self, name: str, *seconds: float) -> Callable[[], None]:
        """A call that takes the given times in turn, the last one from then on."""
        turn = count()

        def run() -> None:
            self.called.append(name)
            self.now += seconds[min(next(turn), len(seconds) - 1)]

        return run


def test_networks_take_turns_after_the_warm_up() -> None:
    clock = Clock()
    calls = {"teacher": clock.call("teacher", 9, 9, 0.5), "student": clock.call("student", 7, 7, 1)}
    times = time_alternating(calls, repeats=3, warm_up=2, clock=clock)
    assert times == {"teacher": [500.0] * 3, "student": [1000.0] * 3}
    timed = ["teacher", "student", "student", "teacher", "teacher", "student"]
    assert clock.called == ["teacher", "student"] * 2 + timed


def test_median_range_and_ratio_are_of_the_repeats(
    monkeypatch: pytest.MonkeyPatch,
    without_memory: None,
    files: Files,
    weights: dict[str, Path],
    tmp_path: Path,
) -> None:
    given = {1: {"teacher": [10.0, 40, 20], "student": [5.0, 8, 30]}}
    given[4] = {"teacher": [4.0, 4, 4], "student": [1.0, 2, 9]}
    threads_seen = []

    def timed(calls: dict[str, Callable[[], object]], repeats: int) -> dict[str, list[float]]:
        assert (list(calls), repeats) == (["teacher", "student"], 3)
        threads_seen.append(torch.get_num_threads())
        return given[torch.get_num_threads()]

    monkeypatch.setattr(cost, "time_alternating", timed)
    before = torch.get_num_threads()
    output = tmp_path / "cost.csv"
    write_cost(weights, files.store, files.mask, output, threads=4, repeats=3, device="cpu")
    assert threads_seen == [1, 4]
    assert torch.get_num_threads() == before
    student = pd.read_csv(output).set_index("network").loc["student"]
    statistics = [student[f"milliseconds_a_slice_one_thread_{s}"] for s in ("median", "min", "max")]
    assert statistics == [8, 5, 30]
    # The middle of 5/10, 8/40 and 30/20, not the ratio of the medians.
    assert student["milliseconds_one_thread_ratio"] == 0.5
    assert student["milliseconds_a_slice_median"] == 2
    assert student["milliseconds_ratio"] == 0.5
    assert student["threads"] == 4


def test_what_is_timed_is_the_reconstruction(files: Files, weights: dict[str, Path]) -> None:
    mask = drawn_mask((SIZE, SIZE), 4, 0, 2)
    image = np.random.default_rng(0).random((SIZE, SIZE), dtype=np.float32)
    network = DCCNN(NETWORKS["student"])
    [call] = cost._calls({"student": network}, image, mask, torch.device("cpu")).values()
    fidelity = data_fidelity(mask)
    with torch.no_grad():
        expected = network(fidelity.zero_filled(torch.from_numpy(image)[None, None]), fidelity)
    assert torch.equal(call(), expected)
    assert expected.shape == (1, 1, SIZE, SIZE)


def test_memory_is_that_of_the_activations(tmp_path: Path) -> None:
    side, features = 128, 48
    path = saved(tmp_path, {"wide": Network(depth=3, cascades=2, features=features)})["wide"]
    mask = Mask(lines_mask(np.arange(side) % 4 == 0, side), {})
    image = np.ones((side, side), np.float32)
    peak = cost._peak_mib(path, image, mask, torch.device("cpu"))
    if peak is None:
        pytest.skip("this system does not tell")
    # A convolution's input and output, of four bytes per number, lie side by side.
    expected = 2 * features * side * side * 4 / 2**20
    assert 0.9 * expected < peak < 4 * expected


def test_memory_written_is_that_measured(table: pd.DataFrame) -> None:
    peaks = table["peak_extra_memory_mib"]
    if peaks.isna().any():
        pytest.skip("this system does not tell")
    assert (peaks >= 0).all()
    assert (peaks < 64).all()


# What is refused.


def refused(tmp_path: Path, *arguments: Any, **options: Any) -> str:
    output = tmp_path / "out" / "cost.csv"
    with pytest.raises(InputError) as caught:
        write_cost(*arguments, output, **{"device": "cpu", **options})
    assert not output.parent.exists()
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"threads": 0}, "threads is 0"),
        ({"repeats": 0}, "repeats is 0"),
        ({"threads": -2}, "threads is -2"),
    ],
)
def test_impossible_numbers(
    options: dict[str, int], words: str, files: Files, weights: dict[str, Path], tmp_path: Path
) -> None:
    assert words in refused(tmp_path, weights, files.store, files.mask, **options)


def test_no_network(files: Files, tmp_path: Path) -> None:
    assert "networks is 0" in refused(tmp_path, {}, files.store, files.mask)


def test_missing_weights(files: Files, weights: dict[str, Path], tmp_path: Path) -> None:
    gone = {**weights, "student": tmp_path / "gone.safetensors"}
    assert "gone.safetensors" in refused(tmp_path, gone, files.store, files.mask)


def test_missing_store_and_mask(files: Files, weights: dict[str, Path], tmp_path: Path) -> None:
    gone = tmp_path / "gone"
    assert f"{gone}: does not exist" in refused(tmp_path, weights, gone, files.mask)
    assert f"{gone}: does not exist" in refused(tmp_path, weights, files.store, gone)


def test_mask_of_another_size(files: Files, weights: dict[str, Path], tmp_path: Path) -> None:
    other = tmp_path / "mask.npz"
    write_mask(other, drawn_mask((SIZE, SIZE + 2), 4, 0, 2))
    assert f"{other}: mask of 16x18" in refused(tmp_path, weights, files.store, other)
