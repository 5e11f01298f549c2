"""Whether a study can run from here: looked at before anything is spent."""

from __future__ import annotations

import importlib.metadata
import math
import os
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from pipeline_src.cluster.slurm import lines_of
from pipeline_src.config import Study
from pipeline_src.config.load import read_yaml
from pipeline_src.errors import InputError
from pipeline_src.estimate import limits
from pipeline_src.estimate.study import count_slices, trainings
from pipeline_src.planning.models import Models
from pipeline_src.preflight import check_files, gpu_wanted

Verdict = Literal["ok", "look", "bad"]
#: The version that `tests/cluster` was run with; the one that is pinned.
PLUGIN, TESTED = "snakemake-executor-plugin-slurm", "2.8.0"
TRAINING_RULES = ("train", "train_sft_teacher", "train_control", "distil", "distil_joint")
#: GB below which a disk is called nearly full.
LITTLE_DISK = 5


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at.

    Attributes:
        verdict: `ok`; `look` for what may be meant; `bad` for what will not run.
        what: what was found.
        advice: what to do about it.
    """

    verdict: Verdict
    what: str
    advice: str = ""


def examine(study: Study, profile: Path | None) -> Iterator[Finding]:
    """Look at packages, GPU, data, disk and, with a profile for SLURM, at the cluster."""
    settings = _profile(profile) if profile else {}
    on_cluster = settings.get("executor") == "slurm"
    yield from _gpu(study, on_cluster)
    if not on_cluster:
        yield from _convolutions(study)
    yield from _data(study)
    yield from _disk()
    if on_cluster:
        yield from _plugin()
        yield from _slurm(study, settings)
    elif profile:
        yield Finding("look", f"{profile}: executor is {settings.get('executor', 'not set')}")


def _profile(profile: Path) -> dict[str, Any]:
    """The profile's settings.

    Raises:
        InputError: there is none.
    """
    return read_yaml(profile if profile.is_file() else profile / "config.yaml")


def _gpu(study: Study, on_cluster: bool) -> Iterator[Finding]:
    import torch

    build = f"torch {torch.__version__}"
    if study.training.device == "cpu":
        yield Finding("ok", f"{build}; training.device is cpu, no GPU is asked for")
        return
    if torch.version.cuda is None:
        advice = "install torch's CUDA build, or set training.device: cpu"
        verdict: Verdict = "bad" if gpu_wanted(study, on_cluster) else "look"
        yield Finding(verdict, f"{build} has no CUDA: trainings run on the CPU", advice)
        return
    yield Finding("ok", f"{build} for CUDA {torch.version.cuda}")
    driver = _first_line("nvidia-smi", "--query-gpu=name,driver_version", "--format=csv,noheader")
    if torch.cuda.is_available():
        yield Finding("ok", f"{torch.cuda.device_count()} GPU(s) seen: {driver}")
    elif on_cluster:
        yield Finding("ok", "no GPU on this machine; the cluster's nodes have them")
    elif driver:
        advice = f"its driver is older than CUDA {torch.version.cuda} needs, or it is hidden by "
        advice += "CUDA_VISIBLE_DEVICES"
        yield Finding("bad", f"{driver}, which torch cannot use", advice)
    else:
        advice = "no driver answers (nvidia-smi); set training.device: cpu to train without"
        yield Finding("bad" if study.training.device == "cuda" else "look", "no GPU seen", advice)


def _convolutions(study: Study) -> Iterator[Finding]:
    from pipeline_src.training.convolutions import why_library
    from pipeline_src.training.device import choose_device

    models = Models(study)
    try:
        device = choose_device(study.training.device)
        if device.type != "cpu" or study.training.precision == "tf32":
            return
        reasons = {
            why_library(models.plan(name, study.seeds[0]), device)
            for setting in study.settings()
            for name in models.names(setting)
        }
    except InputError as error:
        yield Finding("bad", str(error))
        return
    advice = "compiled ones are faster; see training.convolutions in config/README.md"
    for reason in sorted(reasons):
        if reason:
            yield Finding("look", f"convolutions on the CPU: torch's; {reason}", advice)
        else:
            yield Finding("ok", "convolutions on the CPU: compiled for this processor")


def _data(study: Study) -> Iterator[Finding]:
    from pipeline_src.data.sources import list_volumes

    try:
        check_files(study)
    except InputError as error:
        yield Finding("bad", str(error))
    for name, dataset in study.datasets.items():
        try:
            count = len(list_volumes(dataset.source, Path(study.data_root)))
        except InputError as error:
            yield Finding("bad", f"data set {name}: {error}", "give --set data_root=/path/to/data")
        else:
            yield Finding("ok", f"data set {name}: {count} volumes")


def _disk() -> Iterator[Finding]:
    here = Path.cwd()
    try:
        with tempfile.TemporaryFile(dir=here):
            pass
    except OSError as error:
        yield Finding("bad", f"{here}: cannot be written to ({error.strerror})", "work elsewhere")
    free = shutil.disk_usage(here).free / 1e9
    verdict: Verdict = "ok" if free > LITTLE_DISK else "look"
    advice = "" if free > LITTLE_DISK else "the estimate command tells what the study needs"
    yield Finding(verdict, f"{here}: {free:.0f} GB free", advice)


def _plugin() -> Iterator[Finding]:
    wanted = f"{PLUGIN}=={TESTED}"
    try:
        version = importlib.metadata.version(PLUGIN)
    except importlib.metadata.PackageNotFoundError:
        yield Finding("bad", f"{PLUGIN} is not installed", f"pip install {wanted}")
        return
    if version == TESTED:
        yield Finding("ok", f"{PLUGIN} {version}, the version that was tested")
    else:
        yield Finding("look", f"{PLUGIN} {version} was not tested", f"pip install {wanted}")


def _slurm(study: Study, settings: dict[str, Any]) -> Iterator[Finding]:
    missing = [name for name in ("sbatch", "squeue", "scancel", "sinfo") if not shutil.which(name)]
    if missing:
        yield Finding("bad", f"no {', '.join(missing)} here", "go to a login node of the cluster")
        return
    lines = lines_of("sinfo", "--noheader", "-o", "%R|%l|%m|%G|%a")
    if not lines:
        yield Finding("bad", "SLURM does not answer (sinfo fails)", "ask its administrator")
        return
    partitions = _partitions(lines)
    yield Finding("ok", f"SLURM answers; partitions: {', '.join(sorted(partitions))}")
    if os.environ.get("SLURM_JOB_ID"):
        advice = "start Snakemake on a login node"
        yield Finding("look", "this is a job of SLURM; Snakemake would submit from within", advice)
    default = _as_mapping(settings.get("default-resources")).get("slurm_partition")
    if default is None:
        yield Finding("look", "no slurm_partition in default-resources: SLURM's default is taken")
    else:
        yield from _partition(partitions, str(default), "default-resources")
    given = settings.get("set-resources")
    rules = given if isinstance(given, dict) else {}
    if given and not rules:
        yield Finding("look", "set-resources is no mapping of rules; it was not looked at")
    trains = {
        str(resources.get("slurm_partition", default))
        for rule, resources in rules.items()
        if rule in TRAINING_RULES and isinstance(resources, dict)
    }
    for name in sorted(trains - {"None"}):
        known = list(_partition(partitions, name, "set-resources"))
        yield from known if name != str(default) else ()
        if known[0].verdict == "ok":
            yield from _enough(study, partitions[name], name, int(settings.get("retries", 0)))
    asks = any(isinstance(r, dict) and (r.get("gpu") or r.get("gres")) for r in rules.values())
    if asks and not gpu_wanted(study, elsewhere=True):
        advice = "set training.device: auto, or take the GPU lines out of the profile"
        yield Finding("look", "GPUs are asked for, but training.device is cpu", advice)


@dataclass(frozen=True)
class _Partition:
    """What `sinfo` tells of one: time in minutes, memory in MiB, generic resources."""

    minutes: float
    memory: int
    gres: str
    up: bool


def _partitions(lines: list[str]) -> dict[str, _Partition]:
    found: dict[str, _Partition] = {}
    for line in lines:
        name, time, memory, gres, state = line.split("|")
        one = _Partition(_minutes(time), int(memory.rstrip("+")), gres, state == "up")
        before = found.get(name)
        # Nodes of several kinds: the largest memory, and all that any of them has.
        found[name] = (
            one
            if before is None
            else _Partition(
                one.minutes,
                max(one.memory, before.memory),
                f"{before.gres},{one.gres}",
                one.up,
            )
        )
    return found


def _partition(partitions: dict[str, _Partition], name: str, place: str) -> Iterator[Finding]:
    if name in partitions:
        up = partitions[name].up
        yield Finding("ok" if up else "bad", f"partition {name} is {'up' if up else 'down'}")
    else:
        advice = f"set slurm_partition in {place} of the profile to one of the above"
        yield Finding("bad", f"partition {name!r} is not there", advice)


def _enough(study: Study, partition: _Partition, name: str, retries: int) -> Iterator[Finding]:
    """Whether a partition can take the largest trainings, also when they are tried again."""
    gpu = gpu_wanted(study, elsewhere=True)
    if gpu and "gpu" not in partition.gres:
        yield Finding("bad", f"partition {name} has no GPU", "choose another in set-resources")
    try:
        found = trainings(study, count_slices(study))
    except InputError:  # said already
        return
    minutes = max(limits.training_minutes(t.plan, t.slices, gpu, 1) for t in found)
    memory = max(limits.training_memory(t.plan, t.slices, gpu, 1) for t in found)
    attempts: list[tuple[Verdict, int, str]] = [("bad", 1, "")]
    if retries:
        attempts.append(("look", 1 + retries, f" in attempt {1 + retries}"))
    for verdict, attempt, when in attempts:
        asked = minutes * attempt, memory * attempt
        short = []
        if asked[0] > partition.minutes:
            short.append(f"{asked[0]} min, partition {name} allows {partition.minutes:.0f}")
        if asked[1] > partition.memory:
            short.append(f"{asked[1]} MiB, nodes of {name} have {partition.memory}")
        for what in short:
            advice = "such a job would wait for ever; choose another partition in set-resources"
            yield Finding(verdict, f"a training{when} asks for {what}", advice)
        if short:
            return
    yield Finding("ok", f"partition {name} has the {minutes} min and {memory} MiB asked for")


def _minutes(limit: str) -> float:
    """SLURM's `days-hours:minutes:seconds`, or fewer of them, `infinite` or `n/a`."""
    if limit in ("infinite", "n/a"):
        return math.inf
    days, _, clock = limit.rpartition("-")
    parts = [int(part) for part in clock.split(":")]
    if days:  # then hours come first, else seconds last
        parts += [0] * (3 - len(parts))
    while len(parts) < 3:
        parts.insert(0, 0)
    return int(days or 0) * 1440 + parts[0] * 60 + parts[1] + parts[2] / 60


def _as_mapping(given: Any) -> dict[str, Any]:
    """Resources as a profile may give them: a mapping, or a list of `name=value`."""
    if isinstance(given, list):
        return dict(item.split("=", 1) for item in given)
    return given if isinstance(given, dict) else {}


def _first_line(*command: str) -> str:
    return (lines_of(*command) or [""])[0]
