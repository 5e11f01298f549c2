"""Finds how a step ended at the end of its log."""

from __future__ import annotations

import os
import re
from pathlib import Path

from pipeline_src.files import open_regular
from pipeline_src.text import one_line

#: What a shell or a program says of an end that no Python was there to tell of: the shell's own
#: errors, a process that a signal has ended (SIGTERM asks one to stop), and a full disk.
_BY_SYSTEM = re.compile(
    r"(\S+: line \d+|(\S*/)?(ba|da|z|k)?sh: \d+): (?!.*\bTerminated\b).+"
    r"|(Killed|Aborted|Bus error|Illegal instruction|Segmentation fault"
    r"|Floating point exception)( \(core dumped\))?"
    r"|.*: (command not found|No space left on device|Disk quota exceeded)"
)


def error_line(log: Path, since: float = 0.0) -> str:
    """The last line of a step's log if that is an error, or the line of a traceback that names it;
    empty if there is neither.

    A log last written before ``since``, in seconds since 1970, belongs to an earlier attempt.
    """
    lines = _last_lines(log, since)
    if not lines:
        return ""
    told = re.match(r"(.*: )?error: ", lines[-1]) or _BY_SYSTEM.fullmatch(lines[-1].strip())
    line = lines[-1] if told else _exception(lines)
    return one_line(line)


def was_stopped(log: Path, since: float = 0.0) -> bool:
    """Whether a training's log ends with its being asked to stop, which is no error."""
    return any(line.startswith("stopped by ") for line in _last_lines(log, since)[-1:])


def _last_lines(log: Path, since: float) -> list[str]:
    try:
        with open_regular(log) as stream:
            about = os.fstat(stream.fileno())
            stream.seek(max(0, about.st_size - 16384))
            text = stream.read().decode(errors="replace")
    except OSError:
        return []
    if about.st_mtime < since:
        return []
    return [line for line in text.splitlines() if line.strip()]


def _exception(lines: list[str]) -> str:
    """The line that names the exception of the last traceback, whose message may have more."""
    starts = [i for i, line in enumerate(lines) if line.startswith("Traceback (most recent call")]
    # Python goes on after an exception that it says it ignores.
    if not starts or (starts[-1] and lines[starts[-1] - 1].startswith("Exception ignored")):
        return ""
    named = next((line for line in lines[starts[-1] + 1 :] if not line.startswith(" ")), "")
    # Interrupted before it could note signals: it did not fail, it has not begun.
    return "" if named.startswith("KeyboardInterrupt") else named
