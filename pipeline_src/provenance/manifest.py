"""What made a result: code, packages and machine."""

from __future__ import annotations

import os
import platform
import resource
import subprocess
import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

from pipeline_src import IMPORT_STARTED
from pipeline_src.acceleration.fork_client import FORKED
from pipeline_src.errors import InputError
from pipeline_src.files import read_json, sha256_file, write_json
from pipeline_src.modules import PACKAGE

REPORTED_PACKAGES = ("torch", "numpy", "scipy", "scikit-image", "h5py", "nibabel", "pandas")


def package_versions() -> dict[str, str]:
    """Versions of the packages that shape a number, and of Python."""
    return {"python": platform.python_version()} | {
        name: metadata.version(name) for name in REPORTED_PACKAGES
    }


def git_commit() -> str | None:
    """The commit of the checkout that runs, with ``-dirty`` for local edits; None where git does
    not tell it."""
    return _described()[0]


def commit_problem() -> str:
    """Why the commit is not known, in one line: ``outside git`` or git's own reason, such as that
    the checkout belongs to another user; empty where it is known."""
    return _described()[1]


def _described() -> tuple[str | None, str]:
    """The commit or None, and why it is not known."""
    # Git's refusal to look into another user's checkout is left as it is: what lies there, such as
    # the programs that its configuration names, would be run.
    try:
        done = subprocess.run(
            ["git", "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"],
            cwd=PACKAGE,
            capture_output=True,
            text=True,
            timeout=10,
            env={**os.environ, "LC_ALL": "C"},
        )
    except FileNotFoundError:
        return None, "git is not installed"
    except (OSError, subprocess.SubprocessError) as error:
        return None, f"git cannot be asked ({error})"
    if not done.returncode:
        return done.stdout.strip(), ""
    said = (done.stderr.strip().splitlines() or [f"git failed with status {done.returncode}"])[0]
    reason = said.removeprefix("fatal: ")
    return None, "outside git" if reason.startswith("not a git repository") else reason


def machine() -> dict[str, Any]:
    """The processor, its core count, and the operating system."""
    model = platform.processor() or platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        for line in cpuinfo.read_text().splitlines():
            if line.startswith("model name"):
                model = line.split(":", 1)[1].strip()
                break
    return {"processor": model, "cores": os.cpu_count(), "system": platform.platform()}


def record() -> dict[str, Any]:
    """Everything above as one block for a manifest; `commit_problem` where there is no commit."""
    commit, problem = git_commit(), {}
    if commit is None:
        problem["commit_problem"] = commit_problem()
    return {"commit": commit, **problem, "packages": package_versions(), "machine": machine()}


class Sitting:
    """One process's share of a result: when, where, how long, and the energy where it is told.

    The energy is the processor's as a whole, from the counters of Linux's powercap; it takes part
    in whatever else the machine did.
    """

    def __init__(self) -> None:
        self._started = datetime.now(UTC)
        self._clock = time.perf_counter()
        self._startup = self._clock - IMPORT_STARTED
        self._joules = 0.0
        self._counters = _energy_counters()
        self._sample = {path: _read_number(path) for path in self._counters}

    def so_far(self) -> dict[str, Any]:
        """Start, seconds since, seconds of importing before, whether the process is a fork that
        imported less, its processor time, peak memory and joules (null where the platform does not
        tell) and machine. The memory of a fork counts what its server had imported."""
        for path, counter_range in self._counters.items():
            before, now = self._sample[path], _read_number(path)
            self._sample[path] = now
            # The counters wrap around.
            self._joules += ((now - before) % counter_range if counter_range else 0) / 1e6
        return {
            "started": self._started.isoformat(timespec="milliseconds"),
            "seconds": round(time.perf_counter() - self._clock, 3),
            "startup_seconds": round(self._startup, 3),
            "forked": FORKED in os.environ,
            "processor_seconds": round(time.process_time() + _of_children(), 2),
            "peak_memory_mib": _peak_memory(),
            "energy_joules": round(self._joules, 1) if self._counters else None,
            "host": platform.node(),
            "job": os.environ.get("SLURM_JOB_ID"),
            "gpus": os.environ.get("SLURM_STEP_GPUS") or os.environ.get("CUDA_VISIBLE_DEVICES"),
            **machine(),
        }


def _of_children() -> float:
    """Processor time of the processes that this one has started and waited for."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _peak_memory() -> int | None:
    """The most memory that this process held, in MiB.

    `getrusage` would count the process that started it too.
    """
    try:
        lines = Path("/proc/self/status").read_text().splitlines()
    except OSError:
        return None
    return next((int(line.split()[1]) // 1024 for line in lines if "VmHWM" in line), None)


def _energy_counters() -> dict[Path, float]:
    """Readable energy counters of processor packages, and the range of each in microjoules."""
    found = {}
    for folder in Path("/sys/class/powercap").glob("intel-rapl:[0-9]"):
        try:
            path, limit = folder / "energy_uj", folder / "max_energy_range_uj"
            _read_number(path)
            found[path] = _read_number(limit)
        except (OSError, ValueError):
            continue
    return found


def _read_number(path: Path) -> float:
    return float(path.read_text())


def refuse_manifest_of_other(path: Path, command: str) -> None:
    """Refuse to put a manifest where that of another command's result lies.

    Raises:
        InputError: it lies there.
    """
    made = read_json(path) if path.exists() else {}
    other = made.get("command", command) if isinstance(made, dict) else command
    if other != command:
        raise InputError(
            f"{path}: tells what the command {other} made; give {command} another --output"
        )


def write_manifest(
    path: Path,
    *,
    command: str,
    inputs: Mapping[str, Path],
    outputs: Sequence[Path],
    settings: Mapping[str, Any],
    code: Mapping[str, str],
    sittings: list[dict[str, Any]],
    facts: Mapping[str, Any],
) -> None:
    """Write the manifest of a result: what went in, what came out, and what made it.

    Paths in it are relative to its folder, so that results can be moved as a whole.

    Args:
        inputs: files by role, such as `mask`; a list has roles `metrics/0`, `metrics/1` ...
        outputs: files beside the manifest.
        settings: the part of the configuration that defines the result.
        code: digests of the source files that shaped the numbers, by name.
        facts: whatever else the result needs told, such as labels.
    """
    # Resolved, since the results may lie behind a link to another disk.
    folder = path.parent.resolve()
    write_json(
        path,
        {
            "command": command,
            **facts,
            "inputs": {
                role: {
                    "path": os.path.relpath(file.resolve(), folder),
                    "size": file.stat().st_size,
                    "modified": file.stat().st_mtime_ns,
                    "sha256": sha256_file(file),
                }
                for role, file in inputs.items()
            },
            "outputs": {
                os.path.relpath(file.resolve(), folder): sha256_file(file) for file in outputs
            },
            "settings": dict(settings),
            "code": dict(code),
            "sittings": sittings,
            "made_by": record(),
        },
    )
