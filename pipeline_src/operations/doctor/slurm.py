"""Checks whether a cluster can run a study's jobs: SLURM, its partitions and accounts, the
plugin.
"""

from __future__ import annotations

import importlib.metadata
import math
import os
import re
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from pipeline_src.config import Study
from pipeline_src.errors import InputError
from pipeline_src.modules import PACKAGE
from pipeline_src.operations.cluster.slurm import lines_of
from pipeline_src.operations.doctor import Finding, Severity
from pipeline_src.operations.doctor.accounts import examine_accounts
from pipeline_src.operations.estimate.study import count_slices, trainings
from pipeline_src.operations.estimate.work import training_memory, training_minutes
from pipeline_src.operations.preflight import gpu_wanted

#: The pinned version, with which `tests/cluster` was run.
PLUGIN, TESTED = "snakemake-executor-plugin-slurm", "2.8.0"
RULES = PACKAGE.parent / "workflow" / "rules"


def training_rules() -> list[str]:
    """Names of the rules that train, read from the files that define them."""
    text = "".join((RULES / f"{name}.smk").read_text() for name in ("training", "distillation"))
    return re.findall(r"^(?:use rule \w+ as|rule) (\w+)", text, re.MULTILINE)


def examine_plugin() -> Iterator[Finding]:
    """Check that Snakemake's plugin for SLURM is installed, in the version that was tested."""
    wanted = f"{PLUGIN}=={TESTED}"
    try:
        version = importlib.metadata.version(PLUGIN)
    except importlib.metadata.PackageNotFoundError:
        yield Finding("error", f"{PLUGIN} is not installed", f"pip install {wanted}")
        return
    if version == TESTED:
        yield Finding("ok", f"{PLUGIN} {version}, the version that was tested")
    else:
        yield Finding("warning", f"{PLUGIN} {version} was not tested", f"pip install {wanted}")


def examine_slurm(study: Study, settings: dict[str, Any]) -> Iterator[Finding]:
    """Check that SLURM answers, and has the account, partitions, time and memory that jobs ask for.

    Args:
        study: the study whose trainings are to run.
        settings: the settings of Snakemake's profile.
    """
    missing = [name for name in ("sbatch", "squeue", "scancel", "sinfo") if not shutil.which(name)]
    if missing:
        yield Finding("error", f"no {', '.join(missing)} here", "go to a login node of the cluster")
        return
    partitions = _partitions()
    if not partitions:
        yield Finding("error", "SLURM does not answer (sinfo fails)", "ask its administrator")
        return
    yield Finding("ok", f"SLURM answers; partitions: {', '.join(sorted(partitions))}")
    if os.environ.get("SLURM_JOB_ID"):
        advice = "start Snakemake on a login node"
        yield Finding(
            "warning", "this is a job of SLURM; Snakemake would submit from within", advice
        )
    default = _as_mapping(settings.get("default-resources")).get("slurm_partition")
    if default is None:
        yield Finding(
            "warning", "no slurm_partition in default-resources: SLURM's default is taken"
        )
    else:
        yield from _partition(partitions, str(default), "default-resources")
    given = settings.get("set-resources")
    rules = given if isinstance(given, dict) else {}
    if given and not rules:
        yield Finding("warning", "set-resources is not a mapping of rules; it was not checked")
    own = [resources for resources in rules.values() if isinstance(resources, dict)]
    defaults = _as_mapping(settings.get("default-resources"))
    yield from examine_accounts([defaults, *own], settings)
    training = training_rules()
    left_out = [rule for rule in training if rule not in rules]
    if rules and 0 < len(left_out) < len(training):
        yield Finding(
            "warning",
            f"set-resources has no {', '.join(left_out)}: those trainings get default-resources",
            "give them what the other trainings have, as the profile that comes with the project",
        )
    trains = {
        str(resources.get("slurm_partition", default))
        for rule, resources in rules.items()
        if rule in training and isinstance(resources, dict)
    }
    for name in sorted(trains - {"None"}):
        known = list(_partition(partitions, name, "set-resources"))
        yield from known if name != str(default) else ()
        if known[0].verdict == "ok":
            yield from _enough(study, partitions[name], name, int(settings.get("retries", 0)))
    asks = any(isinstance(r, dict) and (r.get("gpu") or r.get("gres")) for r in rules.values())
    if asks and not gpu_wanted(study, elsewhere=True):
        advice = "set training.device: auto, or take the GPU lines out of the profile"
        yield Finding("warning", "GPUs are asked for, but training.device is cpu", advice)


@dataclass(frozen=True)
class _Partition:
    """What `sinfo` reports about a partition: time in minutes, memory in MiB and processors of a
    node, generic resources."""

    minutes: float
    memory: int
    processors: int
    gres: str
    up: bool

    def lacks(self, name: str, asked: _Largest, attempt: int) -> list[str]:
        """What the largest training asks for, in some attempt, and this partition does not have."""
        minutes, memory = asked.minutes * attempt, asked.memory * attempt
        lacking = []
        if minutes > self.minutes:
            lacking.append(f"{minutes} min, partition {name} allows {self.minutes:.0f}")
        if memory > self.memory:
            lacking.append(f"{memory} MiB, nodes of {name} have {self.memory}")
        if asked.threads > self.processors:
            lacking.append(f"{asked.threads} threads, nodes of {name} have {self.processors}")
        return lacking


@dataclass(frozen=True)
class _Largest:
    """The most that a study's trainings ask for in their first attempt: minutes, MiB, threads, and
    whether they ask for a GPU."""

    minutes: int
    memory: int
    threads: int
    gpu: bool

    @classmethod
    def of(cls, study: Study) -> _Largest:
        """Of a study.

        Raises:
            InputError: its data cannot be read.
        """
        gpu = gpu_wanted(study, elsewhere=True)
        found = trainings(study, count_slices(study))
        return cls(
            max(training_minutes(t.plan, t.slices, gpu, 1) for t in found),
            max(training_memory(t.plan, t.slices, gpu, 1) for t in found),
            study.training.threads,
            gpu,
        )


def _partitions() -> dict[str, _Partition]:
    """Those of this cluster; none where SLURM does not answer."""
    found: dict[str, _Partition] = {}
    for line in filter(None, lines_of("sinfo", "--noheader", "-o", "%R|%l|%m|%c|%G|%a") or []):
        name, time, memory, processors, gres, state = line.split("|")
        sizes = int(memory.rstrip("+")), int(processors.rstrip("+"))
        one = _Partition(_minutes(time), *sizes, gres, state == "up")
        before = found.get(name)
        # Nodes of several kinds: the largest of each, and everything that any of them has.
        found[name] = (
            one
            if before is None
            else _Partition(
                one.minutes,
                max(one.memory, before.memory),
                max(one.processors, before.processors),
                f"{before.gres},{one.gres}",
                one.up,
            )
        )
    return found


def refuse_too_large(study: Study) -> None:
    """Refuse a study whose largest training no partition of this cluster can run; where there is no
    SLURM, nothing is known.

    Raises:
        InputError: it is too large, or its data cannot be read.
    """
    partitions, asked = _partitions(), _Largest.of(study)
    if asked.gpu and partitions:
        partitions = {name: one for name, one in partitions.items() if "gpu" in one.gres}
        if not partitions:
            raise InputError(
                "estimate: no partition of this cluster has a GPU; set training.device: cpu"
            )
    lacking = [one.lacks(name, asked, 1) for name, one in partitions.items()]
    if lacking and all(lacking):
        raise InputError(
            "estimate: no partition of this cluster runs the largest training, which asks for "
            + "; ".join(what for of_one in lacking for what in of_one)
        )


def _partition(partitions: dict[str, _Partition], name: str, place: str) -> Iterator[Finding]:
    if name in partitions:
        up = partitions[name].up
        yield Finding("ok" if up else "error", f"partition {name} is {'up' if up else 'down'}")
    else:
        advice = f"set slurm_partition in {place} of the profile to one of the above"
        yield Finding("error", f"partition {name!r} is not there", advice)


def _enough(study: Study, partition: _Partition, name: str, retries: int) -> Iterator[Finding]:
    """Check that a partition can run the largest trainings, also when they are retried."""
    if gpu_wanted(study, elsewhere=True) and "gpu" not in partition.gres:
        yield Finding("error", f"partition {name} has no GPU", "choose another in set-resources")
    try:
        largest = _Largest.of(study)
    except InputError:  # already reported
        return
    attempts: list[tuple[Severity, int, str]] = [("error", 1, "")]
    if retries:
        attempts.append(("warning", 1 + retries, f" in attempt {1 + retries}"))
    for verdict, attempt, when in attempts:
        lacking = partition.lacks(name, largest, attempt)
        for what in lacking:
            advice = "such a job would wait forever; choose another partition in set-resources"
            yield Finding(verdict, f"a training{when} asks for {what}", advice)
        if lacking:
            return
    has = f"{largest.minutes} min and {largest.memory} MiB"
    yield Finding("ok", f"partition {name} has the {has} asked for")


def _minutes(limit: str) -> float:
    """SLURM's `days-hours:minutes:seconds`, or fewer parts, `infinite` or `n/a`, in minutes."""
    if limit in ("infinite", "n/a"):
        return math.inf
    days, _, clock = limit.rpartition("-")
    parts = [int(part) for part in clock.split(":")]
    if days:  # then the first part is hours, otherwise the last part is seconds
        parts += [0] * (3 - len(parts))
    while len(parts) < 3:
        parts.insert(0, 0)
    return int(days or 0) * 1440 + parts[0] * 60 + parts[1] + parts[2] / 60


def _as_mapping(given: Any) -> dict[str, Any]:
    """Resources in either form of a profile: a mapping, or a list of `name=value`."""
    if isinstance(given, list):
        return dict(item.split("=", 1) for item in given)
    return given if isinstance(given, dict) else {}
