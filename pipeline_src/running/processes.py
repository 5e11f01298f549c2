"""Distributes work over several processes, which are forks of this one and end with it."""

from __future__ import annotations

import ctypes
import multiprocessing
import os
import signal
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from typing import Any, TypeVar

from pipeline_src.errors import InputError

T = TypeVar("T")
R = TypeVar("R")
_PR_SET_PDEATHSIG = 1
#: In a fork: the function that it runs.
_work: Callable[[Any], Any]


def in_processes(work: Callable[[T], R], things: Sequence[T], processes: int) -> Iterator[R]:
    """Apply ``work`` to each of the things, in several processes; results come in their order.

    With one process, everything is done here, one thing after the other. Forks inherit everything
    that is loaded and the number of threads; this process must not have computed with several
    threads before.

    Args:
        work: the function to apply.
        things: its arguments.
        processes: how many processes run at once, at most.

    Raises:
        InputError: a fork was killed.
    """
    number = min(processes, len(things))
    if number <= 1:
        yield from map(work, things)
        return
    with ProcessPoolExecutor(
        number,
        mp_context=multiprocessing.get_context("fork"),
        initializer=_begin,
        initargs=(work, os.getpid()),
    ) as pool:
        try:
            yield from pool.map(_do, things)
        except BrokenProcessPool:
            raise InputError(
                f"--processes {processes}: one of the processes was killed, as for want of memory; "
                "give fewer"
            ) from None
        finally:
            pool.shutdown(wait=False, cancel_futures=True)


def end_with_parent(parent: int) -> None:
    """Let the system stop this process by SIGTERM when ``parent`` ends (Linux)."""
    prctl = getattr(ctypes.CDLL(None), "prctl", None)
    if prctl is not None:
        prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
        if os.getppid() != parent:
            os._exit(1)


def _begin(work: Callable[[Any], Any], parent: int) -> None:
    global _work
    end_with_parent(parent)
    _work = work


def _do(thing: Any) -> Any:
    return _work(thing)
