"""Within a cluster's job: what SLURM tells the job reaches the training.

SLURM sends SIGTERM (cancelled, preempted, out of time) and the signal of `sbatch --signal` to a
job's task alone, which is the Snakemake that runs the rule. That one waits for the training to end,
and the training, which would save its state and leave, never hears of it.
"""

from __future__ import annotations

import os
import signal
import threading
from contextlib import suppress

import psutil

PASSED_ON = (signal.SIGTERM, signal.SIGUSR1)


def pass_signals_on() -> None:
    """From now on, pass SIGTERM and SIGUSR1 to the processes at the end of each line of children.

    What else this process does on SIGTERM stays as it is, also where that is settled later; SIGUSR1
    no longer ends it. To be called by the main thread.
    """
    incoming, outgoing = os.pipe()
    os.set_blocking(outgoing, False)
    # Python writes each signal's number there, whatever its handler is by then.
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
