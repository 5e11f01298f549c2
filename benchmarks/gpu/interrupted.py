"""Checks of phase (b): trainings that are stopped or killed end with the weights of those that are
left alone."""

from __future__ import annotations

import contextlib
import io
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from benchmarks.gpu.kinds import Files, study_of
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
from pipeline_src.training.stages import set_up, train_stages, write_results

PHASE = "checks"


class _After(Interruption):
    """As if a signal came when it was asked after for the n-th time."""

    def __init__(self, looks: int) -> None:
        super().__init__()
        self._looks = looks

    @property
    def signal(self) -> str:
        self._looks -= 1
        return "" if self._looks >= 0 else "SIGTERM"


def resume_all(run: Run, files: Files, settings: dict[str, Any]) -> None:
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


def killed(run: Run, files: Files) -> None:
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
