"""Phase (b): what must hold on a GPU, checked with the pipeline's own code.

Every check is a line with `ok`. Where the device has no graphs, what would be a graph is a plain
step; the lines say so under `form`.
"""

from __future__ import annotations

import contextlib
import io
import statistics
from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor

from benchmarks.gpu.interrupted import PHASE, killed, resume_all
from benchmarks.gpu.kinds import FIRST, Files, Kind, Trainee, kinds, write_files
from benchmarks.gpu.phase import Run
from pipeline_src.acceleration import host_memory
from pipeline_src.training.data import Batch
from pipeline_src.training.objectives import ReconstructionObjective
from pipeline_src.training.step import Validation, plain_step, training_step


def run(run: Run) -> None:
    """The paper's kinds of step in single precision, then what happens to trainings, then the
    rest."""
    files = write_files(run.settings.work / "checked", run.scale, run.scale.compared)
    known = kinds(run.scale)
    first, rest = known[: len(FIRST)], known[len(FIRST) :]
    for kind in first:
        _compare(run, kind, files, "fp32")
    failing = (
        ("waits for the device", _waits),
        ("no memory left", _asks_for_too_much),
    )
    for name, loss in failing if run.device.graphs else ():
        if run.left() > 0:
            work = partial(_failed, run, files, name, loss)
            run.guarded(PHASE, "failed capture", work, name=name)
    if run.device.graphs:
        run.guarded(PHASE, "images in main memory", lambda: _in_main_memory(run, files))
    else:
        for name in ("failed capture", "images in main memory"):
            run.lines.add(PHASE, name, ok=None, reason="no graphs on this device")
    resume_all(run, files, {})
    if run.left() > 0:
        run.guarded(PHASE, "killed process", lambda: killed(run, files))
    if run.device.graphs:
        joint = {"protocol": "joint", "imitation_weight": 1.0}
        resume_all(run, files, {"distillation": joint})
    for kind in rest:
        _compare(run, kind, files, "fp32")
    for precision in ("bf16", "tf32") if run.device.graphs else ("bf16",):
        for kind in known if run.device.graphs else first:
            _compare(run, kind, files, precision)


def _compare(run: Run, kind: Kind, files: Files, precision: str) -> None:
    if run.left() <= 0:
        return
    labels = {"kind": kind.name, "precision": precision, "form": run.device.form}

    def work() -> None:
        def one(*, plain: bool = False) -> tuple[list[float], Tensor, Trainee]:
            made = Trainee(kind, files, run.scale, run.scale.compared, run.device.name, precision)
            losses = made.train(run.scale.epochs * len(made.losses.values), plain=plain)
            return losses, made.weights(), made

        first, again = one(), one()
        eager = one(plain=True) if run.device.graphs else again
        repeats = first[0] == again[0] and torch.equal(first[1], again[1])
        equal = first[0] == eager[0] and torch.equal(first[1], eager[1])
        graphs = sorted(first[2].step.graphs)
        finite = bool(first[1].isfinite().all())
        look = Validation(first[2].objective, first[2].validation, run.scale.batch)
        looked = []
        for _ in range(5 if run.device.graphs else 2):
            look()
            looked.append((look.losses.tolist(), look.psnr.tolist()))
        same_look = looked[0] == looked[-1]
        whole, rest = run.scale.batch, len(first[2].slices) % run.scale.batch
        expected = sorted({whole, rest or whole}) if run.device.graphs else []
        run.lines.add(
            PHASE,
            "steps",
            **labels,
            ok=repeats and equal and finite and same_look and graphs == expected,
            two_runs_equal=repeats,
            equal_to_eager=equal,
            validation_equal=same_look,
            convolutions=first[2].convolutions,
            captured=graphs,
            largest_difference=float((first[1] - eager[1]).abs().max()),
        )

    run.guarded(PHASE, "steps", work, **labels)


class _Broken(ReconstructionObjective):
    """A loss that does something which cannot be captured."""

    extra: Callable[[Tensor], Tensor]

    def loss(self, batch: Batch) -> Tensor:
        loss = super().loss(batch)
        return loss + 0 * self.extra(loss)


def _waits(loss: Tensor) -> Tensor:
    return loss.new_tensor(float(loss.detach()))


def _asks_for_too_much(loss: Tensor) -> Tensor:
    if torch.cuda.is_current_stream_capturing():
        return loss.new_empty(1 << 46).sum()
    return loss.detach()


def _failed(run: Run, files: Files, name: str, extra: Callable[[Tensor], Tensor]) -> None:
    """A capture fails; training goes on to the same weights, says why, and the next step that is
    made is captured again, in memory that the failed one gave back."""
    kind = Kind("teacher", "teacher", "reconstruction")

    def made() -> Trainee:
        return Trainee(kind, files, run.scale, run.scale.compared, run.device.name)

    def broken(trainee: Trainee) -> Trainee:
        objective = _Broken(trainee.objective.network, trainee.objective.fidelity)  # type: ignore[attr-defined]
        objective.extra = extra
        parts = (objective, trainee.adam, trainee.slices, trainee.losses)
        trainee.step, trainee.plain = training_step(*parts), plain_step(*parts)
        return trainee

    said, before = io.StringIO(), torch.cuda.current_stream()
    failing, plain = broken(made()), broken(made())
    with contextlib.redirect_stderr(said):
        losses = failing.train(8)
    same = losses == plain.train(8, plain=True)
    stream = torch.cuda.current_stream() == before
    following = made()
    following.train(8)
    run.lines.add(
        PHASE,
        "failed capture",
        name=name,
        ok=same and stream and bool(following.step.graphs) and not failing.step.graphs,
        said=said.getvalue().strip()[:500],
        equal_to_eager=same,
        stream_restored=stream,
        next_captured=sorted(following.step.graphs),
    )


def _in_main_memory(run: Run, files: Files) -> None:
    """Images that the GPU reads from main memory, as those of a set too large for its own, train
    the same weights; what a step takes, the one over the other."""
    kind, most = Kind("teacher", "teacher", "reconstruction"), host_memory.MOST

    def trained(share: float) -> tuple[list[float], Tensor, list[int], float]:
        host_memory.MOST = share
        try:
            made = Trainee(kind, files, run.scale, run.scale.compared, run.device.name)
        finally:
            host_memory.MOST = most
        losses, weights, batches = made.train(8), made.weights(), made.batches()
        took = run.device.seconds(lambda: made.step(next(batches)), 20)
        return losses, weights, sorted(made.step.graphs), statistics.median(took)

    own, main = trained(most), trained(0)
    run.lines.add(
        PHASE,
        "images in main memory",
        ok=own[0] == main[0] and torch.equal(own[1], main[1]) and own[2] == main[2],
        captured=main[2],
        times_as_long=main[3] / own[3],
    )
