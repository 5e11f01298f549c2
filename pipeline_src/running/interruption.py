"""Being asked to stop: a signal is noted, and training ends after the step that is under way."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path
from types import FrameType, TracebackType

from pipeline_src.errors import Interrupted

#: What clusters, users and Snakemake send; SIGUSR1 is SLURM's usual warning before a time limit,
#: SIGHUP the end of a terminal.
SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1, signal.SIGHUP)
#: Names the Snakemake process that a training was started by; the Snakefile sets it.
PARENT_VARIABLE = "SFT_KD_RECON_PARENT"


class Interruption:
    """Notes signals while its block runs.

    With ``parent``, a process, its end counts as a signal too: nobody would take the result.
    """

    #: Seconds between two looks whether the parent is there.
    LOOK_EVERY = 0.5

    def __init__(self, parent: int | None = None) -> None:
        self._signal, self._parent = "", parent
        self._looked = float("-inf")
        self._before: dict[signal.Signals, object] = {}

    def __enter__(self) -> Interruption:
        hung_up_on = signal.getsignal(signal.SIGHUP) != signal.SIG_IGN  # not so under nohup
        wanted = [s for s in SIGNALS if s != signal.SIGHUP or hung_up_on]
        self._before = {s: signal.signal(s, self._note) for s in wanted}
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)  # type: ignore[arg-type]

    @property
    def signal(self) -> str:
        """Name of the first that came, such as `SIGTERM`; empty before."""
        if not self._signal and self._parent is not None:
            now = time.monotonic()
            # Asked after every step: of a short one, looking would be a good part.
            if now - self._looked >= self.LOOK_EVERY:
                self._looked = now
                if not is_alive(self._parent):
                    self._signal = f"the end of process {self._parent}, which started it,"
        return self._signal

    def _note(self, number: int, _frame: FrameType | None) -> None:
        self._signal = self._signal or signal.Signals(number).name

    def leave(self, where: str) -> None:
        """Leave the training if a signal came.

        Raises:
            Interrupted: one did.
        """
        if self.signal:
            raise Interrupted(f"stopped by {self.signal} {where}; the same command goes on there")


def parent_process() -> int | None:
    """The Snakemake process that this one was started by, where one is named."""
    named = os.environ.get(PARENT_VARIABLE, "")
    return int(named) if named.isdigit() else None


def is_alive(process: int) -> bool:
    """Whether a process of this machine has not ended."""
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    stat = Path(f"/proc/{process}/stat")
    try:
        # After the name in brackets comes the state; Z is ended and not yet collected.
        return stat.read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return True
