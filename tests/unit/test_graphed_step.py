"""Replaying a training step as a CUDA graph: the logic with a stand-in for CUDA, the numbers on a
GPU where there is one."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor
from training_helpers import Files, study_with

from pipeline_src.data.store import read_store
from pipeline_src.sampling.data_fidelity import data_fidelity
from pipeline_src.sampling.masks import read_mask
from pipeline_src.training.builder import fresh_network
from pipeline_src.training.data import Slices
from pipeline_src.training.device import set_up_device
from pipeline_src.training.objectives import Reconstruction
from pipeline_src.training.optimiser import Adam
from pipeline_src.training.step import EpochLosses, GraphedStep, training_step

pytest_plugins = ["shared_fixtures"]


class Recorder:
    """Notes which indices are trained on; while a graph is captured nothing is trained."""

    def __init__(self) -> None:
        self.trained: list[list[int]] = []
        self.captured: Tensor | None = None
        self.capturing = False
        self.refuse = False

    def step(self, indices: Tensor) -> None:
        if self.capturing:
            if self.refuse:
                raise RuntimeError("operation not permitted when stream is capturing\ndetails")
            self.captured = indices
        else:
            self.trained.append(indices.tolist())


@pytest.fixture
def recorder(monkeypatch: pytest.MonkeyPatch) -> Recorder:
    made = Recorder()

    class Graph:
        def __init__(self) -> None:
            self.place: Tensor | None = None

        def replay(self) -> None:
            assert self.place is not None
            made.trained.append(self.place.tolist())

    @contextmanager
    def capture(graph: Graph) -> Iterator[None]:
        made.capturing = True
        try:
            yield
            graph.place = made.captured
        finally:
            made.capturing = False

    stream = SimpleNamespace(wait_stream=lambda _other: None)
    stand_ins: dict[str, Any] = {
        "CUDAGraph": Graph,
        "graph": capture,
        "Stream": lambda: stream,
        "current_stream": lambda: stream,
        "stream": lambda _stream: nullcontext(),
    }
    for name, stand_in in stand_ins.items():
        monkeypatch.setattr(torch.cuda, name, stand_in)
    return made


BATCHES = [[3, 1, 2], [0, 4, 5], [6, 7, 8], [9, 10, 11], [12, 13], [2, 3, 4], [5, 6], [7, 1, 0]]


def test_every_batch_is_trained_on_once_and_in_order(recorder: Recorder) -> None:
    step = GraphedStep(recorder.step)
    for batch in BATCHES:
        step(torch.tensor(batch))
    assert recorder.trained == BATCHES
    # The fourth of three was captured; two batches of two were too few to capture.
    assert list(step._graphs) == [3]


def test_a_step_that_cannot_be_captured_runs_on_and_says_so_once(
    recorder: Recorder, capsys: pytest.CaptureFixture[str]
) -> None:
    recorder.refuse = True
    step = GraphedStep(recorder.step)
    for batch in BATCHES:
        step(torch.tensor(batch))
    assert recorder.trained == BATCHES
    said = capsys.readouterr().err
    assert said.splitlines() == [
        "training without CUDA graphs: operation not permitted when stream is capturing"
    ]


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device here")
def test_on_a_gpu_graphs_give_the_same_weights_as_plain_steps(files: Files) -> None:
    study = study_with(training={"device": "cuda"})
    device = set_up_device(study.training)
    weights = []
    for graphed in (True, False):
        network = fresh_network(study.networks.teacher, 0, "teacher").to(device)
        fidelity = data_fidelity(read_mask(files.mask)).to(device)
        slices = Slices(read_store(files.store), "train", fidelity, device)
        adam = Adam(dict(network.named_parameters()))
        adam.set_rate(1e-3)
        losses = EpochLosses(12, device)
        step = training_step(Reconstruction(network, fidelity), adam, slices, losses)
        assert isinstance(step, GraphedStep)
        for number in range(12):
            batch = torch.tensor([number % 6, (number + 1) % 6], device=device)
            (step if graphed else step._step)(batch)
        weights.append({name: t.cpu() for name, t in network.state_dict().items()})
    for name, tensor in weights[0].items():
        assert torch.equal(tensor, weights[1][name]), name
