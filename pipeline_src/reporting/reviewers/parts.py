"""What the section for reviewers is made of."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Facts:
    """A table of text, after a sentence that says what it shows; without rows there is no table."""

    lead: str
    headings: tuple[str, ...] = ()
    rows: Sequence[tuple[str, ...]] = ()


@dataclass(frozen=True)
class Part:
    """What is said about one question, all as plain text.

    Attributes:
        anchor: identifies it in an address.
        points: a list after the tables.
        folded: summaries, and the lines that each one hides.
    """

    anchor: str
    title: str
    tables: list[Facts] = field(default_factory=list)
    points: list[str] = field(default_factory=list)
    folded: list[tuple[str, list[str]]] = field(default_factory=list)
