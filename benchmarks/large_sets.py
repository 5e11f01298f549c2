"""`python -m benchmarks.large_sets --slices 4000`: what a set costs that stays in its file.

The same store of noise is trained on in turns, in processes of their own: held in memory, and
mapped from its file. Steps are the student's at 512 x 512, which take the least time for the bytes
that they read. What mapping costs where the file does not fit into memory is seen under a limit:
`systemd-run --scope -p MemoryMax=3G python -m benchmarks.large_sets --only mapped`.
"""

from __future__ import annotations

import argparse
import multiprocessing
import statistics
import tempfile
import time
from pathlib import Path
from unittest.mock import patch

import numpy as np
from tabulate import tabulate

from benchmarks.contenders import Engine, Work, index_rows, peak_mib
from pipeline_src.data import store as stores
from pipeline_src.data.preparation import PreparedData
from pipeline_src.data.spool import SpooledSlices
from pipeline_src.data.store import write_store
from pipeline_src.sampling.masks import drawn_mask, write_mask

MATRIX = 512
WAYS = {"held": 1 << 60, "mapped": 0}


def main() -> None:
    """Print a table of both ways."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.large_sets", description=__doc__)
    parser.add_argument("--slices", type=int, default=4000, help="of 1 MiB each (default: 4000)")
    parser.add_argument("--steps", type=int, default=20, help="per turn (default: 20)")
    parser.add_argument("--turns", type=int, default=3, help="of both ways (default: 3)")
    parser.add_argument("--threads", type=int, default=2, help="(default: 2)")
    parser.add_argument("--only", choices=list(WAYS), help="one of the ways")
    options = parser.parse_args()
    ways = [options.only] if options.only else list(WAYS)
    with tempfile.TemporaryDirectory() as name:
        write(Path(name), options.slices)
        context = multiprocessing.get_context("spawn")
        found: dict[str, list[tuple[float, float, float]]] = {way: [] for way in ways}
        for _ in range(options.turns):
            for way in ways:
                with context.Pool(1) as pool:
                    work = (Path(name), way, options.steps, options.threads)
                    found[way].append(pool.apply(measured, work))
    rows = [
        [way, *(statistics.median(values) for values in zip(*turns, strict=True))]
        for way, turns in found.items()
    ]
    heads = ["images", "seconds to read", "ms per step", "peak MiB"]
    print(tabulate(rows, heads, floatfmt=("", ".1f", ".0f", ".0f")))
    if len(ways) == 2:
        pairs = zip(found["mapped"], found["held"], strict=True)
        ratios = [mapped[1] / held[1] for mapped, held in pairs]
        print(f"mapped to held, time per step: {statistics.median(ratios):.3f}")


def write(folder: Path, count: int) -> None:
    """A store of noise and a mask."""
    write_mask(folder / "mask.npz", drawn_mask((MATRIX, MATRIX), 4, 0, 10))
    images, rng = SpooledSlices(folder / "volumes.h5"), np.random.default_rng(0)
    for _ in range(count):
        images.append(rng.random((MATRIX, MATRIX), dtype=np.float32))
    prepared = PreparedData(images=images, slices=index_rows(count, 100))
    write_store(folder / "volumes.h5", prepared, {"dataset": "noise"})


def measured(folder: Path, way: str, steps: int, threads: int) -> tuple[float, float, float]:
    """Seconds to read the store, milliseconds per step, and the process's peak memory in MiB."""
    started = time.perf_counter()
    with patch.object(stores, "MOST_HELD", WAYS[way]):
        engine = Engine(Work("fp32", "student", folder, threads, "cpu"))
    read = time.perf_counter() - started
    engine.steps(2)
    started = time.perf_counter()
    engine.steps(steps)
    seconds = time.perf_counter() - started
    return read, 1000 * seconds / steps, peak_mib("cpu")


if __name__ == "__main__":
    main()
