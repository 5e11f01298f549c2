"""Timing calls side by side, so that what slows the machine slows all of them."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping

WARM_UP = 3
#: Milliseconds of each repeat by name.
Times = dict[str, list[float]]


def time_alternating(
    calls: Mapping[str, Callable[[], object]],
    repeats: int,
    warm_up: int = WARM_UP,
    clock: Callable[[], float] = time.perf_counter,
) -> Times:
    """Milliseconds of each call, ``repeats`` of them by name, after ``warm_up`` calls untimed.

    The calls take turns, every other round in reversed order: what slows the machine for a while
    slows all of them alike.
    """
    for _ in range(warm_up):
        for call in calls.values():
            call()
    times: Times = {name: [] for name in calls}
    for number in range(repeats):
        for name in list(calls)[:: -1 if number % 2 else 1]:
            started = clock()
            calls[name]()
            times[name].append(1000 * (clock() - started))
    return times


def time_columns(suffix: str, times: Times, name: str) -> dict[str, float]:
    """Median and range of a network's times, and the ratio to those of the first network; the
    names of the columns end in ``suffix``."""
    own, first = times[name], next(iter(times.values()))
    return {
        f"milliseconds_a_slice{suffix}_median": statistics.median(own),
        f"milliseconds_a_slice{suffix}_min": min(own),
        f"milliseconds_a_slice{suffix}_max": max(own),
        f"milliseconds{suffix}_ratio": statistics.median(
            a / b for a, b in zip(own, first, strict=True)
        ),
    }
