"""One phase as a process: `python -m benchmarks.gpu.phase NAME SETTINGS`."""

from __future__ import annotations

import json
import subprocess
import sys
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.gpu.lines import NAME, Lines, OutOfTimeError
from benchmarks.gpu.scale import PAPER, TOY, Scale

if TYPE_CHECKING:
    from benchmarks.gpu.device import Device

#: Seconds before its end in which a phase starts nothing new.
GRACE = 1.5


@dataclass(frozen=True)
class Settings:
    """What every phase is told.

    Attributes:
        out: folder of the few files that come back.
        work: folder for everything else.
        data: folder of real data, or None.
        dry: on the CPU at toy size.
        end: when the phase is to have ended, as `time.time`; a little later it is killed.
    """

    out: Path
    work: Path
    data: Path | None
    dry: bool
    end: float

    def text(self) -> str:
        """As one argument."""
        return json.dumps(vars(self), default=str)

    @staticmethod
    def read(text: str) -> Settings:
        """From that argument."""
        values = json.loads(text)
        data = values["data"]
        paths = {name: Path(values[name]) for name in ("out", "work")}
        return Settings(
            **paths, data=Path(data) if data else None, dry=values["dry"], end=values["end"]
        )


@dataclass(frozen=True)
class Run:
    """A phase's hands: where it writes, on what it works, how large."""

    settings: Settings
    lines: Lines

    @cached_property
    def device(self) -> Device:
        """Loads torch, which not every phase needs."""
        from benchmarks.gpu.device import device_of

        return device_of("cpu" if self.settings.dry else "cuda")

    @property
    def scale(self) -> Scale:
        """The paper's, or a toy's."""
        return TOY if self.settings.dry else PAPER

    def left(self) -> float:
        """Seconds in which something new may still be started."""
        return self.settings.end - time.time() - GRACE

    def guarded(self, phase: str, what: str, work: Callable[[], object], **labels: object) -> bool:
        """Do a part of a phase; where it raises, that is a line, and False."""
        try:
            work()
        except (OutOfTimeError, subprocess.TimeoutExpired) as error:
            reason = f"left: the phase's time was over ({error})"
            self.lines.add(phase, what, **labels, ok=None, reason=reason)
            return False
        except Exception as error:
            self.lines.add(phase, what, **labels, ok=False, **told(error))
            return False
        return True


def told(error: BaseException) -> dict[str, object]:
    """An error's type, message, the causes beneath it, and where it came from."""
    causes: list[str] = []
    inner = error.__cause__ or error.__context__
    while inner is not None and len(causes) < 5:
        causes.append(f"{type(inner).__name__}: {str(inner)[:300]}")
        inner = inner.__cause__ or inner.__context__
    return {
        "error": type(error).__name__,
        "message": str(error)[:1000],
        "causes": causes,
        "trace": traceback.format_tb(error.__traceback__)[-6:],
    }


def main() -> None:
    """Run the phase; a failure is a line and status 1."""
    name, text = sys.argv[1:]
    settings = Settings.read(text)
    lines = Lines(settings.out / NAME)
    try:
        import_module(f"benchmarks.gpu.{name}").run(Run(settings, lines))
    except BaseException as error:
        lines.add(name, "failed", **told(error))
        traceback.print_exc()
        sys.exit(1)


if __name__ == "__main__":
    main()
