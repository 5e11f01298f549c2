"""Computes which chains of cascades the figure of the networks shows, and where they lie."""

from __future__ import annotations

from dataclasses import dataclass

from pipeline_src.config.networks import feature_cascades
from pipeline_src.config.study import Study
from pipeline_src.reporting.figure_style import COLORS, PAGE_WIDTH

#: Largest number of cascades that are all drawn; of more, how many first and last ones are.
MOST_CASCADES, FIRST, LAST = 10, 5, 3
#: Inches: left and right of the cascades, widest place of a cascade, and narrowest figure.
LEFT, RIGHT, WIDEST, NARROWEST = 0.55, 1.32, 1.0, 6.0
#: Shares of a cascade's place that its block and its data fidelity take.
BLOCK, FIDELITY = 0.53, 0.25
TEACHER, STUDENT = COLORS["sft"], COLORS["std_kd"]


@dataclass(frozen=True)
class Row:
    """One chain of cascades.

    Attributes:
        role: `teacher`, `branch` or `student`.
        cascades: numbers of the cascades that it goes through.
        branch: for a branch, the teacher's cascade after which it leaves.
    """

    role: str
    cascades: range
    branch: int = 0

    @property
    def color(self) -> str:
        """The colour of its blocks."""
        return TEACHER if self.role == "teacher" else STUDENT


@dataclass(frozen=True)
class Places:
    """Where the cascades are drawn.

    Attributes:
        lefts: left edges in inches, by number.
        width: inches of each place.
        gap: left edge of the place that represents the omitted ones; None if all are drawn.
    """

    lefts: dict[int, float]
    width: float
    gap: float | None

    @property
    def right(self) -> float:
        """Right edge of the last cascade."""
        return max(self.lefts.values()) + (BLOCK + FIDELITY) * self.width

    def after(self, cascade: int) -> float:
        """Where a branch leaves, between a cascade and the next."""
        return self.lefts[cascade] + (BLOCK + FIDELITY + 0.06) * self.width


def rows_of(study: Study) -> list[Row]:
    """The teacher, its branches from the shortest to the longest, and the student; in this order no
    branch crosses another.
    """
    cascades = feature_cascades(study.networks.teacher)
    branches = 0
    if study.networks.teacher.cascades is not None:
        branches = study.sft.branches or cascades - 1
    return [
        Row("teacher", range(1, cascades + 1)),
        *(Row("branch", range(i + 1, cascades + 1), i) for i in range(branches, 0, -1)),
        Row("student", range(1, cascades + 1)),
    ]


def places_of(cascades: int) -> Places:
    """The places of ``cascades`` cascades on a page's width."""
    first, last, gap = list(range(1, cascades + 1)), [], None
    if cascades > MOST_CASCADES:
        first, last = first[:FIRST], first[-LAST:]
    count = len(first) + (1 + len(last) if last else 0)
    width = min(WIDEST, (PAGE_WIDTH - LEFT - RIGHT) / count)
    lefts = {cascade: LEFT + k * width for k, cascade in enumerate(first)}
    if last:
        gap = LEFT + len(first) * width
        lefts |= {cascade: gap + k * width for k, cascade in enumerate(last, start=1)}
    return Places(lefts, width, gap)
