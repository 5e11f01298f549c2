"""Replaying a training step as a CUDA graph: the logic with a stand-in for CUDA, the numbers on a
GPU where there is one."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import torch
from torch import Tensor
from training_helpers import Files, study_with

from pipeline_src.acceleration.graphs import Replayed
from pipeline_src.data.store import read_store
from pipeline_src.errors import InputError
from pipeline_src.sampling.data_fidelity import data_fidelity
from pipeline_src.sampling.masks import read_mask
from pipeline_src.training.builder import fresh_network
from pipeline_src.training.data import Slices
from pipeline_src.training.device import set_up_device
from pipeline_src.training.objectives import ReconstructionObjective
from pipeline_src.training.optimiser import Adam
from pipeline_src.training.step import EpochLosses, plain_step, training_step

pytest_plugins = ["shared_fixtures"]


class Stream:
    """Does nothing, and is told from others."""

    def wait_stream(self, _other: Stream) -> None:
        pass


class Cuda:
    """Notes which indices are trained on; while a graph is captured nothing is trained.

    Attributes:
        refuse: what the work raises while it is captured.
        refuse_eagerly: what it raises else.
        end_fails: whether the end of a capture fails too after that, as CUDA's does.
        recording: pools that the allocator takes memory from.
    """

    def __init__(self) -> None:
        self.trained: list[list[int]] = []
        self.captured: Tensor | None = None
        self.capturing = False
        self.refuse: BaseException | None = None
        self.refuse_eagerly: BaseException | None = None
        self.end_fails = True
        self.current = self.default = Stream()
        self.streams: list[Stream] = []
        self.recording: list[int] = []
        self.released: list[int] = []

    def step(self, indices: Tensor) -> None:
        if self.capturing:
            if self.refuse:
                raise self.refuse
            self.captured = indices
        else:
            if self.refuse_eagerly:
                raise self.refuse_eagerly
            self.trained.append(indices.tolist())

    def stream(self) -> Stream:
        self.streams.append(Stream())
        return self.streams[-1]

    @contextmanager
    def graph(self, graph: Any, *, pool: int, stream: Stream) -> Iterator[None]:
        before, self.current = self.current, stream
        self.capturing = True
        self.recording.append(pool)
        try:
            yield
            graph.place = self.captured
        except BaseException:
            if self.end_fails:
                raise RuntimeError("operation failed due to a previous error") from None
            self.recording.remove(pool)
            self.current = before
            raise
        finally:
            self.capturing = False
        self.recording.remove(pool)
        self.current = before

    @contextmanager
    def on(self, stream: Stream) -> Iterator[None]:
        before, self.current = self.current, stream
        yield
        self.current = before

    def set_stream(self, stream: Stream) -> None:
        self.current = stream

    def end_pool(self, _device: int, pool: int) -> None:
        if pool not in self.recording:
            raise RuntimeError("not currently recording to this pool")
        self.recording.remove(pool)


@pytest.fixture
def cuda(monkeypatch: pytest.MonkeyPatch) -> Cuda:
    made = Cuda()

    class Graph:
        def __init__(self) -> None:
            self.place: Tensor | None = None

        def replay(self) -> None:
            assert self.place is not None
            made.trained.append(self.place.tolist())

    pools = iter(range(100))
    stand_ins: dict[str, Any] = {
        "CUDAGraph": Graph,
        "graph": made.graph,
        "graph_pool_handle": lambda: next(pools),
        "Stream": made.stream,
        "current_stream": lambda: made.current,
        "current_device": lambda: 0,
        "set_stream": made.set_stream,
        "stream": made.on,
    }
    for name, stand_in in stand_ins.items():
        monkeypatch.setattr(torch.cuda, name, stand_in)
    monkeypatch.setattr(torch._C, "_cuda_endAllocateToPool", made.end_pool)
    monkeypatch.setattr(torch._C, "_cuda_releasePool", lambda _d, p: made.released.append(p))
    return made


BATCHES = [[3, 1, 2], [0, 4, 5], [6, 7, 8], [9, 10, 11], [12, 13], [2, 3, 4], [5, 6], [7, 1, 0]]


def train(step: Replayed) -> None:
    for batch in BATCHES:
        step(torch.tensor(batch))


def test_every_batch_is_trained_on_once_and_in_order(cuda: Cuda) -> None:
    step = Replayed(cuda.step, "training")
    train(step)
    assert cuda.trained == BATCHES
    # The fourth of three was captured; two batches of two were too few to capture.
    assert list(step.graphs) == [3]
    assert len(cuda.streams) == 1


@pytest.mark.parametrize("end_fails", [True, False])
def test_a_failed_capture_tells_its_cause_once_and_leaves_no_trace(
    cuda: Cuda, capsys: pytest.CaptureFixture[str], end_fails: bool
) -> None:
    cuda.refuse = RuntimeError("operation not permitted when stream is capturing\ndetails")
    cuda.end_fails = end_fails
    step = Replayed(cuda.step, "training")
    train(step)
    assert cuda.trained == BATCHES
    assert capsys.readouterr().err.splitlines() == [
        "training without CUDA graphs: operation not permitted when stream is capturing"
    ]
    assert cuda.current is cuda.default
    assert cuda.recording == []
    assert cuda.released == ([0] if end_fails else [])
    # The next stage's step is captured.
    cuda.refuse = None
    following = Replayed(cuda.step, "training")
    train(following)
    assert list(following.graphs) == [3]


def test_a_capture_without_memory_is_told_as_that(
    cuda: Cuda, capsys: pytest.CaptureFixture[str]
) -> None:
    cuda.refuse = torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 9 GiB.\nmore")
    train(Replayed(cuda.step, "training"))
    assert cuda.trained == BATCHES
    assert capsys.readouterr().err == (
        "training without CUDA graphs: the GPU's memory does not suffice for one (CUDA out of "
        "memory. Tried to allocate 9 GiB.)\n"
    )


def test_a_batch_without_memory_is_wrong_input(cuda: Cuda) -> None:
    cuda.refuse_eagerly = torch.OutOfMemoryError("CUDA out of memory. Tried 9 GiB.\nmore")
    with pytest.raises(InputError, match=r"for a batch of 3 \(CUDA out of memory.*batch_size"):
        train(Replayed(cuda.step, "training"))


def test_what_is_no_error_of_the_capture_is_passed_on(cuda: Cuda) -> None:
    cuda.refuse, cuda.end_fails = ZeroDivisionError("in a loss of one's own"), False
    with pytest.raises(ZeroDivisionError):
        train(Replayed(cuda.step, "training"))
    assert cuda.current is cuda.default


def test_losses_are_kept_in_order_and_start_anew() -> None:
    losses = EpochLosses(2, torch.device("cpu"))
    for epoch in range(2):
        losses.clear()
        for batch in range(2):
            losses.latest.fill_(10 * epoch + batch)
            losses.keep()
        assert losses.values.tolist() == [10 * epoch, 10 * epoch + 1]


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device here")
def test_on_a_gpu_graphs_give_the_same_weights_as_plain_steps(files: Files) -> None:
    study = study_with(training={"device": "cuda"})
    device = set_up_device(study.training)
    weights = []
    for make in (training_step, plain_step):
        network = fresh_network(study.networks.teacher, 0, "teacher").to(device)
        fidelity = data_fidelity(read_mask(files.mask)).to(device)
        slices = Slices(read_store(files.store), "train", fidelity, device)
        adam = Adam(dict(network.named_parameters()))
        adam.set_rate(1e-3)
        step = make(
            ReconstructionObjective(network, fidelity), adam, slices, EpochLosses(12, device)
        )
        for number in range(12):
            step(torch.tensor([number % 6, (number + 1) % 6], device=device))
        weights.append({name: t.cpu() for name, t in network.state_dict().items()})
    for name, tensor in weights[0].items():
        assert torch.equal(tensor, weights[1][name]), name
