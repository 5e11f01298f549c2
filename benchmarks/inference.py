"""`python -m benchmarks.inference`: a slice through teacher and student in every runtime that is
installed, in turns.

Weights are random: they do not change how long a reconstruction takes.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

import torch
from tabulate import tabulate

from pipeline_src.config.networks import Network
from pipeline_src.config.runtimes import RUNTIME_PACKAGES, is_installed
from pipeline_src.evaluation.timing import time_columns
from pipeline_src.inference.bundle import sample_image, write_bundle
from pipeline_src.inference.dccnn import load
from pipeline_src.inference.onnx_export import zero_filled_of
from pipeline_src.inference.runtimes import Exported, timed
from pipeline_src.inference.trained import load_trained
from pipeline_src.models.dccnn import DCCNN
from pipeline_src.models.weights import save_weights
from pipeline_src.provenance.environment import machine
from pipeline_src.reporting.display_names import RUNTIME_TITLES
from pipeline_src.sampling.masks import drawn_mask, write_mask

DEPTHS = {"teacher": 5, "student": 3}


def main() -> None:
    """Measure and print one table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.inference", description=__doc__)
    parser.add_argument("--sizes", type=int, nargs="+", default=[150, 240])
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--repeats", type=int, default=30)
    options = parser.parse_args()
    missing = [name for name in RUNTIME_PACKAGES if not is_installed(name)]
    rows = [
        row
        for size in options.sizes
        for role in DEPTHS
        for row in measured(role, size, options.threads, options.repeats)
    ]
    headings = ["matrix", "network", "threads", *(RUNTIME_TITLES[n] for n in rows[0][3])]
    print(f"Milliseconds per slice (ratio to torch) on {machine()['processor']}, medians of")
    print(f"{options.repeats} turns.\n")
    cells = [[*row[:3], *row[3].values()] for row in rows]
    print(tabulate(cells, headers=headings, tablefmt="github"))
    for name in missing:
        print(f"\n{RUNTIME_TITLES[name]}: not installed")


def measured(
    role: str, size: int, threads: list[int], repeats: int
) -> list[tuple[str, str, int, dict[str, str]]]:
    """For each number of threads, a cell of time and ratio per runtime."""
    network = Network(depth=DEPTHS[role])
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made) / role
        torch.manual_seed(0)
        save_weights(folder / "weights.safetensors", DCCNN(network), model=role)
        write_mask(Path(made) / "mask.npz", drawn_mask((size, size), 4, 0, 10))
        trained = load_trained(folder, Path(made) / "mask.npz")
        bundle = Path(made) / "bundle"
        write_bundle(trained, bundle)
        one = zero_filled_of(load(bundle), sample_image(trained)[0])
        exported = Exported(bundle, lambda: one)
        names = ["torch", *(name for name in RUNTIME_PACKAGES if is_installed(name))]
        rows = []
        for count in threads:
            _, times = timed(exported, names, one, count, repeats)
            found = {name: time_columns("", times, name) for name in names}
            cells = {
                name: f"{cell['milliseconds_a_slice_median']:.1f} "
                f"({cell['milliseconds_ratio']:.2f})"
                for name, cell in found.items()
            }
            rows.append((f"{size} x {size}", network.name, count, cells))
    return rows


if __name__ == "__main__":
    main()
