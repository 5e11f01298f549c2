"""Lists the time, memory, energy and machines that a study used, as text."""

from __future__ import annotations

from collections.abc import Callable

from pipeline_src.planning.model_names import split_model_name, split_variant
from pipeline_src.provenance.manifest import UNKNOWN, Run
from pipeline_src.reporting.display_names import counted, full_title
from pipeline_src.reporting.reviewers.records import Effort, Records

#: For values that were not measured because most machines have no readable counter.
NOT_MEASURED = "not measured"


def effort_rows(records: Records) -> list[tuple[str, ...]]:
    """Step, results, processes, time, processor time, peak memory and energy of each step and in
    total.
    """
    steps = {
        "preparation": records.preparation,
        "training": records.training,
        "evaluation": records.evaluation,
    }
    rows = [_row(step, [effort]) for step, effort in steps.items()]
    return [*rows, _row("together", list(steps.values()))]


def _row(step: str, efforts: list[Effort]) -> tuple[str, ...]:
    found, expected = (sum(getattr(e, name) for e in efforts) for name in ("found", "expected"))
    results = f"{found}"
    if missing := expected - found:
        results = f"{found} of {expected}, {missing} {UNKNOWN}"
    runs = [run for effort in efforts for run in effort.runs]
    if not runs:
        return (step, results, *(UNKNOWN,) * 5)
    return (
        step,
        results,
        str(len(runs)),
        _time(runs),
        _sum(runs, "processor_seconds", _duration, UNKNOWN),
        _peak(runs, "peak_memory_mib"),
        _sum(runs, "energy_joules", _energy, NOT_MEASURED),
    )


def _known(runs: list[Run], name: str) -> list[float]:
    return [value for run in runs if (value := getattr(run, name)) is not None]


def _sum(runs: list[Run], name: str, text: Callable[[float], str], otherwise: str) -> str:
    """A sum, and for how many processes it is known if not for all."""
    if not (known := _known(runs, name)):
        return otherwise
    of_some = f" in {len(known)} of {len(runs)}" if len(known) < len(runs) else ""
    return text(sum(known)) + of_some


def _peak(runs: list[Run], name: str) -> str:
    """The most memory that one process used."""
    if not (known := _known(runs, name)):
        return UNKNOWN
    mib = max(known)
    return f"{mib:.0f} MiB" if mib < 1024 else f"{mib / 1024:.1f} GiB"


def _time(runs: list[Run]) -> str:
    return _duration(sum(run.seconds for run in runs))


def _duration(seconds: float) -> str:
    """In the largest unit, up to hours, in which it is two or more."""
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"


def _energy(joules: float) -> str:
    watt_hours = joules / 3600
    return f"{watt_hours:.2g} Wh" if watt_hours < 1000 else f"{watt_hours / 1000:.2f} kWh"


def machine_rows(records: Records) -> list[tuple[str, ...]]:
    """Processor, cores, system, device of trainings, number of processes and their time, per
    machine.
    """
    rows: list[tuple[str, ...]] = []
    for (processor, cores, system, device), runs in sorted(records.machines.items()):
        trained_on = f"{device} (model {UNKNOWN})" if device == "cuda" else device
        told = (processor, cores, system, trained_on or "no training")
        rows.append((*told, str(len(runs)), _time(runs)))
    return rows or [(UNKNOWN,) * 6]


def gpu_rows(records: Records) -> list[tuple[str, ...]]:
    """GPU, number of processes, peak memory and energy, per model of GPU; none if none was used."""
    found: dict[str, list[Run]] = {}
    for (*_, device), runs in sorted(records.machines.items()):
        if on_gpu := [run for run in runs if run.gpu_peak_memory_mib is not None]:
            found.setdefault(device, []).extend(on_gpu)
    return [
        (
            device,
            str(len(runs)),
            _peak(runs, "gpu_peak_memory_mib"),
            _sum(runs, "gpu_energy_joules", _energy, NOT_MEASURED),
        )
        for device, runs in found.items()
    ]


def model_lines(records: Records) -> list[str]:
    """A line for each model that has a manifest: trainings and their time."""
    return [
        f"{_title(name)}: {counted([effort.found], 'training')}, {_time(effort.runs)}"
        for name, effort in records.by_model.items()
        if effort.found
    ]


def _title(name: str) -> str:
    variant = split_variant(name)[1]
    title = full_title(*split_model_name(name))
    return f"{title} ({variant})" if variant else title
