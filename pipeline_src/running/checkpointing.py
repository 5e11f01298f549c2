"""Decides when a training's state is saved, and resumes a training from it."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import asdict
from typing import Any

from pipeline_src.running.interruption import Interruption
from pipeline_src.running.progress_file import progress_of
from pipeline_src.running.resume_state import Saved, StateFiles
from pipeline_src.training.engine import Epoch, Stage
from pipeline_src.training.seeding import random_states, restore_random_states

RANDOM = "random/"


class Checkpointer:
    """Saves the state after epochs, at intervals within long ones, and when asked to stop.

    After an epoch it is saved unless saving would take more than `SHARE` of the time: on a GPU an
    epoch can be shorter than ten saves.

    ``saved`` is the state to resume from, if there is one; ``every`` is in seconds; ``stages`` is
    the number of the training's stages; ``facts`` returns what a state records besides how far the
    training is, such as its `runs`.
    """

    #: The largest share of a training's time that may be spent on saving.
    SHARE = 0.02

    def __init__(
        self,
        files: StateFiles,
        saved: Saved | None,
        interruption: Interruption,
        every: float,
        stages: int,
        facts: Callable[[], dict[str, Any]],
    ) -> None:
        self._files, self._interruption, self._every = files, interruption, every
        self._stages, self._facts = stages, facts
        self._last, self._took = time.monotonic(), 0.0
        self._histories: dict[str, list[Epoch]] = {}
        self._saved = saved

    def finished(self, number: int, name: str) -> list[Epoch] | None:
        """The history of a stage that the saved state is already beyond, else None."""
        if self._saved is None or number >= self._saved.facts["stage_number"]:
            return None
        self._histories[name] = self._history(name)
        return self._histories[name]

    def take_up(self, stage: Stage) -> bool:
        """Resume a stage from the saved state; False if that is not a state of this stage."""
        if self._saved is None or stage.number != self._saved.facts["stage_number"]:
            return False
        tensors = dict(self._saved.tensors)
        random = {k: tensors.pop(k) for k in list(tensors) if k.startswith(RANDOM)}
        restore_random_states({k.removeprefix(RANDOM): state for k, state in random.items()})
        # Kept here too: a complete stage is not saved again, but later states need its history.
        history = self._histories[stage.name] = self._history(stage.name)
        stage.restore(tensors, history, self._saved.facts["position"])
        self._saved = None
        return True

    def _history(self, name: str) -> list[Epoch]:
        assert self._saved is not None
        return [Epoch(**row) for row in self._saved.facts["histories"][name]]

    def __call__(self, stage: Stage, *, epoch_over: bool) -> None:
        """Called after each step and each epoch.

        Raises:
            Interrupted: a signal was received; the state is saved.
        """
        asked = bool(self._interruption.signal)
        since = time.monotonic() - self._last
        wait = min(self._every, self._took / self.SHARE) if epoch_over else self._every
        if not (asked or since >= wait):
            return
        # A state with losses that are not finite must not replace a good one.
        if epoch_over or stage.losses_are_finite():
            self._save(stage)
        self._interruption.leave(f"in stage {stage.name}, {stage.where}")

    def _save(self, stage: Stage) -> None:
        self._histories[stage.name] = stage.history
        facts = {
            **self._facts(),
            "stage": stage.name,
            "stage_number": stage.number,
            "position": stage.position,
            "histories": {n: [asdict(row) for row in rows] for n, rows in self._histories.items()},
        }
        random = {RANDOM + kind: state for kind, state in random_states().items()}
        began = time.monotonic()
        saved = Saved({**stage.tensors(), **random}, facts)
        self._files.save(saved, progress_of(self._files.digest, self._stages, facts))
        self._last = time.monotonic()
        self._took = self._last - began
