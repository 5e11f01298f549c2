"""Phase (d): what a step takes, of every kind in every form; the kinds of a study come first."""

from __future__ import annotations

import os
import statistics
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.gpu.kinds import FIRST, Files, Kind, kinds, write_files
from benchmarks.gpu.phase import Run
from benchmarks.gpu.trainings import (
    WARM_UP,
    compile_beforehand,
    processes,
    ready,
    repeated,
    start_of_a_training,
)
from pipeline_src.running.checkpointing import Checkpointer
from pipeline_src.running.interruption import Interruption
from pipeline_src.running.resume_state import Saved, StateFiles
from pipeline_src.training.seeding import random_states
from pipeline_src.training.step import Validation

PHASE = "timing"


def run(run: Run) -> None:
    """From what the study's plan needs to what is good to know."""
    files = write_files(run.settings.work / "timed", run.scale, run.scale.matrix)
    known = kinds(run.scale)
    first, rest = [k for k in known if k.name in FIRST], [k for k in known if k.name not in FIRST]
    parts: list[tuple[str, Callable[[], object]]] = []

    def add(what: str, work: Callable[[], object]) -> None:
        parts.append((what, work))

    def add_steps(of: Sequence[Kind], *precisions: str, **options: Any) -> None:
        for precision in precisions:
            for kind in of:
                add("step", partial(_step, run, kind, files, precision, **options))

    on_gpu = run.device.graphs
    if on_gpu:
        add("compiled", partial(compile_beforehand, run))
    add("start", partial(start_of_a_training, run))
    add_steps(first, "fp32", "bf16")
    add("validation", partial(_validation, run, files))
    add("save", partial(_save, run, files))
    for mps in (True, False):
        for number in run.scale.together:
            add("processes", partial(processes, run, number, "bf16", mps=mps))
    if on_gpu:
        add_steps(first, "tf32")
        add_steps(first, "fp32", "tf32", "bf16", convolutions="library")
    add_steps(rest if on_gpu else rest[:3], "fp32")
    for kind in first:
        add("kernels", partial(_kernels, run, kind, files))
    for number in run.scale.together:
        add("streams", partial(_streams, run, files, number))
    add("layout", partial(_layout, run, files))
    if on_gpu:
        add_steps(rest, "bf16", "tf32")
        add_steps(rest, "fp32", convolutions="library")
        add_steps(known, "fp32", "bf16", "tf32", plain=True)
    for kind in rest if run.device.graphs else ():
        add("kernels", partial(_kernels, run, kind, files))
    for number, (what, work) in enumerate(parts):
        if run.left() <= 0:
            run.lines.add(PHASE, "stopped", parts_done=number, parts=len(parts))
            return
        run.guarded(PHASE, what, work)
    run.lines.add(PHASE, "complete", parts=len(parts))


def _step(
    run: Run,
    kind: Kind,
    files: Files,
    precision: str,
    *,
    plain: bool = False,
    convolutions: str = "auto",
) -> None:
    run.device.clear_peak()
    began = time.perf_counter()
    made = ready(run, kind, files, precision, convolutions)
    again = repeated(run, made, plain=plain)
    ready_seconds = time.perf_counter() - began
    # Counted on the plain step of torch's own operations: no others show theirs.
    counted = ready(run, kind, files, precision, "library")
    with FlopCounterMode(display=False) as flops:
        counted.plain(next(counted.batches()))
    took = run.device.seconds(again, run.scale.replays)
    run.lines.add(
        PHASE,
        "step",
        kind=kind.name,
        precision=precision,
        form="eager" if plain else run.device.form,
        convolutions=made.convolutions,
        batch=run.scale.batch,
        matrix=run.scale.matrix,
        replays=len(took),
        milliseconds=1000 * statistics.median(took),
        fastest_ms=1000 * min(took),
        slowest_ms=1000 * max(took),
        teraflops_per_second=flops.get_total_flops() / statistics.median(took) / 1e12,
        ready_seconds=ready_seconds,
        peak_mib=run.device.peak_mib(),
    )


def _validation(run: Run, files: Files) -> None:
    """The pipeline's validation, and plain passes of several sizes."""
    kind = next(k for k in kinds(run.scale) if k.name == "teacher")
    made = ready(run, kind, files)
    look = Validation(made.objective, made.validation, run.scale.batch)
    for _ in range(WARM_UP):
        look()
    took = run.device.seconds(look, max(3, run.scale.replays // 5))
    each = 1000 * statistics.median(took) / len(made.validation)
    run.lines.add(PHASE, "validated", kind=kind.name, milliseconds_a_slice=each)
    made.objective.trained.eval()
    for size in (run.scale.batch, 16, 32, 64):
        indices = torch.arange(size, device=made.device) % len(made.validation)

        @torch.no_grad()
        def once(indices: torch.Tensor = indices) -> None:
            made.objective.validate(made.validation.batch(indices))

        once()
        took = run.device.seconds(once, max(3, run.scale.replays // 5))
        run.lines.add(
            PHASE,
            "validation",
            kind=kind.name,
            batch=size,
            milliseconds=1000 * statistics.median(took),
        )


def _save(run: Run, files: Files) -> None:
    """Writing the state of the largest training."""
    kind = next(k for k in kinds(run.scale) if k.name == "sft")
    made = ready(run, kind, files)
    made.train(1)
    states = StateFiles(run.settings.work / "state", "timed")
    tensors = {f"weights/{n}": t for n, t in made.objective.trained.state_dict().items()}
    tensors |= {f"adam/{n}": t for n, t in made.adam.state().items()}
    tensors |= {f"best/{n}": t.clone() for n, t in made.objective.trained.state_dict().items()}
    took = []
    for _ in range(3):
        run.device.wait()
        began = time.perf_counter()
        states.save(Saved({**tensors, **random_states()}, {}))
        took.append(time.perf_counter() - began)
    # What is asked after every step that saves nothing.
    with Interruption(os.getppid()) as interruption:
        keeping = Checkpointer(states, None, interruption, 10**9, 1, dict)
        began = time.perf_counter()
        for _ in range(100):
            keeping(None, epoch_over=False)  # type: ignore[arg-type]
        asked = (time.perf_counter() - began) / 100
    run.lines.add(
        PHASE,
        "save",
        tensors=len(tensors),
        milliseconds=1000 * statistics.median(took),
        microseconds_asked_a_step=1e6 * asked,
    )


def _streams(run: Run, files: Files, number: int) -> None:
    """Several students of one process, each on a stream of its own."""
    kind = next(k for k in kinds(run.scale) if k.name == "student")
    steps = [repeated(run, ready(run, kind, files)) for _ in range(number)]
    repeats = max(3, run.scale.replays // 2)
    seconds = run.device.at_once(steps, repeats)
    run.lines.add(
        PHASE,
        "streams",
        kind=kind.name,
        trainings=number,
        milliseconds_each=1000 * seconds / repeats / number,
    )


def _layout(run: Run, files: Files) -> None:
    """A teacher's step with its weights in either layout; images have one channel."""
    kind = next(k for k in kinds(run.scale) if k.name == "teacher")
    for layout in (torch.channels_last, torch.contiguous_format):
        made = ready(run, kind, files, convolutions="library")
        module: nn.Module = made.objective.trained
        module.to(memory_format=layout)  # type: ignore[call-overload]
        took = run.device.seconds(repeated(run, made), run.scale.replays)
        run.lines.add(
            PHASE,
            "layout",
            kind=kind.name,
            layout=str(layout),
            milliseconds=1000 * statistics.median(took),
        )


def _kernels(run: Run, kind: Kind, files: Files) -> None:
    """One profiled replay: how many nodes, and which take longest."""
    again = repeated(run, ready(run, kind, files))
    counted = run.device.kernels(again)
    nodes = counted.pop("events")
    run.lines.add(
        PHASE,
        "kernels",
        kind=kind.name,
        form=run.device.form,
        nodes=nodes,
        microseconds=sum(counted.values()),
        longest={name[:120]: us for name, us in counted.most_common(12)},
    )
