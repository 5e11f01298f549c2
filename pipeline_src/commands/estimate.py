"""The command `estimate`: estimates the time and resources of a study before it is started."""

from __future__ import annotations

import argparse
from contextlib import nullcontext
from pathlib import Path

from pipeline_src.commands import Subcommands, add_command, study_of
from pipeline_src.errors import InputError


def add_parser(subcommands: Subcommands) -> None:
    """Add the command and its options."""
    sub = add_command(subcommands, estimate)
    sub.add_argument(
        "--from",
        dest="results",
        type=Path,
        metavar="RESULTS",
        help="take speeds from the trainings of these results; otherwise each kind is timed here",
    )
    sub.add_argument(
        "--gpus",
        type=int,
        nargs="+",
        default=[1, 2, 4, 8],
        metavar="N",
        help="number of GPUs to give the wall time for (without a GPU: of parallel trainings)",
    )
    sub.add_argument(
        "--cluster",
        action="store_true",
        help="it will run on a cluster's GPUs, if training.device allows it; refused where SLURM "
        "answers and no partition can run the largest training",
    )
    sub.add_argument(
        "--faster",
        type=float,
        default=1.0,
        metavar="TIMES",
        help="how many times faster epochs are where the study will run (default: 1)",
    )
    sub.add_argument(
        "--job-overhead",
        type=float,
        default=0.0,
        metavar="SECONDS",
        help="to start a job and to notice its end; about 30 on a cluster (default: 0)",
    )


def estimate(options: argparse.Namespace) -> None:
    """Estimate the cost of a study before it is started."""
    from pipeline_src.operations.doctor.slurm import refuse_too_large
    from pipeline_src.operations.estimate.speed import calibrate, speed_of_results
    from pipeline_src.operations.estimate.statistical_power import detectable_lines
    from pipeline_src.operations.estimate.study import count_slices, estimate, render, trainings
    from pipeline_src.operations.preflight import gpu_wanted, inspect_data
    from pipeline_src.running.gpus import one_gpu

    for name in ("gpus", "faster"):
        given = getattr(options, name)
        if min(given if isinstance(given, list) else [given]) <= 0:
            raise InputError(f"estimate: --{name} must be more than 0")
    study = study_of(options)
    if options.cluster:
        refuse_too_large(study)
    slices = count_slices(study)
    if options.results:
        speed = speed_of_results(options.results)
    else:
        with one_gpu() if study.training.device != "cpu" else nullcontext():
            speed = calibrate((t.plan, t.slices) for t in trainings(study, slices))
    found = estimate(
        study,
        speed,
        slices,
        gpus=options.gpus,
        gpu=gpu_wanted(study, elsewhere=options.cluster),
        faster=options.faster,
        job_overhead=options.job_overhead,
    )
    print(render(found))
    parts = {
        name: looked.parts
        for name, looked in inspect_data(study)
        if not isinstance(looked, InputError)
    }
    reported = {name: found[study.datasets[name].report_on] for name, found in parts.items()}
    trained_on = {name: found["train"] for name, found in parts.items()}
    lines = detectable_lines(study, reported, trained_on)
    print("\nWhat it can show:", *lines, sep="\n")
