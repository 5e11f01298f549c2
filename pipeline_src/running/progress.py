"""Shows how far a training is: a progress bar on a terminal, plain lines in a log."""

from __future__ import annotations

import sys
import time
from typing import Any

from tqdm import tqdm

from pipeline_src.training.engine import Epoch


class Progress:
    """Called after each epoch; see `engine.Report`."""

    #: Seconds between lines in a log; the last epoch of a stage is always printed.
    INTERVAL = 10.0

    def __init__(self, model: str) -> None:
        self.model = model
        self._bar: tqdm[Any] | None = None
        self._last_line = float("-inf")
        self._stage = ""
        self._spent, self._epochs = 0.0, 0

    def going_on(self, stage: str, where: str) -> None:
        """Print that a training is resumed from its saved state."""
        print(f"{self.model} {stage}: goes on {where}", file=sys.stderr, flush=True)

    def __call__(self, stage: str, epochs: int, row: Epoch) -> None:
        """Show one finished epoch of a stage."""
        if stage != self._stage:
            self._stage, self._spent, self._epochs = stage, 0.0, 0
        self._spent += row.seconds
        self._epochs += 1
        left = self._spent / self._epochs * (epochs - row.epoch)
        numbers = f"loss {row.validation_loss:.3e}, {row.validation_psnr_db:.2f} dB"
        if sys.stderr.isatty():
            if self._epochs == 1 or self._bar is None:
                self._bar = tqdm(
                    total=epochs,
                    initial=row.epoch - 1,
                    unit="epoch",
                    desc=f"{self.model} {stage}",
                )
            bar = self._bar
            bar.set_postfix_str(numbers)
            bar.update()
            if row.epoch == epochs:
                bar.close()
        elif row.epoch == epochs or time.monotonic() - self._last_line >= self.INTERVAL:
            self._last_line = time.monotonic()
            print(
                f"{self.model} {stage}: epoch {row.epoch}/{epochs}, validation {numbers}, "
                f"{left:.0f} s left",
                file=sys.stderr,
                flush=True,
            )
