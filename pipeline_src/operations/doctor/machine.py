"""Checks whether a study can run here, before anything is spent on it."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from platformdirs import user_cache_dir

from pipeline_src.config import Study
from pipeline_src.config.load import read_yaml
from pipeline_src.errors import InputError
from pipeline_src.locks import lock_problem, nearest_folder
from pipeline_src.operations.cluster.slurm import lines_of
from pipeline_src.operations.doctor import Finding, Severity
from pipeline_src.operations.doctor.slurm import examine_plugin, examine_slurm
from pipeline_src.operations.extensions import module_lines
from pipeline_src.operations.preflight import check_files, describe_data, gpu_wanted, inspect_data
from pipeline_src.planning.study_models import Models
from pipeline_src.provenance.environment import commit_and_problem

#: GB below which a disk is called nearly full.
LITTLE_DISK = 5


def examine(study: Study, profile: Path | None) -> Iterator[Finding]:
    """Check packages, GPU, data, disk and, with a profile for SLURM, the cluster."""
    settings: dict[str, Any] = {}
    if profile:
        settings = read_yaml(profile if profile.is_file() else profile / "config.yaml")
    on_cluster = settings.get("executor") == "slurm"
    yield from _gpu(study, on_cluster)
    if not on_cluster:
        yield from _convolutions(study)
    yield from _data(study)
    yield from _modules(study)
    yield from _disk()
    if problem := commit_and_problem()[1]:
        yield Finding("warning", f"manifests will name no commit of the code: {problem}")
    if on_cluster:
        yield from examine_plugin()
        yield from examine_slurm(study, settings)
    elif profile:
        yield Finding("warning", f"{profile}: executor is {settings.get('executor', 'not set')}")


def _gpu(study: Study, on_cluster: bool) -> Iterator[Finding]:
    import torch

    build = f"torch {torch.__version__}"
    if study.training.device == "cpu":
        yield Finding("ok", f"{build}; training.device is cpu, no GPU is asked for")
        return
    if torch.version.cuda is None:
        advice = "install torch's CUDA build, or set training.device: cpu"
        verdict: Severity = "error" if gpu_wanted(study, on_cluster) else "warning"
        yield Finding(verdict, f"{build} has no CUDA: trainings run on the CPU", advice)
        return
    yield Finding("ok", f"{build} for CUDA {torch.version.cuda}")
    query = ("nvidia-smi", "--query-gpu=name,driver_version", "--format=csv,noheader")
    driver, *_ = lines_of(*query) or [""]
    if torch.cuda.is_available():
        yield Finding("ok", f"{torch.cuda.device_count()} GPU(s) seen: {driver}")
    elif on_cluster:
        yield Finding("ok", "no GPU on this machine; the cluster's nodes have them")
    elif driver:
        advice = f"its driver is older than CUDA {torch.version.cuda} needs, or it is hidden by "
        advice += "CUDA_VISIBLE_DEVICES"
        yield Finding("error", f"{driver}, which torch cannot use", advice)
    else:
        advice = "no driver answers (nvidia-smi); set training.device: cpu to train without"
        yield Finding(
            "error" if study.training.device == "cuda" else "warning", "no GPU seen", advice
        )


def _convolutions(study: Study) -> Iterator[Finding]:
    from pipeline_src.acceleration.choice import why_not_compiled
    from pipeline_src.training.device import choose_device

    models = Models(study)
    try:
        device = choose_device(study.training.device)
        if device.type == "cpu" and study.training.precision == "tf32":
            return
        reasons = {
            why_not_compiled(models.plan(name, study.seeds[0]), device)
            for setting in study.settings()
            for name in models.names(setting)
        }
    except InputError as error:
        yield Finding("error", str(error))
        return
    advice = "compiled ones are faster; see training.convolutions in config/README.md"
    where, built_for = ("CPU", "processor") if device.type == "cpu" else ("GPU", "GPU")
    for reason in sorted(reasons):
        if reason:
            yield Finding("warning", f"convolutions on the {where}: torch's; {reason}", advice)
        else:
            yield Finding("ok", f"convolutions on the {where}: compiled for this {built_for}")


def _data(study: Study) -> Iterator[Finding]:
    try:
        check_files(study)
    except InputError as error:
        yield Finding("error", str(error))
    for name, found in inspect_data(study, run_modules=False):
        if isinstance(found, InputError):
            yield Finding(
                "error", f"data set {name}: {found}", "give --set data_root=/path/to/data"
            )
            continue
        said, *more = describe_data(name, found)
        warned = any(line.startswith("  warning:") for line in more)
        yield Finding("warning" if warned else "ok", "\n         ".join([said, *more]))


def _modules(study: Study) -> Iterator[Finding]:
    """Modules outside this project, which are not imported here."""
    try:
        named = module_lines(Models(study))
    except InputError:
        return  # `check_files` has told.
    for line in named:
        yield Finding("ok", line, "`check --import` imports it and looks at what it registers")


def _disk() -> Iterator[Finding]:
    """Check the folders that a run writes to: results, which may be a link to another disk, and
    Snakemake's own.
    """
    results = Path("results").resolve()
    cache = Path(user_cache_dir("snakemake"))
    for what, folder in (("results", results), ("Snakemake's records", Path.cwd())):
        problem = _cannot_write(folder)
        if problem:
            yield Finding(
                "error", f"{folder}: {what} cannot be written ({problem})", "work elsewhere"
            )
            continue
        there = nearest_folder(folder)
        free = shutil.disk_usage(there).free / 1e9
        verdict: Severity = "ok" if free > LITTLE_DISK else "warning"
        advice = "" if free > LITTLE_DISK else "the estimate command tells what the study needs"
        yield Finding(verdict, f"{folder}: {free:.0f} GB free for {what}", advice)
        unlocked = lock_problem(there)
        if unlocked:
            advice = "do not start one study twice at the same time"
            yield Finding("warning", f"{folder}: files cannot be locked ({unlocked})", advice)
    problem = _cannot_write(cache)
    if problem:
        advice = "set XDG_CACHE_HOME to a folder of yours; Snakemake fails without"
        yield Finding("error", f"{cache}: cannot be written ({problem})", advice)


def _cannot_write(folder: Path) -> str:
    """Why nothing can be written to a folder, which is created when it is needed; empty if it
    can.
    """
    try:
        with tempfile.TemporaryFile(dir=nearest_folder(folder)):
            return ""
    except OSError as error:
        return error.strerror or str(error)
