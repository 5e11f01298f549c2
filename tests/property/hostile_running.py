"""One hostile input: what it is, how the command line is run on it, and what must hold then."""

from __future__ import annotations

import contextlib
import io
import random
import re
import resource
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

# Imported once, so that no input pays for it.
import pipeline_src.evaluation.evaluate
import pipeline_src.running.training_run  # noqa: F401
from pipeline_src.cli import main
from pipeline_src.text import printable

MOST_SECONDS, MOST_BYTES = 2.0, 1 << 30


@dataclass(frozen=True)
class Hostile:
    """An input that was drawn.

    Attributes:
        arguments: of the command line.
        shown: what was given, so that a failure can be understood.
        output: the file or folder that the command writes; None where it writes none.
        verify: raises AssertionError where what was made is not what was given.
        refused: whether it must be refused; None where either is right.
    """

    arguments: list[str]
    shown: str
    output: Path | None = None
    verify: Callable[[], None] = lambda: None
    refused: bool | None = None


Draw = Callable[[random.Random, Path], Hostile]


@dataclass(frozen=True)
class Outcome:
    """What the command line did: its status, what it wrote, and the processor time it took."""

    status: int
    out: str
    err: str
    seconds: float


def run(arguments: list[str]) -> Outcome:
    """The command line in this process, with no more than `MOST_BYTES` beyond what it has."""
    out, err = (io.TextIOWrapper(io.BytesIO(), encoding="utf-8") for _ in range(2))
    started = time.process_time()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err), _little_memory():
        try:
            status = main(arguments)
        except SystemExit as stopped:
            status = int(stopped.code or 0)
    taken = time.process_time() - started
    texts = []
    for stream in (out, err):
        stream.flush()
        texts.append(stream.buffer.getvalue().decode())  # type: ignore[attr-defined]
    return Outcome(status, texts[0], texts[1], taken)


@contextlib.contextmanager
def _little_memory() -> Iterator[None]:
    status = Path("/proc/self/status")
    held = re.search(r"VmData:\s+(\d+) kB", status.read_text()) if status.exists() else None
    if held is None:
        yield
        return
    before = resource.getrlimit(resource.RLIMIT_DATA)
    resource.setrlimit(resource.RLIMIT_DATA, (int(held[1]) * 1024 + MOST_BYTES, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_DATA, before)


def check(hostile: Hostile) -> int:
    """Run it and check what must hold for every input; returns the status."""
    done = run(hostile.arguments)
    assert "Traceback" not in done.err
    assert done.status in (0, 2), done
    assert done.seconds < MOST_SECONDS, f"{done.seconds:.1f} s; {done}"
    assert printable(done.out.replace("\n", "")) == done.out.replace("\n", "")
    if done.status == 0:
        assert hostile.refused is not True, f"must be refused: {done}"
        # A training shows how far it is.
        assert "train" in hostile.arguments or done.err == ""
        hostile.verify()
        return 0
    assert hostile.refused is not False, f"must be accepted: {done}"
    if not done.err.startswith("usage: "):
        assert re.fullmatch(r"error: [^\n]{3,}\n", done.err), done.err
        assert printable(done.err[:-1]) == done.err[:-1]
        assert not re.search("not enough memory|nable to allocate", done.err), done.err
    if hostile.output is not None:
        assert left_in(hostile.output) == []
    return 2


def left_in(output: Path) -> list[Path]:
    """Files in the output's folder, which is the output itself where that is a folder."""
    folder = output if output.is_dir() or not output.suffix else output.parent
    return sorted(path for path in folder.rglob("*") if not path.is_dir())
