"""`python -m benchmarks.overhead results/demo --cores 2`: what a finished run spent on what.

The run's wall time times its cores, split into epochs of training, evaluation, tables and figures
(each process from its start of work), and the rest: starting processes, imports, Snakemake, and
cores that had nothing to do.
"""

from __future__ import annotations

import argparse
import csv
from datetime import datetime, timedelta
from pathlib import Path

from pipeline_src.files import read_json


def main() -> None:
    """Print the split."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.overhead", description=__doc__)
    parser.add_argument("results", type=Path, help="results of one uninterrupted run")
    parser.add_argument("--cores", type=int, required=True, help="cores that it was given")
    options = parser.parse_args()
    spent: dict[str, float] = {}
    starts, ends = [], []
    for path in sorted(options.results.rglob("*manifest.json")):
        manifest = read_json(path)
        for sitting in manifest["sittings"]:
            started = datetime.fromisoformat(sitting["started"])
            starts.append(started)
            ends.append(started + timedelta(seconds=sitting["seconds"]))
        command = manifest["command"]
        if command == "train":
            spent["epochs of training"] = spent.get("epochs of training", 0) + sum(
                _seconds(path.parent / name) for name in manifest["histories"]
            )
    for path in sorted((options.results / "benchmarks" / "evaluate").glob("*.tsv")):
        with path.open() as stream:
            rows = list(csv.DictReader(stream, delimiter="\t"))
        spent["evaluation"] = spent.get("evaluation", 0) + sum(float(row["s"]) for row in rows)
    wall = (max(ends) - min(starts)).total_seconds()
    total = wall * options.cores
    print(f"{wall:.0f} s on {options.cores} cores, from the first job's start to the last's end")
    for what, seconds in spent.items():
        print(f"{what:20} {seconds:8.0f} core seconds  {seconds / total:6.1%}")
    rest = total - sum(spent.values())
    print(f"{'the rest':20} {rest:8.0f} core seconds  {rest / total:6.1%}")


def _seconds(history: Path) -> float:
    with history.open() as stream:
        return sum(float(row["seconds"]) for row in csv.DictReader(stream))


if __name__ == "__main__":
    main()
