"""Notes signals that ask a training to stop, so that it can end after the current step."""

from __future__ import annotations

import os
import signal
import time
from types import FrameType

import psutil

from pipeline_src.errors import Interrupted

#: Signals that clusters, users and Snakemake send; SIGUSR1 is SLURM's usual warning before a time
#: limit, SIGHUP means that the terminal was closed.
SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1, signal.SIGHUP)
#: Environment variable with the number of the Snakemake process; the Snakefile sets it.
PARENT_VARIABLE = "SFT_KD_RECON_PARENT"


class Interruption:
    """Notes signals while its block runs.

    With ``parent``, the number of a process, the end of that process counts as a signal too, since
    nobody would use the result.
    """

    #: Seconds between two checks of whether the parent is alive.
    LOOK_EVERY = 0.5

    def __init__(self, parent: int | None = None) -> None:
        self._signal, self._parent = "", parent
        self._looked = float("-inf")
        self._before: dict[signal.Signals, object] = {}

    def __enter__(self) -> Interruption:
        hung_up_on = signal.getsignal(signal.SIGHUP) != signal.SIG_IGN  # False under nohup
        wanted = [s for s in SIGNALS if s != signal.SIGHUP or hung_up_on]
        self._before = {s: signal.signal(s, self._note) for s in wanted}
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)  # type: ignore[arg-type]

    @property
    def signal(self) -> str:
        """Name of the first signal received, such as `SIGTERM`; empty before that."""
        if not self._signal and self._parent is not None:
            now = time.monotonic()
            # This is called after every step; checking each time would slow down short steps.
            if now - self._looked >= self.LOOK_EVERY:
                self._looked = now
                if not is_alive(self._parent):
                    self._signal = f"the end of process {self._parent}, which started it,"
        return self._signal

    def _note(self, number: int, _frame: FrameType | None) -> None:
        self._signal = self._signal or signal.Signals(number).name

    def leave(self, where: str) -> None:
        """Stop the training if a signal was received.

        Raises:
            Interrupted: one was received.
        """
        if self.signal:
            raise Interrupted(f"stopped by {self.signal} {where}; the same command goes on there")


def parent_process() -> int | None:
    """The number of the Snakemake process that started this one, if the environment names one."""
    named = os.environ.get(PARENT_VARIABLE, "")
    return int(named) if named.isdigit() else None


def is_alive(process: int) -> bool:
    """Whether a process of this machine is still running."""
    try:
        # A zombie has ended and is not yet collected.
        return bool(psutil.Process(process).status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False
    except psutil.AccessDenied:
        return True
