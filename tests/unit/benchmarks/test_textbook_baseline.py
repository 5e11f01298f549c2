"""The benchmark's baseline computes what the engine computes: data, networks, losses, steps."""

from __future__ import annotations

import ast
import sys
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from pipeline_src.config.distillation import Method, StudentFriendly
from pipeline_src.config.networks import Network, Networks
from pipeline_src.data.preparation import PreparedData
from pipeline_src.data.sources.authors_hdf5 import read_authors_volume
from pipeline_src.data.store import read_store, write_store
from pipeline_src.distillation.base import build_loss
from pipeline_src.models.dccnn import DCCNN
from pipeline_src.models.sft import SFTNetwork
from pipeline_src.models.taps import Tap, tapped
from pipeline_src.sampling.data_fidelity import LineDataFidelity
from pipeline_src.sampling.masks import lines_mask
from pipeline_src.training.data import Batch, Slices
from pipeline_src.training.objectives import (
    DistillationObjective,
    Objective,
    ReconstructionObjective,
    StudentFriendlyObjective,
)
from pipeline_src.training.optimiser import Adam
from pipeline_src.training.step import EpochLosses, training_step
from pipeline_src.training.teacher import FrozenTeacher

METHODS = ("fitnets", "at", "cc", "fsp", "sp")
KINDS = (
    "teacher",
    "student",
    "sft",
    *(f"{method}_{stage}" for method in METHODS for stage in ("features", "reconstruction")),
)

VOLUMES, ROWS, COLUMNS, SLICES = 2, 22, 18, 3
NETWORKS = Networks(
    teacher=Network(depth=5, features=4, padding=5),
    student=Network(depth=3, features=3, padding=5),
)


PROJECT = Path(__file__).resolve().parents[3]
# `benchmarks` is no part of the installed package.
sys.path.append(str(PROJECT))
textbook = import_module("benchmarks.textbook")


def random_network(network: Network, seed: int) -> DCCNN:
    """Weights that let the image through all cascades, so that every gradient counts."""
    generator = torch.Generator().manual_seed(seed)
    made = DCCNN(network)
    with torch.no_grad():
        for name, parameter in made.named_parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator))
            parameter.mul_(0.1 if name.endswith("bias") else (2 / parameter[0].numel()) ** 0.5)
    return made


@dataclass(frozen=True)
class Case:
    """The same slices in both forms, and the pipeline's networks."""

    folder: Path
    images: NDArray[np.float32]
    mask: NDArray[np.bool_]
    fidelity: LineDataFidelity
    slices: Slices

    def both(self, count: int) -> tuple[Any, Batch]:
        """The first slices, for the baseline and for the pipeline."""
        samples = textbook.VolumeSlices(self.folder)
        batch = torch.utils.data.default_collate([samples[i] for i in range(count)])
        return batch, self.slices.batch(torch.arange(count))

    def objective(self, kind: str) -> Objective:
        """The pipeline's; the networks' weights are the same in every call."""
        teacher = random_network(NETWORKS.teacher, seed=1)
        student = random_network(NETWORKS.student, seed=2)
        method, _, stage = kind.partition("_")
        if kind == "sft":
            sft = SFTNetwork(teacher, student)
            return StudentFriendlyObjective(sft, self.fidelity, StudentFriendly())
        if stage != "features":
            network = teacher if kind == "teacher" else student
            return ReconstructionObjective(network, self.fidelity)
        loss = build_loss(method, Method(), NETWORKS)
        frozen = FrozenTeacher(teacher, self.fidelity, loss, cache_bytes=0, batch_size=4)
        return DistillationObjective(student, self.fidelity, frozen, loss, feature_weight=1.0)

    def step(self, kind: str) -> Any:
        """The baseline's, with the weights of `objective`."""
        return textbook.build(
            kind,
            self.mask,
            NETWORKS,
            teacher_state=random_network(NETWORKS.teacher, seed=1).state_dict(),
            student_state=random_network(NETWORKS.student, seed=2).state_dict(),
        )


@pytest.fixture(scope="module")
def case(tmp_path_factory: pytest.TempPathFactory) -> Case:
    folder = tmp_path_factory.mktemp("baseline")
    images = np.random.default_rng(3).random((VOLUMES, ROWS, COLUMNS, SLICES), dtype=np.float32)
    # Slices that differ in more than noise.
    images[:, 4:12, 3:9] += np.linspace(0.2, 1, SLICES, dtype=np.float32)
    images /= images.max(axis=(1, 2, 3), keepdims=True)
    lines = np.zeros(ROWS, dtype=np.bool_)
    lines[[0, 1, 2, 5, 17, 21]] = True
    mask = lines_mask(lines, COLUMNS)
    prepared = PreparedData()
    for path in textbook.write_volumes(folder / "volumes", images, mask):
        volume = read_authors_volume(path)
        for index in range(volume.shape[2]):
            prepared.images.append(volume[:, :, index])
            row = {"patient": path.stem, "part": "train", "slice": index, "volume": path.stem}
            prepared.slices.append({"frame": "", **row})
    write_store(folder / "store.h5", prepared, {})
    fidelity = LineDataFidelity(lines)
    slices = Slices(read_store(folder / "store.h5"), "train", fidelity, torch.device("cpu"))
    return Case(folder / "volumes", images, mask, fidelity, slices)


def gradients_by_convolution(network: nn.Module) -> dict[str, Tensor]:
    """Of weight and bias together, where there are any.

    That of a last bias alone is rounding: data fidelity replaces the mean of the image.
    """
    gradients: dict[str, list[Tensor]] = {}
    for name, parameter in network.named_parameters():
        if parameter.grad is not None:
            gradients.setdefault(name.rpartition(".")[0], []).append(parameter.grad.flatten())
    return {name: torch.cat(parts) for name, parts in gradients.items()}


def textbook_name(convolution: str) -> str:
    """`teacher.cascades.1.convolutions.2` as `teacher.blocks.1.layers.4`."""
    *role, _, cascade, _, number = convolution.split(".")
    return ".".join([*role, "blocks", cascade, "layers", str(2 * int(number))])


def assert_close(found: Tensor, expected: Tensor, relative: float) -> None:
    """To the largest value of ``expected``."""
    scale = float(expected.abs().max())
    assert scale > 0
    torch.testing.assert_close(found, expected, rtol=0, atol=relative * scale)


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


# Steps.


def test_every_kind_is_known_and_no_other() -> None:
    assert sorted(textbook.KINDS) == sorted(KINDS)
    with pytest.raises(ValueError, match="'at' is none of teacher, student"):
        textbook.build("at", np.ones((4, 4)))


@pytest.mark.parametrize("kind", KINDS)
def test_loss_and_gradients_are_those_of_the_pipeline(case: Case, kind: str) -> None:
    batch, own = case.both(3)
    objective, step = case.objective(kind), case.step(kind)
    expected, found = objective.loss(own), step.loss(batch)
    assert expected.item() > 0
    assert found.item() == pytest.approx(expected.item(), rel=1e-5)
    expected.backward()
    found.backward()
    gradients = gradients_by_convolution(step.trained)
    assert len(gradients) >= 3 * NETWORKS.student.depth
    wanted = gradients_by_convolution(objective.trained)
    assert set(gradients) == {textbook_name(name) for name in wanted}
    for name, gradient in wanted.items():
        assert_close(gradients[textbook_name(name)], gradient, 1e-4)


def test_congruence_of_one_slice_has_no_neighbours(case: Case) -> None:
    batch, own = case.both(1)
    assert case.step("cc_features").loss(batch).item() == 0
    assert case.objective("cc_features").loss(own).item() == 0


@pytest.mark.parametrize("kind", KINDS)
def test_a_step_moves_the_trained_weights_alone(case: Case, kind: str) -> None:
    batch, _ = case.both(3)
    step = case.step(kind)
    before = {name: p.detach().clone() for name, p in step.trained.named_parameters()}
    frozen = step.teacher.state_dict() if hasattr(step, "teacher") else {}
    teacher = {name: value.clone() for name, value in frozen.items()}
    losses = [step.run(batch)]
    for name, parameter in step.trained.named_parameters():
        assert torch.isfinite(parameter).all()
        moved = not torch.equal(parameter, before[name])
        if parameter.grad is None:
            assert not moved, name
        elif name.endswith("weight"):
            assert moved, name
            # Adam's first step is about as long as the rate; its epsilon shortens that of FSP,
            # whose gradients are as small.
            largest = (parameter.detach() - before[name]).abs().max().item()
            gradient = parameter.grad.abs().max().item()
            assert largest == pytest.approx(1e-3 * gradient / (gradient + 1e-8), rel=0.05)
    losses.append(step.run(batch))
    assert np.isfinite(losses).all()
    assert losses[0] != losses[1]
    assert step.total_loss == sum(losses)
    for name, value in teacher.items():
        assert torch.equal(frozen[name], value)
    assert bool(frozen) == kind.endswith(("_features", "_reconstruction"))


@pytest.mark.parametrize("kind", ["teacher", "sft", "at_features"])
def test_some_steps_of_training_are_those_of_the_engine(case: Case, kind: str) -> None:
    batch, _ = case.both(4)
    objective, step = case.objective(kind), case.step(kind)
    adam = Adam(dict(objective.trained.named_parameters()))
    adam.set_rate(1e-3)
    losses = EpochLosses(5, torch.device("cpu"))
    engine = training_step(objective, adam, case.slices, losses)
    for _ in range(5):
        engine(torch.arange(4))
    expected = losses.values.tolist()
    assert [step.run(batch) for _ in range(5)] == pytest.approx(expected, rel=1e-3)
    assert expected[-1] < expected[0]


def test_the_textbook_is_built_on_the_device_that_is_asked_for(tmp_path: Path) -> None:
    contenders = import_module("benchmarks.contenders")
    contenders.write_data(tmp_path, 48)
    work = contenders.Work("textbook", "at_reconstruction", tmp_path, 1, "meta")
    step = contenders.Textbook(work)._step
    weights = [*step.trained.parameters(), *step.teacher.parameters(), step.fidelity.mask]
    assert {tensor.device.type for tensor in weights} == {"meta"}
