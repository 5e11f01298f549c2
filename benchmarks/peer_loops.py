"""Training steps by the loops of libraries that people distil and reconstruct with.

torchdistill's `DistillationBox` distils a student by attention transfer, deepinv's `Trainer` trains
a teacher, both as their documentation has it, with the textbook's networks, losses and files. It
runs in an environment of the libraries' own and imports little of the pipeline.
"""

from __future__ import annotations

import argparse
import resource
import time
from collections.abc import Callable, Iterator
from importlib.metadata import version
from itertools import islice
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset, RandomSampler

from benchmarks.textbook import Sample, TextbookDCCNN, VolumeSlices, build
from benchmarks.textbook.losses import attention, mean

Loop = Callable[[int], list[float]]


class Reconstruction(nn.Module):
    """A textbook's network that takes k-space alone, `(batch, rows, columns)` complex."""

    def __init__(self, network: TextbookDCCNN, fidelity: nn.Module) -> None:
        super().__init__()
        self.network, self.fidelity = network, fidelity

    def forward(self, kspace: Tensor, _physics: object = None, **_: object) -> Tensor:
        """The image `(batch, 1, rows, columns)`."""
        zero_filled = torch.fft.ifft2(kspace, norm="ortho").real[:, None].float()
        found: Tensor = self.network(zero_filled, kspace, self.fidelity)
        return found


class Pairs(Dataset[tuple[Tensor, Tensor]]):
    """The textbook's samples as pairs of tensors, in the order that a library takes."""

    def __init__(self, folder: Path, names: tuple[str, str]) -> None:
        self._slices, self._names = VolumeSlices(folder), names

    def __len__(self) -> int:
        return len(self._slices)

    def __getitem__(self, number: int) -> tuple[Tensor, Tensor]:
        sample = self._slices[number]._asdict()
        return sample[self._names[0]], sample[self._names[1]]


def torchdistill(kind: str, folder: Path, batch_size: int) -> Loop:
    """Its distillation box, with hooks on the middle features of every cascade."""
    from torchdistill.core.distillation import DistillationBox
    from torchdistill.losses.registry import register_mid_level_loss

    step: Any = build(kind, np.load(folder / "mask.npy"))
    teacher, student = (Reconstruction(n, step.fidelity) for n in (step.teacher, step.student))
    paths = {
        role: [f"network.blocks.{k}.layers.{block.middle}" for k, block in enumerate(blocks)]
        for role, blocks in (("teacher", step.teacher.blocks), ("student", step.student.blocks))
    }

    @register_mid_level_loss
    class TextbookAttention(nn.Module):
        def forward(self, student: Any, teacher: Any, *_: object) -> Tensor:
            pairs = zip(paths["student"], paths["teacher"], strict=True)
            return mean([attention(student[s]["output"], teacher[t]["output"]) for s, t in pairs])

    def hooked(role: str, **options: object) -> dict[str, object]:
        hook = {"input": [], "output": paths[role]}
        return {"forward_proc": "forward_batch_only", "forward_hook": hook, **options}

    term = {"criterion": {"key": "TextbookAttention", "kwargs": {}}, "weight": 1.0}
    box = DistillationBox(
        teacher,
        student,
        {"slices": Pairs(folder / "volumes", ("kspace", "target"))},
        {
            "num_epochs": 1,
            "train_data_loader": {
                "dataset_id": "slices",
                "sampler": {"class_or_func": RandomSampler},
                "kwargs": {"batch_size": batch_size, "num_workers": 0},
            },
            "teacher": hooked("teacher", requires_grad=False),
            "student": hooked("student"),
            "optimizer": {"key": "Adam", "kwargs": {"lr": 1e-3}},
            "criterion": {"key": "WeightedSumLoss", "kwargs": {"sub_terms": {"at": term}}},
        },
        torch.device("cpu"),
        None,
        False,
        1.0,
    )

    def steps(count: int) -> list[float]:
        losses = []
        for kspace, target, more in _endless(box.train_data_loader, count):
            loss = box.forward_process(kspace, target, more)
            box.post_forward_process(loss)
            losses.append(loss.item())
        return losses

    box.pre_epoch_process(epoch=0)
    _same(box.forward_process, step, folder, batch_size)
    return steps


def deepinv(kind: str, folder: Path, batch_size: int) -> Loop:
    """Its trainer, supervised by L1."""
    from deepinv import Trainer
    from deepinv.loss import SupLoss
    from deepinv.physics import Physics

    step: Any = build(kind, np.load(folder / "mask.npy"))
    model = Reconstruction(step.network, step.fidelity)
    pairs = Pairs(folder / "volumes", ("target", "kspace"))
    trainer = Trainer(
        model=model,
        physics=Physics(),
        optimizer=torch.optim.Adam(model.parameters(), lr=1e-3),
        train_dataloader=DataLoader(pairs, batch_size=batch_size, shuffle=True),
        losses=SupLoss(metric=nn.L1Loss()),
        metrics=None,
        device="cpu",
        save_path=None,
        verbose=False,
        show_progress_bar=False,
    )
    trainer.setup_train()

    def steps(count: int) -> list[float]:
        batches = _endless(trainer.train_dataloader[0], count)
        trainer.current_train_iterators = [batches]
        trainer.reset_metrics()
        for number in range(count):
            trainer.step(0, None, train_ite=number)
        return [trainer.logs_total_loss_train.avg]

    def loss(kspace: Tensor, target: Tensor, _: object) -> Tensor:
        trainer.reset_metrics()
        found: Tensor = trainer.compute_loss(trainer.physics[0], target, kspace)[0]
        return found

    _same(loss, step, folder, batch_size)
    return steps


def _endless(loader: DataLoader[Any], count: int) -> Iterator[Any]:
    """So many batches, epoch after epoch."""

    def batches() -> Iterator[Any]:
        while True:
            yield from loader

    return islice(batches(), count)


def _same(loss: Callable[..., Tensor], step: Any, folder: Path, batch_size: int) -> None:
    """Refuse to time a loop whose loss is not the textbook's."""
    slices = VolumeSlices(folder / "volumes")
    first = [slices[number] for number in range(batch_size)]
    batch = Sample(*map(torch.stack, zip(*first, strict=True)))
    made = loss(batch.kspace, batch.target, None), step.loss(batch)
    found, wanted = (float(value.detach()) for value in made)
    if abs(found - wanted) > 1e-5 * abs(wanted):
        raise SystemExit(f"error: its loss is {found}, the textbook's {wanted}")


#: The libraries, each with the kind of step that it is tried on.
LOOPS: dict[str, tuple[str, Callable[[str, Path, int], Loop]]] = {
    "torchdistill": ("at_features", torchdistill),
    "deepinv": ("teacher", deepinv),
}


def main() -> None:
    """Serve a parent as `benchmarks.contenders.serve` does."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("pipe", type=int)
    parser.add_argument("loop", choices=list(LOOPS))
    parser.add_argument("folder", type=Path)
    parser.add_argument("batch_size", type=int)
    parser.add_argument("threads", type=int)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    torch.manual_seed(0)
    kind, make = LOOPS[options.loop]
    steps = make(kind, options.folder, options.batch_size)
    pipe = Connection(options.pipe)
    pipe.send("ready")
    while (asked := pipe.recv()) is not None:
        started = time.perf_counter()
        steps(asked[1])
        pipe.send(time.perf_counter() - started)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    versions = f"{options.loop} {version(options.loop)}, torch {torch.__version__}"
    pipe.send({"once": 0.0, "convolutions": versions, "peak_mib": peak})


if __name__ == "__main__":
    main()
