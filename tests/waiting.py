"""Waiting for what another process does."""

from __future__ import annotations

import time
from collections.abc import Callable

#: Seconds after which a test takes what it waits for to hang.
PATIENCE = 600
#: Seconds between two questions, at least.
PAUSE = 0.005


def wait_until(condition: Callable[[], bool], what: str, seconds: float = PATIENCE) -> None:
    """Until a condition holds; the limit only ends what hangs, on a machine with other work too.

    The more an answer costs, the less often the question is asked.
    """
    end = time.monotonic() + seconds
    while True:
        began = time.monotonic()
        if condition():
            return
        assert began < end, f"waited in vain for {what}"
        time.sleep(max(PAUSE, 5 * (time.monotonic() - began)))
