"""Times several calls in turns, so that whatever slows the machine affects all of them."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping

WARM_UP = 3
#: Milliseconds of each repeat, by name.
Times = dict[str, list[float]]


def time_alternating(
    calls: Mapping[str, Callable[[], object]],
    repeats: int,
    warm_up: int = WARM_UP,
    clock: Callable[[], float] = time.perf_counter,
) -> Times:
    """Time each call ``repeats`` times after ``warm_up`` untimed calls; milliseconds by name.

    The calls take turns, every other round in reverse order, so that whatever slows the machine for
    a while affects all of them.
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
    """Median and range of a network's times, and the ratio to those of the first network.

    The names of the columns end in ``suffix``.
    """
    own, first = times[name], next(iter(times.values()))
    return {
        f"milliseconds_a_slice{suffix}_median": statistics.median(own),
        f"milliseconds_a_slice{suffix}_min": min(own),
        f"milliseconds_a_slice{suffix}_max": max(own),
        f"milliseconds{suffix}_ratio": statistics.median(
            a / b for a, b in zip(own, first, strict=True)
        ),
    }
