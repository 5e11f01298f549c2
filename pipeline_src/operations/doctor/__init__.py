"""Checks that a study can run here, on this machine or on its cluster, before anything is spent."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Severity = Literal["ok", "warning", "error"]


@dataclass(frozen=True)
class Finding:
    """The result of one check.

    Attributes:
        verdict: `ok`; `warning` for what may be intended; `error` for what will not run.
        what: what was found.
        advice: what to do about it.
    """

    verdict: Severity
    what: str
    advice: str = ""
