"""What the doctor found."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Severity = Literal["ok", "warning", "error"]


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at.

    Attributes:
        verdict: `ok`; `warning` for what may be meant; `error` for what will not run.
        what: what was found.
        advice: what to do about it.
    """

    verdict: Severity
    what: str
    advice: str = ""
