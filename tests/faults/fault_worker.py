"""What a killed process runs: one training on the tiny study.

The fork server imports this module once, so that starting a training costs no import.
"""

from __future__ import annotations

import os
import resource
import signal
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from pipeline_src.config import check_study
from pipeline_src.errors import InputError, Interrupted
from pipeline_src.planning.plans import training_plan
from pipeline_src.running.training_run import run_training
from pipeline_src.training.builder import Inputs


@dataclass(frozen=True)
class Job:
    """One training, and what is to befall it.

    Attributes:
        kill_at: kill the process before the file operation of this number in the output folder,
            from 1.
        kill_by: the signal.
        largest_file: limit of a file's size in bytes, as a full disk would set it.
    """

    configuration: dict[str, Any]
    model: str
    inputs: Inputs
    output: Path
    save_every: float = 0.0
    kill_at: int = 0
    kill_by: signal.Signals = signal.SIGKILL
    largest_file: int = 0


def run(job: Job) -> None:
    """Train; exits with 0, 2 or 75 as the command line does."""
    torch.set_num_threads(1)
    log = (job.output.parent / f"{job.output.name}.log").open("a")
    os.dup2(log.fileno(), sys.stderr.fileno())
    os.dup2(log.fileno(), sys.stdout.fileno())
    if job.kill_at:
        _kill_before_operation(job.kill_at, job.kill_by, str(job.output))
    if job.largest_file:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (job.largest_file, job.largest_file))
    plan = training_plan(check_study(job.configuration), job.model, 0)
    labels = {"dataset": "tiny", "acceleration": "4x"}
    try:
        run_training(plan, job.inputs, job.output, labels, job.save_every)
    except InputError as error:
        print(f"error: {error}", file=sys.stderr, flush=True)
        os._exit(2)
    except Interrupted as stopped:
        print(stopped, file=sys.stderr, flush=True)
        os._exit(75)


def _kill_before_operation(number: int, by: signal.Signals, folder: str) -> None:
    """Every opening, renaming and removing of a file is told to an audit hook beforehand."""
    count = 0

    def hook(event: str, arguments: tuple[Any, ...]) -> None:
        nonlocal count
        if event in ("open", "os.rename", "os.remove") and str(arguments[0]).startswith(folder):
            count += 1
            if count == number:
                os.kill(os.getpid(), by)

    sys.addaudithook(hook)
