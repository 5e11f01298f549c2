"""How large everything is: at the paper's scale, and in a dry run."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Scale:
    """How large everything is.

    Attributes:
        matrix: rows and columns of a slice.
        slices: of each volume; no multiple of the batch, so that the last batch is a smaller one.
        compared: rows and columns where float64 on the CPU is waited for.
        replays: calls of a step that are timed.
        methods: of the study; None: all.
        epochs: of checks; enough for the last batch, of another size, to be captured too.
        steps: before the one that is compared with float64.
        most_epochs: of the study.
        threads: of the CPU.
        together: trainings at once.
    """

    matrix: int
    features: int
    cascades: int
    slices: int
    batch: int
    compared: int
    replays: int
    methods: int | None
    epochs: int
    steps: int
    most_epochs: int
    threads: int
    together: tuple[int, ...]


PAPER = Scale(150, 32, 5, 11, 4, 32, 50, None, 5, 20, 150, 4, (1, 2, 4, 8))
TOY = Scale(16, 8, 2, 3, 4, 16, 3, 1, 2, 5, 3, 1, (2,))
