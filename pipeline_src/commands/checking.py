"""The commands that look at a study before it runs: `check`, `doctor` and `estimate`."""

from __future__ import annotations

import argparse
from contextlib import nullcontext
from pathlib import Path

from pipeline_src.commands import Subcommands, add_command, add_study, named, study_of
from pipeline_src.config import load_study
from pipeline_src.errors import InputError
from pipeline_src.modules import PACKAGE
from pipeline_src.text import printable


def add_parsers(subcommands: Subcommands) -> None:
    """Add the commands and their options."""
    sub = add_command(subcommands, check)
    sub.add_argument("--no-data", action="store_true", help="leave out the data sets")
    sub.add_argument(
        "--import",
        dest="run_modules",
        action="store_true",
        help="import the modules outside this project that it names (their code runs), and check "
        "what they register and their options",
    )
    sub.add_argument(
        "--cluster", action="store_true", help="trainings run elsewhere: ask for no GPU here"
    )

    sub = add_command(subcommands, doctor, study=False)
    add_study(sub, required=False)
    sub.add_argument("--profile", type=Path, help="Snakemake's profile for the cluster")

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


def check(options: argparse.Namespace) -> None:
    """Check a configuration, the files it names and its data."""
    from pipeline_src.operations.extensions import check_extensions
    from pipeline_src.operations.preflight import (
        check_files,
        describe_data,
        inspect_data,
        missing_gpu,
    )
    from pipeline_src.reporting.study_design import folds_tested, repeated_text

    study = study_of(options)
    models = check_files(study)
    if not options.cluster and (problem := missing_gpu(study)):
        raise InputError(f"{problem}; give --cluster if trainings run on another one's")
    looked = [] if options.no_data else inspect_data(study, run_modules=options.run_modules)
    for name, found in looked:
        if isinstance(found, InputError):
            raise InputError(
                f"data set {name}: {found} (--no-data checks the configuration without its data)"
            )
        print("\n".join(describe_data(name, found)))
    for line in check_extensions(models, run_modules=options.run_modules):
        print(line)
    if own := repeated_text(study):
        print(f"each seed has its own {own} (repeat_over)")
    for sentence in folds_tested(study):
        print(f"warning: {sentence}")
    counts = [len(models.names(setting)) for setting in study.settings()]
    each = f"{min(counts)}" if len(set(counts)) == 1 else f"{min(counts)} to {max(counts)}"
    print(
        f"{printable(named(options))}: ok; settings: {len(counts)}, models per setting: "
        f"{each}, seeds: {len(study.seeds)}; {sum(counts) * len(study.seeds)} trainings"
    )


def doctor(options: argparse.Namespace) -> int:
    """Check that studies can run here."""
    from pipeline_src.operations.doctor.machine import examine

    paths = options.config or [PACKAGE.parent / "config" / "config.yaml"]
    errors = 0
    for finding in examine(load_study(paths, options.set), options.profile):
        errors += finding.verdict == "error"
        advice = f"\n         -> {finding.advice}" if finding.advice else ""
        print(f"{finding.verdict:7}  {finding.what}{advice}")
    print(f"{errors} error{'s' if errors > 1 else ''}" if errors else "ready")
    return int(errors > 0)  # the exit status: 1 if something will not run


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
