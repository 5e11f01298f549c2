"""Measures one run of a command for the manifests of its results."""

from __future__ import annotations

import os
import platform
import resource
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pipeline_src import IMPORT_STARTED
from pipeline_src.acceleration.fork_client import FORKED
from pipeline_src.provenance.environment import machine, status_kib


class RunRecorder:
    """Measures what one process spends on a result: when, where, how long, and how much energy.

    The energy is that of the whole processor, from the counters of Linux's powercap; it includes
    whatever else the machine did.
    """

    def __init__(self) -> None:
        self._started = datetime.now(UTC)
        self._clock = time.perf_counter()
        self._startup = self._clock - IMPORT_STARTED
        self._joules = 0.0
        self._counters = _energy_counters()
        self._sample = {path: _read_number(path) for path in self._counters}

    def so_far(self) -> dict[str, Any]:
        """Start, seconds since then, seconds of importing before, whether the process is a fork
        that imported less, its processor time, peak memory and joules (None if the platform does
        not provide them) and machine.

        The memory of a fork includes what its server had imported.
        """
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
        return status_kib("VmHWM") // 1024
    except OSError:
        return None


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
