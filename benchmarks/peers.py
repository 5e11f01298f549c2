"""`python -m benchmarks.peers --python OTHER/bin/python`: the engine's steps against libraries'.

torchdistill distils by attention transfer and deepinv trains a teacher, both with the textbook's
networks and losses (`benchmarks.peer_loops`); their first loss is compared with the textbook's.
They need torchvision, and so a torch of their own:

    python3.11 -m venv OTHER
    OTHER/bin/pip install torchdistill==1.1.5 deepinv==0.5.0 torchvision h5py pydantic regex

All work in turns, each in a process of its own, and ratios are taken within each turn.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import statistics
import subprocess
import tempfile
from collections import defaultdict
from dataclasses import replace
from multiprocessing.connection import Connection
from pathlib import Path

import numpy as np
from tabulate import tabulate

from benchmarks.__main__ import run_round, start
from benchmarks.contenders import BATCH, Work, write_data
from pipeline_src.sampling.masks import read_mask

ROOT = Path(__file__).resolve().parents[1]
#: Each library's kind of step, as `peer_loops.LOOPS` has it.
PEERS = {"torchdistill": "at_features", "deepinv": "teacher"}
OTHERS = ("textbook", "fp32", "bf16")


def main() -> None:
    """Measure and print a table."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.peers",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--python", type=Path, required=True, help="of the libraries' environment")
    parser.add_argument("--size", type=int, default=150)
    parser.add_argument("--rounds", type=int, default=3, help="times that processes start anew")
    parser.add_argument("--turns", type=int, default=3, help="per round, after one to warm up")
    parser.add_argument("--steps", type=int, default=2, help="per turn")
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    rows = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_data(folder, options.size)
        np.save(folder / "mask.npy", read_mask(folder / "mask.npz").samples)

        def started(work: Work) -> Connection:
            return _start_peer(options.python, work) if work.contender in PEERS else start(work)

        for peer, kind in PEERS.items():
            work = Work("fp32", kind, folder, options.threads, "cpu")
            works = {name: replace(work, contender=name) for name in (peer, *OTHERS)}
            seconds: dict[tuple[str, str], list[float]] = defaultdict(list)
            for _ in range(options.rounds):
                summaries = run_round(works, seconds, options.turns, options.steps, started)
            slow = seconds[peer, "steps"]
            for name in works:
                own = seconds[name, "steps"]
                ratios = [theirs / ours for theirs, ours in zip(slow, own, strict=True)]
                rows.append(
                    [
                        kind,
                        summaries[peer]["convolutions"] if name == peer else name,
                        f"{1000 * statistics.median(own):.0f}",
                        f"{statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})",
                        f"{summaries[name]['peak_mib']:.0f}",
                    ]
                )
    size = f"{options.size} x {options.size}"
    print(f"{size}, batch {BATCH}, {options.threads} threads")
    heads = ["step", "by", "ms", "times as fast as the library: median (range)", "peak MiB"]
    print(tabulate(rows, heads, tablefmt="github", disable_numparse=True))


def _start_peer(python: Path, work: Work) -> Connection:
    ours, theirs = multiprocessing.Pipe()
    command = [str(python), "-m", "benchmarks.peer_loops", str(theirs.fileno()), work.contender]
    command += [str(work.folder), str(BATCH), str(work.threads)]
    subprocess.Popen(
        command,
        pass_fds=[theirs.fileno()],
        cwd=ROOT,
        env={k: v for k, v in os.environ.items() if k != "PYTHONPATH"},
    )
    theirs.close()
    return ours


if __name__ == "__main__":
    main()
