"""How the time is shared out: among the phases, and among the epochs of the study."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import ceil

#: Shares of the budget of each phase but the study, which gets what the others leave.
SHARES = {"facts": 0.05, "checks": 0.18, "numerics": 0.11, "timing": 0.24, "pack": 0.03}
PHASES = ("facts", "checks", "numerics", "timing", "study", "pack")
#: Seconds that a phase needs to start at all; a phase is cut to what is left, never below.
LEAST = {"facts": 8.0, "checks": 10.0, "numerics": 6.0, "timing": 9.0, "pack": 2.0}
#: Seconds for which no phase is started.
LEAST_WORTH = 3.0
#: Training epochs: the paper's, and fewer than this many only where thinning cannot help.
MOST_EPOCHS, FEWEST_EPOCHS = 150, 4
THINNING = (1, 2, 3, 4, 6, 8)


def phase_limit(phase: str, budget: float, left: float) -> float:
    """Seconds that a phase may take, when ``left`` of ``budget`` are left.

    Never more than is left for it once the packing has its share; 0 where nothing can be done in
    that.
    """
    packing = max(LEAST["pack"], SHARES["pack"] * budget)
    if phase == "pack":
        # Packing is worth overrunning a spent budget by a few seconds.
        return max(packing, left)
    share = left if phase == "study" else max(LEAST[phase], SHARES[phase] * budget)
    limit = min(share, left - packing)
    return limit if limit >= LEAST_WORTH else 0.0


def patience(phase: str, budget: float) -> float:
    """Seconds beyond its limit after which a phase is killed.

    A phase starts nothing new at its limit, and what it is at ends within this time, unless it
    hangs: on a busy machine the imports of a phase alone take longer than some limits. What is
    overrun is the study's.
    """
    return 2.0 if phase == "pack" else max(20.0, 0.05 * budget)


@dataclass(frozen=True)
class Cost:
    """What the study's trainings take.

    Attributes:
        step_seconds: a training step of each stage of the study, all models in a row.
        validation_seconds: a validation batch.
        starts: trainings.
        start_seconds: to start one, besides its epochs.
        slices, validation_slices: of the data, before thinning.
        batch: slices a batch.
        rest_seconds: everything besides training: preparation, evaluation, tables.
    """

    step_seconds: Sequence[float]
    validation_seconds: float
    starts: int
    start_seconds: float
    slices: int
    validation_slices: int
    batch: int
    rest_seconds: float

    def epoch(self, thinning: int) -> float:
        """Seconds of one epoch of every stage, with every ``thinning``-th slice."""
        batches = ceil(ceil(self.slices / thinning) / self.batch)
        checked = ceil(ceil(self.validation_slices / thinning) / self.batch)
        stages = len(self.step_seconds)
        return batches * sum(self.step_seconds) + checked * stages * self.validation_seconds

    def fixed(self) -> float:
        """Seconds that no choice of epochs changes."""
        return self.starts * self.start_seconds + self.rest_seconds


@dataclass(frozen=True)
class StudyPlan:
    """Epochs a stage, and every which slice is used; whether all models finish in time."""

    epochs: int
    thinning: int
    predicted_seconds: float
    fits: bool


def plan_study(left: float, cost: Cost, most_epochs: int = MOST_EPOCHS) -> StudyPlan:
    """The most epochs that fit into ``left`` seconds.

    Slices are thinned only where fewer than `FEWEST_EPOCHS` would fit otherwise. Where not even
    one epoch of the thinnest data fits, that is the plan all the same, and it says so.
    """
    wanted = min(FEWEST_EPOCHS, most_epochs)
    room = left - cost.fixed()
    for thinning in THINNING:
        epochs = min(most_epochs, int(room / cost.epoch(thinning)))
        if epochs >= wanted:
            break
    chosen = max(1, epochs)
    predicted = cost.fixed() + chosen * cost.epoch(thinning)
    return StudyPlan(chosen, thinning, predicted, fits=predicted <= left)


def mean_or(values: Mapping[str, float], default: float) -> float:
    """The mean of what was measured; ``default`` where nothing was."""
    return sum(values.values()) / len(values) if values else default
