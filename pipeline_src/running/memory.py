"""Checks whether there is enough main memory for a step, and explains failures in one line."""

from __future__ import annotations

import resource
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil

from pipeline_src.errors import InputError

GIB = 1 << 30
#: Parts of torch's messages when an allocation fails; on the CPU it raises a plain RuntimeError.
SAID_BY_TORCH = ("DefaultCPUAllocator", "out of memory", "CUBLAS_STATUS_ALLOC_FAILED")
CGROUP = Path("/sys/fs/cgroup")


def available_bytes() -> int:
    """Bytes that this process can still get: limited by the machine, its control group and its own
    limits.
    """
    found = [int(psutil.virtual_memory().available)]
    with suppress(OSError, ValueError):
        # The text is `max` if the group has no limit.
        limit = int((CGROUP / "memory.max").read_text())
        found.append(limit - int((CGROUP / "memory.current").read_text()))
    with suppress(OSError):
        soft, _ = resource.getrlimit(resource.RLIMIT_AS)
        if soft != resource.RLIM_INFINITY:
            found.append(soft - int(psutil.Process().memory_info().vms))
    return max(0, min(found))


def is_shortage(error: BaseException) -> bool:
    """Whether an error means that there was not enough memory."""
    if isinstance(error, MemoryError):
        return True
    return isinstance(error, RuntimeError) and any(text in str(error) for text in SAID_BY_TORCH)


@contextmanager
def explaining_shortage(what: str, needed: Callable[[], int], remedy: str) -> Iterator[None]:
    """Warn on standard error if memory may not be enough, and end with one line if it was not.

    Args:
        what: what is done, for the message.
        needed: returns the estimated need in bytes; errors that it raises are ignored here.
        remedy: how to need less.

    Raises:
        InputError: memory was not enough.
    """
    estimate = 0
    with suppress(Exception):
        estimate = needed()
    before = available_bytes()
    if estimate > before:
        print(
            f"warning: {what} needs about {_gib(estimate)} of memory, and {_gib(before)} are "
            f"available; {remedy}",
            file=sys.stderr,
        )
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        if not is_shortage(error):
            raise
        about = f"it needs about {_gib(estimate)}, and " if estimate else ""
        there = f"{_gib(before)} were available at its start"
        raise InputError(f"{what}: not enough memory; {about}{there}; {remedy}") from None


def _gib(size: int) -> str:
    return f"{size / GIB:.1f} GiB"
