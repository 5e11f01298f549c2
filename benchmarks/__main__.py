"""`python -m benchmarks`: the engine's training steps against the textbook's.

Both run in turns on the same slices, loading included; a ratio is taken within each turn, and the
table gives its median and range. Beside it stands the ratio that the engine would have if its step
were nothing but convolutions between features, done by torch's library. The textbook's memory goes
back to the kernel in every step, and how many pages that is differs between processes, so each
comparison is made by several pairs.
"""

from __future__ import annotations

import argparse
import csv
import multiprocessing
import platform
import statistics
import tempfile
from collections import defaultdict
from collections.abc import Callable
from dataclasses import replace
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from tabulate import tabulate
from tqdm import tqdm

from benchmarks.contenders import (
    BATCH,
    KINDS,
    METHODS,
    VOLUMES,
    Work,
    count_operations,
    matrix_multiply_rate,
    serve,
    slices_a_volume,
    write_data,
)
from pipeline_src.provenance.environment import machine

#: A whole setting: 13 models, five methods from two teachers in two stages each. The second stage
#: is the same step for all methods.
SETTING = {
    "teacher": 1,
    "student": 1,
    "sft": 1,
    **{f"{method}_features": 2 for method in METHODS},
    "at_reconstruction": 2 * len(METHODS),
}
EPOCHS = 150


def main() -> None:
    """Measure and print the tables; the rows are also written as CSV."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--sizes", type=int, nargs="+", default=[150, 240])
    parser.add_argument("--kinds", nargs="+", choices=KINDS, default=list(KINDS))
    parser.add_argument("--precisions", nargs="+", default=["fp32", "bf16"])
    parser.add_argument("--rounds", type=int, default=3, help="times that processes start anew")
    parser.add_argument("--turns", type=int, default=3, help="turns a round, after one to warm up")
    parser.add_argument("--steps", type=int, default=2, help="steps a turn")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--output", type=Path, default=Path("results/benchmarks/steps.csv"))
    options = parser.parse_args()
    rates = {p: _rate(p, options) for p in options.precisions}
    rows: list[dict[str, Any]] = []
    for size in options.sizes:
        with tempfile.TemporaryDirectory() as folder:
            write_data(Path(folder), size)
            for kind in tqdm(options.kinds, desc=f"{size} x {size}", disable=None):
                rows += compare(kind, size, Path(folder), rates, options)
    options.output.parent.mkdir(parents=True, exist_ok=True)
    with options.output.open("w", newline="") as stream:
        writer = csv.DictWriter(stream, fieldnames=list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    print(report(rows, rates, options))


def _rate(precision: str, options: argparse.Namespace) -> float:
    rate: float = _apart(matrix_multiply_rate, precision, options.device, options.threads)
    return rate


def _apart(function: Callable[..., Any], *arguments: Any) -> Any:
    """Call a function in a process of its own, as the contenders are."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(function, arguments)


def compare(
    kind: str, size: int, folder: Path, rates: dict[str, float], options: argparse.Namespace
) -> list[dict[str, Any]]:
    """One row a precision for one kind of step."""
    first = Work("fp32", kind, folder, options.threads, options.device)
    operations = _apart(count_operations, first)
    works = {c: replace(first, contender=c, operations=operations) for c in options.precisions}
    works["textbook"] = replace(first, contender="textbook")
    seconds: dict[tuple[str, str], list[float]] = defaultdict(list)
    for _ in range(options.rounds):
        summaries = run_round(works, seconds, options.turns, options.steps)
    rows = []
    for precision in options.precisions:
        textbook, own = seconds["textbook", "steps"], seconds[precision, "steps"]
        alone = seconds[precision, "convolutions"]
        ratios = [slow / fast for slow, fast in zip(textbook, own, strict=True)]
        step = statistics.median(own)
        rows.append(
            {
                "size": size,
                "step": kind,
                "precision": precision,
                "ratio_median": statistics.median(ratios),
                "ratio_lowest": min(ratios),
                "ratio_highest": max(ratios),
                "ratio_of_convolutions_alone": statistics.median(
                    slow / fast for slow, fast in zip(textbook, alone, strict=True)
                ),
                "slices_per_second": BATCH / step,
                "slices_per_second_textbook": BATCH / statistics.median(textbook),
                "peak_mib": summaries[precision]["peak_mib"],
                "peak_mib_textbook": summaries["textbook"]["peak_mib"],
                "share_of_matrix_multiply": operations.total / step / rates[precision],
                "convolutions": summaries[precision]["convolutions"],
                "step_seconds": step,
                "step_seconds_textbook": statistics.median(textbook),
                "once_seconds": summaries[precision]["once"],
            }
        )
    return rows


def start(work: Work) -> Connection:
    """Start the process of a contender; it ends after its summary, or with this one."""
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    context.Process(target=serve, args=(theirs, work), daemon=True).start()
    return ours


def run_round(
    works: dict[str, Work],
    seconds: dict[tuple[str, str], list[float]],
    turns: int,
    steps: int,
    start: Callable[[Work], Connection] = start,
) -> dict[str, dict[str, Any]]:
    """Start a process per contender, let them work in turns, and add to ``seconds`` what a step
    took them, and what its convolutions took the engine's, if its operations are given; the
    processes' summaries."""
    pipes: dict[str, Connection] = {}
    for contender, work in works.items():
        pipes[contender] = start(work)
        pipes[contender].recv()
    for turn in range(turns + 1):
        for contender, pipe in pipes.items():
            for what in ("steps", "convolutions") if works[contender].operations else ("steps",):
                pipe.send((what, steps))
                took = pipe.recv() / steps
                if turn:
                    seconds[contender, what].append(took)
    summaries = {}
    for contender, pipe in pipes.items():
        pipe.send(None)
        summaries[contender] = pipe.recv()
    return summaries


def report(rows: list[dict[str, Any]], rates: dict[str, float], options: argparse.Namespace) -> str:
    """The tables as text."""
    shown = [
        [
            f"{row['size']} x {row['size']}",
            row["step"],
            row["precision"],
            f"{row['ratio_median']:.2f} ({row['ratio_lowest']:.2f} to {row['ratio_highest']:.2f})",
            f"{row['ratio_of_convolutions_alone']:.2f}",
            f"{row['slices_per_second']:.1f}",
            f"{row['slices_per_second_textbook']:.1f}",
            f"{row['peak_mib']:.0f}",
            f"{row['peak_mib_textbook']:.0f}",
            f"{row['share_of_matrix_multiply']:.0%}",
        ]
        for row in rows
    ]
    headings = [
        "matrix",
        "step",
        "precision",
        "ratio: median (range)",
        "library's convolutions alone",
        "slices/s",
        "textbook",
        "peak MiB",
        "textbook",
        "of matrix multiply",
    ]
    lines = [
        f"{machine()['processor']}, {options.threads} threads, {options.device}, "
        f"Python {platform.python_version()}; batch {BATCH}, {options.rounds} rounds "
        f"of {options.turns} turns of {options.steps} steps",
        "matrix multiply: "
        + ", ".join(f"{p} {rate / 1e9:.0f} GFLOP/s" for p, rate in rates.items()),
        *(
            f"convolutions, {p}: "
            + ", ".join(sorted({r["convolutions"] for r in rows if r["precision"] == p}))
            for p in options.precisions
        ),
        "",
        tabulate(shown, headings, tablefmt="github", disable_numparse=True),
        "",
    ]
    for size in options.sizes:
        for precision in options.precisions:
            chosen = {
                r["step"]: r for r in rows if r["size"] == size and r["precision"] == precision
            }
            if set(SETTING) <= set(chosen):
                lines.append(whole_setting(size, precision, chosen))
    return "\n".join(lines)


def whole_setting(size: int, precision: str, rows: dict[str, dict[str, Any]]) -> str:
    """13 models of one setting from the times of their steps, for an epoch of the data here."""
    slow = sum(rows[kind]["step_seconds_textbook"] * n for kind, n in SETTING.items())
    fast = sum(rows[kind]["step_seconds"] * n for kind, n in SETTING.items())
    # The teacher looks at every slice once a training; a step's share of that over all epochs.
    steps = EPOCHS * VOLUMES * slices_a_volume(size) / BATCH
    fast += sum(rows[kind]["once_seconds"] * n / steps for kind, n in SETTING.items())
    return (
        f"{size} x {size}, whole setting (13 models), {precision}: {slow / fast:.2f} times faster"
    )


if __name__ == "__main__":
    main()
