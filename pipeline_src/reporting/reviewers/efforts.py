"""Lists the time, memory, energy and machines that a study used, as text."""

from __future__ import annotations

from pipeline_src.planning.model_names import split_model_name, split_variant
from pipeline_src.provenance.manifest import UNKNOWN
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
    together = Effort()
    for effort in steps.values():
        together = together.with_all_of(effort)
    return [_row(step, effort) for step, effort in {**steps, "together": together}.items()]


def _row(step: str, effort: Effort) -> tuple[str, ...]:
    results = f"{effort.found}"
    if missing := effort.expected - effort.found:
        results = f"{effort.found} of {effort.expected}, {missing} {UNKNOWN}"
    if not effort.runs:
        return (step, results, *(UNKNOWN,) * 5)
    return (
        step,
        results,
        str(effort.runs),
        duration(effort.seconds),
        _partly(duration(effort.processor_seconds), effort.with_processor_seconds, effort, UNKNOWN),
        UNKNOWN if effort.peak_mib is None else _memory(effort.peak_mib),
        _partly(_energy(effort.joules), effort.with_joules, effort, NOT_MEASURED),
    )


def _partly(text: str, known: int, effort: Effort, otherwise: str) -> str:
    """A sum, and for how many processes it is known if not for all."""
    if not known:
        return otherwise
    return text if known == effort.runs else f"{text} in {known} of {effort.runs}"


def duration(seconds: float) -> str:
    """A duration in the largest unit, up to hours, in which it is two or more."""
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"


def _memory(mib: float) -> str:
    return f"{mib:.0f} MiB" if mib < 1024 else f"{mib / 1024:.1f} GiB"


def _energy(joules: float) -> str:
    watt_hours = joules / 3600
    return f"{watt_hours:.2g} Wh" if watt_hours < 1000 else f"{watt_hours / 1000:.2f} kWh"


def machine_rows(records: Records) -> list[tuple[str, ...]]:
    """Processor, cores, system, device of trainings, number of processes and their time, per
    machine.
    """
    rows: list[tuple[str, ...]] = []
    for (processor, cores, system, device), effort in sorted(
        records.machines.items(), key=lambda pair: pair[0]
    ):
        trained_on = f"{device} (model {UNKNOWN})" if device == "cuda" else device
        told = (processor, cores, system, trained_on or "no training")
        rows.append((*told, str(effort.runs), duration(effort.seconds)))
    return rows or [(UNKNOWN,) * 6]


def gpu_rows(records: Records) -> list[tuple[str, ...]]:
    """GPU, number of processes, peak memory and energy, per model of GPU; none if none was used."""
    found: dict[str, Effort] = {}
    for (*_, device), effort in sorted(records.machines.items(), key=lambda pair: pair[0]):
        if effort.gpu_runs:
            found[device] = found.get(device, Effort()).with_all_of(effort)
    rows: list[tuple[str, ...]] = []
    for device, effort in found.items():
        energy = NOT_MEASURED
        if effort.with_gpu_joules:
            energy = _energy(effort.gpu_joules)
            if effort.with_gpu_joules < effort.gpu_runs:
                energy += f" in {effort.with_gpu_joules} of {effort.gpu_runs}"
        peak = UNKNOWN if effort.gpu_peak_mib is None else _memory(effort.gpu_peak_mib)
        rows.append((device, f"{effort.gpu_runs}", peak, energy))
    return rows


def model_lines(records: Records) -> list[str]:
    """A line for each model that has a manifest: trainings and their time."""
    return [
        f"{_title(name)}: {counted([effort.found], 'training')}, {duration(effort.seconds)}"
        for name, effort in records.by_model.items()
        if effort.found
    ]


def _title(name: str) -> str:
    variant = split_variant(name)[1]
    title = full_title(*split_model_name(name))
    return f"{title} ({variant})" if variant else title
