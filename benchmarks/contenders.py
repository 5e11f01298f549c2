"""The two ways of training that are timed against each other, each in a process of its own.

Each process serves commands until it is closed: the parent lets them work in turns, so that both
see the same state of a shared machine. They are two processes because the settings of memory
and threads that belong to the engine hold for a whole process.
"""

from __future__ import annotations

import resource
import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, replace
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import FlopCounterMode

from pipeline_src.acceleration.choice import described, why_not_compiled
from pipeline_src.acceleration.slicewise import slices_at_once
from pipeline_src.config import Study, check_study
from pipeline_src.data.preparation import PreparedData
from pipeline_src.data.store import read_store, write_store
from pipeline_src.models.convolution import library_gradients
from pipeline_src.models.weights import save_weights
from pipeline_src.planning.plans import training_plan
from pipeline_src.sampling.data_fidelity import data_fidelity
from pipeline_src.sampling.masks import drawn_mask, read_mask, write_mask
from pipeline_src.training.builder import Builder, Inputs, fresh_network
from pipeline_src.training.data import Slices
from pipeline_src.training.device import set_up_device
from pipeline_src.training.optimiser import Adam
from pipeline_src.training.seeding import batch_order
from pipeline_src.training.step import EpochLosses, training_step

METHODS = ("fitnets", "at", "cc", "fsp", "sp")
#: A training step of each kind; `{method}_features` is the first stage of a distillation.
KINDS = ("teacher", "student", "sft", *(f"{m}_features" for m in METHODS), "at_reconstruction")
BATCH = 4
VOLUMES = 2


def slices_a_volume(size: int) -> int:
    """About those of MRBrainS at 240 x 240 and of ACDC at other sizes."""
    return 48 if size == 240 else 10


@dataclass(frozen=True)
class Operations:
    """What a step computes where every convolution is the library's.

    Attributes:
        total: floating-point operations of its convolutions and matrix products.
        features: channels between the convolutions of a cascade.
        forward: slices that go through convolutions between features.
        backward: the same for their gradients.
    """

    total: int
    features: int
    forward: int
    backward: int


@dataclass(frozen=True)
class Work:
    """What a process is to measure.

    Attributes:
        contender: `textbook`, `fp32`, `tf32` or `bf16`.
        folder: where `write_data` has put the slices.
        convolutions: the setting of training, for the engine.
        operations: of a step, for the engine.
    """

    contender: str
    kind: str
    folder: Path
    threads: int
    device: str
    convolutions: str = "auto"
    operations: Operations | None = None


def write_data(folder: Path, size: int) -> None:
    """The same noise volumes for both: a store and a mask for the engine, the authors' HDF5 layout
    for the textbook. Speed does not depend on what the images show."""
    from benchmarks.textbook import write_volumes

    rng = np.random.default_rng(0)
    slices = slices_a_volume(size)
    images = rng.random((VOLUMES, size, size, slices), dtype=np.float32)
    mask = drawn_mask((size, size), 4, 0, 10)
    write_mask(folder / "mask.npz", mask)
    write_volumes(folder / "volumes", images, mask.samples)
    of_volumes = [image[:, :, number] for image in images for number in range(slices)]
    prepared = PreparedData(images=of_volumes, slices=index_rows(len(of_volumes), slices))
    write_store(folder / "volumes.h5", prepared, {"dataset": "noise"})
    save_weights(
        folder / "teacher.safetensors", fresh_network(study(size).networks.teacher, 0, "teacher")
    )


def index_rows(slices: int, of_one: int) -> list[dict[str, Any]]:
    """Rows of a store's index for slices for training, in volumes of ``of_one``; the first slice is
    a volume for validation, since a store without one is not read."""
    rows = []
    for number in range(slices):
        volume = 1 + number // of_one if number else 0
        part = "train" if number else "validation"
        whose = {"patient": str(volume), "frame": "", "part": part}
        rows.append({**whose, "slice": number, "volume": volume})
    return rows


def study(size: int, **training: Any) -> Study:
    """The paper's networks, methods and batch size."""
    source = {"kind": "phantom", "anatomy": "brain", "patients": 3, "slices": 1, "matrix": size}
    return check_study(
        {
            "study": "benchmark",
            "accelerations": [4],
            "datasets": {
                "noise": {
                    "source": source,
                    "preparation": {"matrix": [size, size]},
                    "split": {"train": 1, "validation": 1, "test": 1},
                }
            },
            "training": {"batch_size": BATCH, **training},
        }
    )


class Contender(ABC):
    """Does training steps on demand.

    Attributes:
        once: seconds that a distillation takes before its first step.
        convolved_by: what its convolutions are computed by.
    """

    once: float
    convolved_by: str

    @abstractmethod
    def steps(self, count: int) -> None:
        """Train on that many batches, loading included, and wait until they are done."""


class Engine(Contender):
    """The pipeline's own step."""

    def __init__(self, work: Work) -> None:
        store, mask = read_store(work.folder / "volumes.h5"), read_mask(work.folder / "mask.npz")
        self._size = store.images.shape[1:]
        made = study(
            self._size[0],
            precision=work.contender,
            threads=work.threads,
            device=work.device,
            convolutions=work.convolutions,
        )
        self._device = set_up_device(made.training)
        model, stage = _model_and_stage(work.kind)
        plan = training_plan(made, model, 0)
        fidelity = data_fidelity(mask).to(self._device)
        self._slices = Slices(store, "train", fidelity, self._device)
        teacher = work.folder / "teacher.safetensors" if plan.distillation else None
        inputs = Inputs(work.folder / "volumes.h5", work.folder / "mask.npz", teacher)
        library = why_not_compiled(plan, self._device)
        self.convolved_by = described(plan, library, self._device)
        builder = Builder(plan, inputs, fidelity, self._device, compiled=not library)
        started = time.perf_counter()
        objective = builder.objective(stage, [self._slices])
        #: Seconds that the teacher took to look at every slice, once in a training.
        self.once = time.perf_counter() - started
        adam = Adam(dict(objective.trained.named_parameters()))
        adam.set_rate(1e-3)
        self._losses = EpochLosses(len(self._slices), self._device)
        self._step = training_step(objective, adam, self._slices, self._losses)
        self._epoch = 0
        self._operations = work.operations
        self._dtype = torch.bfloat16 if work.contender == "bf16" else torch.float32

    def steps(self, count: int) -> None:
        """In the seeded order of the pipeline."""
        done = 0
        while done < count:
            self._epoch += 1
            self._losses.clear()
            order = batch_order(0, 0, self._epoch, len(self._slices)).to(self._device)
            batches = [b for b in torch.split(order, BATCH) if len(b) == BATCH][: count - done]
            for indices in batches:
                self._step(indices)
            done += len(batches)
        # The one number an epoch that the engine waits for.
        float(self._losses.values.sum())

    def convolutions(self, count: int) -> None:
        """As many of the library's convolutions as that many steps have, and nothing else."""
        assert self._operations is not None
        rows, columns = self._size
        features = self._operations.features
        weight = torch.rand(features, features, 3, 3, device=self._device).to(self._dtype)
        images = torch.rand(BATCH, features, rows, columns, device=self._device).to(self._dtype)
        images = images.contiguous(memory_format=torch.channels_last)
        if self._device.type == "cpu":
            images = images[: slices_at_once(images, [weight])]
        for _ in range(count * self._operations.forward // len(images)):
            out = F.conv2d(images, weight, padding=1)
        for _ in range(count * self._operations.backward // len(images)):
            library_gradients(out, images, weight, of_image=True, of_weight=True)
        if self._device.type == "cuda":
            torch.cuda.synchronize()


def count_operations(work: Work) -> Operations:
    """Those of a step."""
    engine = Engine(replace(work, convolutions="library"))
    with FlopCounterMode(display=False) as flops, ConvolutionCount() as count:
        engine.steps(1)
    return Operations(flops.get_total_flops(), count.channels, count.forward, count.backward)


class ConvolutionCount(TorchDispatchMode):
    """Counts the slices that go through the library's convolutions between features, and back."""

    def __init__(self) -> None:
        super().__init__()
        self.channels = self.forward = self.backward = 0

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        if func is torch.ops.aten.convolution.default and self._counts(args[1]):
            self.forward += len(args[0])
        if func is torch.ops.aten.convolution_backward.default and self._counts(args[2]):
            self.backward += len(args[0])
        return func(*args, **(kwargs or {}))

    def _counts(self, weight: Tensor) -> bool:
        if weight.shape[0] == weight.shape[1] > 1:
            self.channels = len(weight)
            return True
        return False


class Textbook(Contender):
    """`benchmarks.textbook`."""

    once, convolved_by = 0.0, "torch's"

    def __init__(self, work: Work) -> None:
        from benchmarks.textbook import build, slice_loader

        torch.set_num_threads(work.threads)
        mask: NDArray[Any] = read_mask(work.folder / "mask.npz").samples
        self._loader = slice_loader(work.folder / "volumes", BATCH)
        self._step = build(work.kind, mask, device=work.device)

    def steps(self, count: int) -> None:
        """In the loader's order."""
        done = 0
        while done < count:
            for batch in self._loader:
                self._step.run(batch)
                done += 1
                if done == count:
                    return


def _model_and_stage(kind: str) -> tuple[str, str]:
    """Model and stage of a kind of step."""
    if kind == "sft":
        return "sft_teacher", "student_friendly"
    if kind in ("teacher", "student"):
        return kind, "reconstruction"
    method, _, stage = kind.partition("_")
    return f"std_kd_{method}", stage


def serve(pipe: Connection, work: Work) -> None:
    """Answer `steps` or `convolutions` and a number of steps by the seconds they took; None by a
    summary, and end."""
    contender = Textbook(work) if work.contender == "textbook" else Engine(work)
    pipe.send("ready")
    while (asked := pipe.recv()) is not None:
        what, count = asked
        started = time.perf_counter()
        getattr(contender, what)(count)
        pipe.send(time.perf_counter() - started)
    summary = {"once": contender.once, "convolutions": contender.convolved_by}
    pipe.send(summary | {"peak_mib": peak_mib(work.device)})


def peak_mib(device: str) -> float:
    """The most memory this process has had: the device's, or the process's resident memory."""
    if device == "cuda":
        return torch.cuda.max_memory_allocated() / 2**20
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def matrix_multiply_rate(precision: str, device: str, threads: int) -> float:
    """Floating-point operations a second of a large product in a number format, the best of ten."""
    torch.set_num_threads(threads)
    kind = torch.bfloat16 if precision == "bf16" else torch.float32
    side = 2048 if device == "cpu" else 8192
    a = torch.rand(side, side, device=device).to(kind)
    wait: Callable[[], None] = torch.cuda.synchronize if device == "cuda" else (lambda: None)
    seconds = []
    for _ in range(10):
        wait()
        started = time.perf_counter()
        a @ a
        wait()
        seconds.append(time.perf_counter() - started)
    return 2 * side**3 / min(seconds)
