"""`python -m benchmarks.gpu --budget SECONDS --out FOLDER`: prove the GPU path and measure it.

Phases follow one another, each a process of its own with its own limit; one that fails or is
killed stops no other. Results are lines of JSON in the folder, and a summary comes last. With
--dry-run the same is done on the CPU at toy size.
"""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path

from benchmarks.gpu.budget import PHASES, patience, phase_limit
from benchmarks.gpu.lines import NAME, Lines
from benchmarks.gpu.phase import Settings
from benchmarks.gpu.summary import summary


def main() -> int:
    """Run all phases; status 0 where all of them ended well."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.gpu",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--budget", type=_seconds, required=True, help="seconds for everything")
    parser.add_argument("--out", type=Path, required=True, help="folder for at most 8 small files")
    parser.add_argument(
        "--data", type=Path, help="folder that holds acdc/ (default: drawn phantoms)"
    )
    parser.add_argument("--dry-run", action="store_true", help="on the CPU, at toy size")
    parser.add_argument("--phases", nargs="+", choices=PHASES, default=PHASES, help="only these")
    parser.add_argument("--work", type=Path, help="folder for everything else (default: made)")
    options = parser.parse_args()
    if options.data and not options.data.is_dir():
        parser.error(f"--data {options.data}: is not a folder")
    options.out.mkdir(parents=True, exist_ok=True)
    lines = Lines(options.out / NAME)
    if lines.path.exists():
        parser.error(f"--out {options.out}: holds {NAME} of an earlier run; give another folder")
    with tempfile.TemporaryDirectory(prefix="gpu_") as temporary:
        work = (options.work or Path(temporary)).resolve()
        work.mkdir(parents=True, exist_ok=True)
        well = _run(options, lines, work)
    return 0 if well else 1


def _run(options: argparse.Namespace, lines: Lines, work: Path) -> bool:
    began, well = time.time(), True
    lines.add("run", "start", budget=options.budget, dry=options.dry_run, data=options.data)
    for name in PHASES:
        if name not in options.phases:
            continue
        left = options.budget - (time.time() - began)
        limit = phase_limit(name, options.budget, left)
        end = time.time() + limit
        settings = Settings(
            out=options.out.resolve(),
            work=work,
            data=options.data and options.data.resolve(),
            dry=options.dry_run,
            end=end,
        )
        started = time.time()
        wait = limit + patience(name, options.budget)
        status = _phase(name, settings, wait) if limit > 0 else "left out: no time left"
        lines.mend()
        seconds = time.time() - started
        lines.add("run", "phase", name=name, status=status, seconds=seconds, limit=limit)
        well = well and status == "done"
    lines.add("run", "end", seconds=time.time() - began)
    text = summary(lines)
    (options.out / "summary.txt").write_text(text + "\n")
    print(text)
    return well


def _phase(name: str, settings: Settings, wait: float) -> str:
    """Run one phase for so many seconds at most: `done`, `failed`, or how it was ended."""
    command = [sys.executable, "-m", "benchmarks.gpu.phase", name, settings.text()]
    with (settings.out / "log.txt").open("ab") as log:
        log.write(f"== {name}\n".encode())
        log.flush()
        # A session of its own: what it started ends with it.
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
        )
        try:
            status = process.wait(timeout=wait)
        except subprocess.TimeoutExpired:
            return "killed at its limit"
        finally:
            _end(process)
    if status < 0:
        return f"killed by {signal.Signals(-status).name}"
    return "failed" if status else "done"


def _end(process: subprocess.Popen[bytes]) -> None:
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def _seconds(text: str) -> float:
    value = float(text)
    if not value > 0:
        raise argparse.ArgumentTypeError(f"{text} is no time; give seconds above 0")
    return value


if __name__ == "__main__":
    sys.exit(main())
