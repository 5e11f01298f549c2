"""Results as JSON lines that outlive the process that writes them."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

NAME = "lines.jsonl"


class OutOfTimeError(Exception):
    """A part of a phase would not end in time, and was left."""


class Lines:
    """A file of JSON objects, one per line; processes append to it one after the other.

    A line is one call of the system, so that a process killed at any instant leaves whole lines.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def add(self, phase: str, what: str, **facts: Any) -> None:
        """Append one object. Values that JSON does not know are written as text."""
        text = json.dumps({"phase": phase, "what": what, **facts}, default=str) + "\n"
        handle = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o666)
        try:
            os.write(handle, text.encode())
        finally:
            os.close(handle)

    def mend(self) -> None:
        """Cut off what follows the last whole line: a full disk can write a part of one."""
        if not self.path.exists():
            return
        content = self.path.read_bytes()
        whole = content.rfind(b"\n") + 1
        if whole < len(content):
            os.truncate(self.path, whole)

    def read(self, phase: str = "", what: str = "") -> list[dict[str, Any]]:
        """The objects, or those of a phase or a kind alone."""
        if not self.path.exists():
            return []
        found = map(json.loads, self.path.read_text().splitlines())
        return [
            one
            for one in found
            if phase in ("", one.get("phase")) and what in ("", one.get("what"))
        ]
