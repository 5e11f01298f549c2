"""`python -m benchmarks.planning`: how long Snakemake plans studies of growing size, and in what
memory. Nothing is trained; the studies are drawn phantoms that are never drawn."""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import yaml
from tabulate import tabulate

#: Seeds of a study with four data sets at two accelerations and fifteen models.
SEEDS = (1, 5, 10, 20, 40, 80)
PROFILE = "workflow/profiles/slurm"


def main() -> None:
    """Print a row per size."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.planning", description=__doc__)
    parser.add_argument("--seeds", type=int, nargs="+", default=list(SEEDS), help="of each study")
    options = parser.parse_args()
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for seeds in options.seeds:
            path = Path(folder) / f"{seeds}.yaml"
            path.write_text(yaml.safe_dump(study(seeds)))
            rows.append((seeds, *plan(path)))
    headers = ("seeds", "jobs", "seconds", "peak memory (MiB)", "ms a job")
    print(tabulate(rows, headers=headers, floatfmt=".1f"))


def study(seeds: int) -> dict[str, object]:
    """A study of that many seeds."""
    dataset = {
        "source": {
            "kind": "phantom",
            "anatomy": "cardiac",
            "patients": 4,
            "slices": 2,
            "matrix": 32,
        },
        "preparation": {"matrix": [32, 32]},
        "split": {"train": 2, "validation": 1, "test": 1},
    }
    return {
        "study": "planned",
        "seeds": list(range(seeds)),
        "accelerations": [4, 5],
        "datasets": {f"set{number}": dataset for number in range(4)},
        "sampling": {"center_lines": 4},
    }


def plan(config: Path) -> tuple[int, float, float, float]:
    """Jobs, seconds, the process's peak memory in MiB, and milliseconds a job of a dry run."""
    command = [sys.executable, "-m", "snakemake", "-n", "--profile", PROFILE]
    started = time.perf_counter()
    # In a process of its own each time, since the system keeps the maximum over all children.
    measure = (
        "import resource, subprocess, sys; "
        "done = subprocess.run(sys.argv[1:], capture_output=True, text=True, check=True); "
        "print(next(line.split()[1] for line in done.stdout.splitlines() "
        "if line.startswith('total')), resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)"
    )
    done = subprocess.run(
        [sys.executable, "-c", measure, *command, "--configfile", str(config)],
        capture_output=True,
        text=True,
        check=True,
    )
    seconds = time.perf_counter() - started
    jobs, kibibytes = map(int, done.stdout.split())
    return jobs, seconds, kibibytes / 1024, 1000 * seconds / jobs


if __name__ == "__main__":
    main()
