"""`python -m benchmarks.overhead results/demo --cores 2`: what a finished run spent on what.

The time from the start of the first step's process to the end of the last one's, times the cores,
split into the work of the processes and what they import. Each tells how long it imported before
its work, and what commands other than a training import while they run is timed here, one after the
other, and taken off what they ran. What is left is Snakemake between steps, the start of Python and
of forks, the fork server and cores that had nothing to do.
"""

from __future__ import annotations

import argparse
import csv
import statistics
import subprocess
import sys
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from tabulate import tabulate

from pipeline_src.acceleration.fork_server import LOADED
from pipeline_src.provenance.manifest import Manifest
from pipeline_src.reporting.figures.kinds import KINDS

#: What a command imports besides the command line itself.
IMPORTS = {
    "prepare": "pipeline_src.data.preparation",
    "mask": "pipeline_src.sampling.masks",
    "evaluate": "pipeline_src.evaluation.evaluate",
    "cost": "pipeline_src.evaluation.cost",
    "tables": "pipeline_src.reporting.tables.study_tables",
    "report": "pipeline_src.reporting.report",
}
TRIES = 3


def main() -> None:
    """Print the split."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.overhead", description=__doc__)
    parser.add_argument("results", type=Path, help="results of one uninterrupted run")
    parser.add_argument("--cores", type=int, required=True, help="cores that it was given")
    options = parser.parse_args()
    found = processes(options.results)
    if not found:
        raise SystemExit(f"error: {options.results}: no manifest in it")
    trainings = [one for one in found if one.command == "train"]
    others = [one for one in found if one.command != "train"]
    imports = {
        (modules, forked): import_seconds(modules, forked)
        for modules, forked in {(one.imports, one.forked) for one in others}
    }
    spent = {
        "epochs of training": sum(one.epochs for one in trainings),
        "trainings besides epochs": sum(one.seconds - one.epochs for one in trainings),
        "imports of trainings": sum(one.startup_seconds for one in trainings),
        "evaluation, tables, figures, report": sum(
            # The cost is measured on all cores.
            one.seconds * (options.cores if one.command == "cost" else 1)
            - imports[one.imports, one.forked]
            for one in others
        ),
        "imports of the others": sum(
            one.startup_seconds + imports[one.imports, one.forked] for one in others
        ),
    }
    start = min(one.started - timedelta(seconds=one.startup_seconds) for one in found)
    end = max(one.started + timedelta(seconds=one.seconds) for one in found)
    wall = (end - start).total_seconds()
    total = wall * options.cores
    spent["Snakemake, starts, idle cores"] = total - sum(spent.values())
    forks = sum(one.forked for one in found)
    print(f"{wall:.0f} s on {options.cores} cores, {len(found)} processes, {forks} of them forks")
    rows = [(what, f"{seconds:.0f}", f"{seconds / total:.1%}") for what, seconds in spent.items()]
    print(tabulate(rows, ["", "core seconds", "share"], colalign=("left", "right", "right")))


@dataclass(frozen=True)
class Process:
    """A process of the run.

    Attributes:
        forked: whether packages of others were imported before it started.
        imports: the modules that it imports while it runs, separated by commas.
        epochs: seconds of its epochs of training.
    """

    command: str
    started: datetime
    startup_seconds: float
    seconds: float
    forked: bool
    imports: str
    epochs: float


def processes(results: Path) -> list[Process]:
    """The processes that the manifests tell of."""
    found: dict[tuple[Any, ...], Process] = {}
    for path in sorted(results.rglob("*manifest.json")):
        manifest = Manifest.read(path, "command", "runs")
        command = manifest.command
        imports = IMPORTS.get(command, "")
        if command == "figure":
            module = KINDS[manifest.get("figure")].module
            imports = f"matplotlib.pyplot, pipeline_src.reporting.figures.{module}"
        epochs = sum(_epochs(path.parent / name) for name in manifest.histories)
        for run in manifest.runs:
            if run.started is None or run.startup_seconds is None or run.forked is None:
                raise SystemExit(f"error: {path}: is of a version that did not time its start")
            # An evaluation writes a manifest for each of its results.
            key = (command, run.started, run.startup_seconds)
            if key not in found or found[key].seconds < run.seconds:
                started = datetime.fromisoformat(run.started)
                times = run.startup_seconds, run.seconds
                found[key] = Process(command, started, *times, run.forked, imports, epochs)
    return list(found.values())


def _epochs(history: Path) -> float:
    with history.open() as stream:
        return sum(float(row["seconds"]) for row in csv.DictReader(stream))


def import_seconds(modules: str, forked: bool) -> float:
    """Seconds to import ``modules`` after the command line, or after all that a fork finds."""
    if not modules:
        return 0.0
    before = ["pipeline_src.cli", *(LOADED if forked else ())]
    lines = f"import time, {', '.join(before)}\nstart = time.perf_counter()\nimport {modules}\n"
    lines += "print(time.perf_counter() - start)"
    command = [sys.executable, "-c", lines]
    return statistics.median(
        float(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
        for _ in range(TRIES)
    )


if __name__ == "__main__":
    main()
