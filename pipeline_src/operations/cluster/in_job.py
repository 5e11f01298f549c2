"""Passes the signals that SLURM sends to a job on to the training in it.

SLURM sends SIGTERM (cancelled, preempted, out of time) and the signal of `sbatch --signal` only to
a job's task, which is the Snakemake that runs the rule. That process waits for the training to end,
and the training, which would save its state and stop, would never receive the signal.
"""

from __future__ import annotations

import os
import signal
import threading
from contextlib import suppress

import psutil

PASSED_ON = (signal.SIGTERM, signal.SIGUSR1)


def pass_signals_on() -> None:
    """From now on, pass SIGTERM and SIGUSR1 to the processes at the end of each chain of children.

    Other reactions of this process to SIGTERM stay as they are, even if they are set up later;
    SIGUSR1 no longer ends it. Must be called from the main thread.
    """
    incoming, outgoing = os.pipe()
    os.set_blocking(outgoing, False)
    # Python writes each signal's number there, whatever its handler is.
    signal.set_wakeup_fd(outgoing, warn_on_full_buffer=False)
    signal.signal(signal.SIGUSR1, lambda *_: None)
    threading.Thread(target=_listen, args=(incoming,), daemon=True).start()


def _listen(incoming: int) -> None:
    while numbers := os.read(incoming, 16):
        for number in numbers:
            if number in PASSED_ON:
                _tell_leaves(number)


def _tell_leaves(number: int) -> None:
    for process in psutil.Process().children(recursive=True):
        with suppress(psutil.Error):
            if not process.children():
                process.send_signal(number)
