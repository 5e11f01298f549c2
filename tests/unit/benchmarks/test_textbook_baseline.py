"""The benchmark's baseline computes what the engine computes: data, networks, features."""

from __future__ import annotations

import ast

import h5py
import numpy as np
import pytest
import torch
from textbook_case import (
    COLUMNS,
    NETWORKS,
    PROJECT,
    ROWS,
    SLICES,
    VOLUMES,
    Case,
    assert_close,
    random_network,
    textbook,
)

from pipeline_src.models.taps import Tap, tapped
from pipeline_src.training.objectives import (
    StudentFriendlyObjective,
)

pytest_plugins = ["textbook_fixtures"]


def test_it_takes_nothing_but_configuration_from_the_pipeline() -> None:
    modules = set()
    for path in (PROJECT / "benchmarks" / "textbook").glob("*.py"):
        nodes = list(ast.walk(ast.parse(path.read_text(encoding="utf-8"))))
        modules |= {str(node.module) for node in nodes if isinstance(node, ast.ImportFrom)}
        modules |= {a.name for node in nodes if isinstance(node, ast.Import) for a in node.names}
    own = {m for m in modules if m.startswith("benchmarks.textbook.")}
    taken = {m for m in modules - own if m.startswith(("pipeline_src", "benchmarks"))}
    assert {m.rpartition(".")[0] for m in taken} == {"pipeline_src.config"}


# Data.


def test_the_files_have_the_authors_layout(case: Case) -> None:
    paths = sorted(case.folder.iterdir())
    assert [path.name for path in paths] == ["1.h5", "2.h5"]
    for path, image in zip(paths, case.images, strict=True):
        with h5py.File(path, "r") as file:
            assert set(file) == {"volfs", "img_volus_4x", "kspace_volus_4x"}
            assert all(dataset.chunks is None for dataset in file.values())
            np.testing.assert_array_equal(file["volfs"][()], image)
            kspace = file["kspace_volus_4x"][()]
            zero_filled = file["img_volus_4x"][()]
        assert not kspace[~case.mask].any()
        spectrum = np.fft.fft2(image.astype(np.float64), axes=(0, 1), norm="ortho")
        np.testing.assert_allclose(kspace[case.mask], spectrum[case.mask], rtol=0, atol=1e-12)
        back = np.fft.ifft2(kspace, axes=(0, 1), norm="ortho").real
        np.testing.assert_allclose(zero_filled, back, rtol=0, atol=1e-12)


def test_samples_are_the_slices_of_the_pipeline(case: Case) -> None:
    samples = textbook.VolumeSlices(case.folder)
    assert len(samples) == len(case.slices) == VOLUMES * SLICES
    for number, sample in enumerate(samples[i] for i in range(len(samples))):
        expected = case.slices.batch(torch.tensor([number]))
        torch.testing.assert_close(sample.target, expected.target[0], rtol=0, atol=0)
        torch.testing.assert_close(sample.zero_filled, expected.zero_filled[0], rtol=0, atol=1e-6)
        assert sample.kspace.shape == (ROWS, COLUMNS)
        assert sample.kspace.dtype == torch.complex128


def test_the_loader_gives_every_slice_once_an_epoch_in_another_order(case: Case) -> None:
    torch.manual_seed(0)
    loader = textbook.slice_loader(case.folder)
    epochs = []
    for _ in range(2):
        batches = list(loader)
        assert [len(batch.target) for batch in batches] == [4, 2]
        assert batches[0].zero_filled.shape == (4, 1, ROWS, COLUMNS)
        assert batches[0].kspace.shape == (4, ROWS, COLUMNS)
        epochs.append(torch.cat([batch.target for batch in batches]))
    whole = case.slices.batch(torch.arange(VOLUMES * SLICES)).target
    orders = [
        [int((whole == image).flatten(1).all(dim=1).nonzero()) for image in epoch]
        for epoch in epochs
    ]
    assert sorted(orders[0]) == sorted(orders[1]) == list(range(VOLUMES * SLICES))
    assert orders[0] != orders[1]


# Networks.


def test_data_fidelity_is_that_of_the_pipeline(case: Case) -> None:
    batch, own = case.both(3)
    image = torch.randn(3, 1, ROWS, COLUMNS, generator=torch.Generator().manual_seed(0))
    found = textbook.DataFidelity(case.mask)(image, batch.kspace)
    assert found.dtype == torch.float32
    assert_close(found, case.fidelity(image, own.zero_filled), 1e-6)


@pytest.mark.parametrize("role", ["teacher", "student"])
def test_reconstruction_and_features_are_those_of_the_pipeline(case: Case, role: str) -> None:
    batch, own = case.both(3)
    network = random_network(getattr(NETWORKS, role), seed=1)
    shape = network.network
    plain = textbook.TextbookDCCNN(shape.depth, shape.cascades, shape.features, shape.padding)
    textbook.copy_weights(plain, network.state_dict())
    fidelity = textbook.DataFidelity(case.mask)
    taps = [Tap(place, k) for place in ("out", "mid") for k in range(1, shape.cascades + 1)]
    with torch.no_grad():
        image, features = plain.with_features(batch.zero_filled, batch.kspace, fidelity)
        with tapped(network, taps) as expected:
            assert_close(image, network(own.zero_filled, case.fidelity), 1e-5)
        assert torch.equal(plain(batch.zero_filled, batch.kspace, fidelity), image)
    assert len(features.out) == len(features.mid) == shape.cascades
    for tap in taps:
        found = getattr(features, tap.place)[tap.cascade - 1]
        assert found.shape[2:] == (ROWS + 10, COLUMNS + 10)
        assert_close(found, expected[tap], 1e-5)


def test_a_network_has_the_sizes_of_the_paper() -> None:
    counts = {
        depth: sum(p.numel() for p in textbook.TextbookDCCNN(depth).parameters())
        for depth in (5, 3)
    }
    assert counts == {5: 141_765, 3: 49_285}


def test_sft_branches_are_those_of_the_pipeline(case: Case) -> None:
    batch, own = case.both(2)
    objective, step = case.objective("sft"), case.step("sft")
    assert isinstance(objective, StudentFriendlyObjective)
    with torch.no_grad():
        teacher, branches = objective.sft(own.zero_filled, case.fidelity)
        image, found = step.network(batch.zero_filled, batch.kspace, step.fidelity)
    assert_close(image, teacher, 1e-5)
    assert len(found) == len(branches) == 4
    for one, expected in zip(found, branches, strict=True):
        assert_close(one, expected, 1e-5)
