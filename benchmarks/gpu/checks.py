"""Phase (b): what must hold on a GPU, checked with the pipeline's own code.

Every check is a line with `ok`. Where the device has no graphs, what would be a graph is a plain
step; the lines say so under `form`.
"""

from __future__ import annotations

import contextlib
import io
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from benchmarks.gpu.kinds import FIRST, Files, Kind, Trainee, kinds, study_of, write_files
from benchmarks.gpu.lines import OutOfTimeError
from benchmarks.gpu.phase import Run
from pipeline_src.config.distillation import available_methods
from pipeline_src.data.store import read_store
from pipeline_src.files import sha256_file
from pipeline_src.planning.plans import TrainingPlan, training_plan
from pipeline_src.running.checkpointing import Checkpointer
from pipeline_src.running.interruption import Interruption
from pipeline_src.running.progress import Progress
from pipeline_src.running.resume_state import StateFiles
from pipeline_src.sampling.masks import read_mask
from pipeline_src.training.data import Batch
from pipeline_src.training.objectives import ReconstructionObjective
from pipeline_src.training.stages import set_up, train_stages, write_results
from pipeline_src.training.step import Validation, plain_step, training_step

PHASE = "checks"


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
    if not run.device.graphs:
        run.lines.add(PHASE, "failed capture", ok=None, reason="no graphs on this device")
    _resume_all(run, files, {})
    if run.left() > 0:
        run.guarded(PHASE, "killed process", lambda: _killed(run, files))
    if run.device.graphs:
        joint = {"protocol": "joint", "imitation_weight": 1.0}
        _resume_all(run, files, {"distillation": joint})
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


class _After(Interruption):
    """As if a signal came when it was asked after for the n-th time."""

    def __init__(self, looks: int) -> None:
        super().__init__()
        self._looks = looks

    @property
    def signal(self) -> str:
        self._looks -= 1
        return "" if self._looks >= 0 else "SIGTERM"


def _resume_all(run: Run, files: Files, settings: dict[str, Any]) -> None:
    """Every model of a study that the settings change, stopped every few steps and taken up by new
    objects each time."""
    methods = available_methods()[: run.scale.methods]
    layer = {"methods": {name: {} for name in methods}, **settings}
    study = study_of(run.scale, run.scale.compared, layer, device=run.device.name)
    for model in study.model_names():
        plan = training_plan(study, model, 0)
        if run.left() <= 0:
            return
        if settings and plan.distillation is None:
            continue
        labels = {"model": model, "stages": plan.stages}

        def work(plan: TrainingPlan = plan, labels: dict[str, Any] = labels) -> None:
            whole, pieces = _train(run, plan, files, 10**9), _train(run, plan, files, 5)
            run.lines.add(PHASE, "resumed", **labels, ok=whole[0] == pieces[0], sittings=pieces[1])

        run.guarded(PHASE, "resumed", work, **labels)


def _train(run: Run, plan: TrainingPlan, files: Files, looks: int) -> tuple[str, int]:
    """Digest of the weights of a whole training that is stopped after so many steps each time, and
    in how many sittings it was done."""
    folder = run.settings.work / f"{plan.model}_{'_'.join(plan.stages)}_{looks}"
    device, reason = set_up(plan)
    inputs = files.inputs(plan)
    store, mask = read_store(inputs.store), read_mask(inputs.mask)
    for sittings in range(1, 100):
        states, interruption = StateFiles(folder, "checked"), _After(looks)
        saved = states.load()
        keeping = Checkpointer(states, saved, interruption, 10**9, len(plan.stages), dict)
        progress = Progress(plan.model)
        try:
            with contextlib.redirect_stderr(io.StringIO()):
                made = train_stages(
                    plan,
                    inputs,
                    store,
                    mask,
                    device,
                    compiled=not reason,
                    progress=progress,
                    keeping=keeping,
                )
        except Exception as error:
            if type(error).__name__ != "Interrupted":
                raise
            continue
        written = write_results(folder, plan.model, *made)
        weights = next(path for path in written if path.name == "weights.safetensors")
        return sha256_file(weights), sittings
    raise RuntimeError(f"{plan.model}: not done after 99 sittings")


def _killed(run: Run, files: Files) -> None:
    """A process that trains is killed with SIGKILL, and another goes on; and one is left alone."""
    import yaml

    epochs = 40 if run.device.graphs else 12
    study = study_of(run.scale, run.scale.compared, {}, device=run.device.name, epochs=epochs)
    folder = run.settings.work / "killed"
    folder.mkdir(exist_ok=True)
    config = folder / "study.yaml"
    config.write_text(yaml.safe_dump(study.model_dump(mode="json")))

    def command(output: Path) -> list[str]:
        return [
            *(sys.executable, "-m", "pipeline_src", "train", "--config", str(config)),
            *("--dataset", "phantom", "--acceleration", "4x", "--model", "teacher"),
            *("--seed", "0", "--data", str(files.store), "--mask", str(files.mask())),
            *("--output", str(output), "--save-every", "0"),
        ]

    digests = []
    with _quiet() as log:
        for kill in (True, False):
            output = folder / ("pieces" if kill else "whole")
            state = output / "training.state.previous"
            if kill:
                process = subprocess.Popen(command(output), stdout=log, stderr=log)
                try:
                    while process.poll() is None and not state.exists():
                        if run.left() <= 0:
                            raise OutOfTimeError("a training saved no state before")
                        time.sleep(0.002)
                finally:
                    process.send_signal(signal.SIGKILL)
                    status = process.wait()
            left = max(1.0, run.left())
            subprocess.run(command(output), stdout=log, stderr=log, check=True, timeout=left)
            digests.append(sha256_file(output / "weights.safetensors"))
    run.lines.add(
        PHASE,
        "killed process",
        ok=digests[0] == digests[1] and status == -signal.SIGKILL,
        killed_while_training=status == -signal.SIGKILL,
    )


@contextlib.contextmanager
def _quiet() -> Iterator[int]:
    """Where processes write that nobody reads; their errors stand in their status."""
    handle = os.open(os.devnull, os.O_WRONLY)
    try:
        yield handle
    finally:
        os.close(handle)
