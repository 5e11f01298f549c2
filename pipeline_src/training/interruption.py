"""Being asked to stop: a signal is noted, and training ends after the step that is under way."""

from __future__ import annotations

import signal
from types import FrameType, TracebackType

from pipeline_src.errors import Interrupted

#: What clusters, users and Snakemake send; SIGUSR1 is SLURM's usual warning before a time limit.
SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1)


class Interruption:
    """Notes signals while its block runs.

    Attributes:
        signal: name of the first that came, such as `SIGTERM`; empty before.
    """

    def __init__(self) -> None:
        self.signal = ""
        self._before: dict[signal.Signals, object] = {}

    def __enter__(self) -> Interruption:
        self._before = {s: signal.signal(s, self._note) for s in SIGNALS}
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)  # type: ignore[arg-type]

    def _note(self, number: int, _frame: FrameType | None) -> None:
        self.signal = self.signal or signal.Signals(number).name

    def leave(self, where: str) -> None:
        """Leave the training if a signal came.

        Raises:
            Interrupted: one did.
        """
        if self.signal:
            raise Interrupted(f"stopped by {self.signal} {where}; the same command goes on there")
