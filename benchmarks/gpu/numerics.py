"""Phase (c): the gradient of every kind of step against the same in double precision on the CPU.

Twenty steps apart, two trainings differ by what they made of their rounding, a hundredth and more
even in single precision: Adam's first steps are as long along a gradient of nothing but rounding as
along any other. So weights are put where the device's own twenty steps led, and the gradient of the
next step is compared. It may be as far from double precision as the limit of its number format, or,
where rounding alone moves it farther, `ROUNDINGS` times what that does (see `rounding`). Where that
is so much that a wrong gradient would pass, nothing is judged, which the line says.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor

from benchmarks.gpu.kinds import FIRST, Files, Kind, State, Trainee, kinds, write_files
from benchmarks.gpu.phase import Run
from benchmarks.gpu.rounding import rounded

PHASE = "numerics"
#: Relative distance of a gradient from double precision that is always allowed.
LIMITS = {"fp32": 1e-5, "tf32": 5e-3, "bf16": 3e-2}
#: How many times farther than the farthest of `DRAWS` roundings a right gradient may be.
ROUNDINGS, DRAWS = 6.0, 3
#: Steps after which a step is captured.
WARM_UP = 8
#: A gradient may be so far from itself at most for anything to be judged.
WORTH_JUDGING = 0.5


def run(run: Run) -> None:
    """Kind by kind, since what is measured of one is complete before the next."""
    files = write_files(run.settings.work / "compared", run.scale, run.scale.compared)
    known = kinds(run.scale)
    for number, kind in enumerate(known if run.device.graphs else known[: 2 * len(FIRST)]):
        # One at least, however long the start took.
        if number and run.left() <= 0:
            return
        run.guarded(PHASE, "distance", partial(_kind, run, kind, files), kind=kind.name)
    for kind in known[: len(FIRST)]:
        if run.left() <= 0:
            return
        run.guarded(PHASE, "path", partial(_path, run, kind, files), kind=kind.name)


@dataclass(frozen=True)
class Reference:
    """Where gradients are compared, and what is right there.

    Attributes:
        state: weights and optimiser on the CPU, its means zero, so that a mean is its gradient.
        gradient, loss: in double precision.
        steps: of training before.
        spread: by number format, how far rounding alone moves the gradient, relative to it.
    """

    state: State
    gradient: Tensor
    loss: float
    steps: int
    spread: dict[str, float]

    def allowed(self, precision: str) -> float:
        """The relative distance that a right gradient may have."""
        return max(LIMITS[precision], ROUNDINGS * self.spread[precision])


def references(
    exact: Trainee, path: Trainee, steps: int, precisions: Sequence[str] = tuple(LIMITS)
) -> Reference:
    """After a quarter of the steps of ``path`` and after all of them: that of the two where
    rounding moves the gradient less.

    Args:
        exact: in double precision on the CPU.
        path: the same on the device.
        steps: how many steps to train in all.
        precisions: the number formats whose spread is wanted; bf16 is one of them.
    """
    exact.train(1)  # The optimiser has no state before.
    found: list[tuple[float, Reference]] = []
    first = max(1, steps // 4)
    for more, done in ((first, first), (steps - first, steps)):
        path.train(more)
        state = {
            name: (torch.zeros_like(tensor) if name.endswith("/mean") else tensor).cpu()
            for name, tensor in path.state().items()
        }
        loss, gradient = _stepped(exact, state)
        made = Reference(state, gradient, loss, done, {})
        found.append((_spread(exact, made, "bf16"), made))
    spread, chosen = min(found, key=lambda one: one[0])
    for precision in precisions:
        known = precision == "bf16"
        chosen.spread[precision] = spread if known else _spread(exact, chosen, precision)
    return chosen


def _stepped(exact: Trainee, state: State) -> tuple[float, Tensor]:
    """Loss and gradient of the step from a state."""
    exact.take_up(state)
    loss = exact.train(1)[0]
    return loss, exact.gradient(state)


def _spread(exact: Trainee, reference: Reference, precision: str) -> float:
    """How far rounding moves the gradient at most in some draws."""
    distances = []
    for seed in range(DRAWS):
        with rounded(exact.objective.trained, precision, seed):
            moved = _stepped(exact, reference.state)[1]
        distances.append(relative(moved, reference.gradient))
    return max(distances)


def compared(made: Trainee, reference: Reference, *, plain: bool) -> tuple[float, float]:
    """Relative distance of a step's gradient from the right one, and of its loss."""
    made.take_up(reference.state)
    loss = made.train(1, plain=plain)[0]
    gradient = made.gradient(reference.state)
    far = abs(loss - reference.loss) / abs(reference.loss)
    return relative(gradient, reference.gradient), far


def verdict(distance: float, reference: Reference, precision: str) -> bool | None:
    """Whether a gradient is right; None where rounding alone moves it too far to tell."""
    if distance <= LIMITS[precision]:
        return True
    allowed = reference.allowed(precision)
    return None if distance <= allowed and allowed > WORTH_JUDGING else distance <= allowed


def _kind(run: Run, kind: Kind, files: Files) -> None:
    size, steps = run.scale.compared, run.scale.steps
    exact = Trainee(kind, files, run.scale, size, "cpu", double=True)
    path = Trainee(kind, files, run.scale, size, run.device.name)
    torch.set_num_threads(len(os.sched_getaffinity(0)) if run.device.graphs else run.scale.threads)
    precisions = [name for name in LIMITS if name != "tf32" or run.device.graphs]
    reference = references(exact, path, steps, precisions)
    made = path
    for precision in precisions:
        if precision != "fp32":
            if run.left() <= 0:
                return
            made = Trainee(kind, files, run.scale, size, run.device.name, precision)
            # Until the step is captured, and the optimiser has a state.
            made.train(WARM_UP)
        # Where graphs are not to the bit what they were captured of, `checks` tells of which kinds.
        eager = (False, True) if precision == "fp32" else (False,)
        for plain in eager if run.device.graphs else (True,):
            distance, loss = compared(made, reference, plain=plain)
            run.lines.add(
                PHASE,
                "distance",
                kind=kind.name,
                precision=precision,
                form="graph" if made.step.graphs and not plain else "eager",
                ok=verdict(distance, reference, precision),
                gradient=distance,
                limit=LIMITS[precision],
                allowed=reference.allowed(precision),
                rounding_alone=reference.spread[precision],
                steps_before=reference.steps,
                loss=loss,
            )


def _path(run: Run, kind: Kind, files: Files) -> None:
    """How far whole trainings are from double precision after all steps; nothing is judged."""
    size, steps = run.scale.compared, run.scale.steps
    exact = Trainee(kind, files, run.scale, size, "cpu", double=True)
    start = exact.weights()
    torch.set_num_threads(len(os.sched_getaffinity(0)) if run.device.graphs else run.scale.threads)
    losses = torch.tensor(exact.train(steps), dtype=torch.float64)
    for precision in LIMITS:
        if run.left() <= 0:
            return
        if precision == "tf32" and not run.device.graphs:
            continue
        made = Trainee(kind, files, run.scale, size, run.device.name, precision)
        own = torch.tensor(made.train(steps), dtype=torch.float64)
        run.lines.add(
            PHASE,
            "path",
            kind=kind.name,
            precision=precision,
            steps=steps,
            weights=relative(made.weights(), exact.weights()),
            way=relative(made.weights() - start, exact.weights() - start),
            losses=relative(own, losses),
        )


def relative(found: Tensor, reference: Tensor) -> float:
    """Norm of the difference over the norm of the reference."""
    return float((found - reference).norm() / reference.norm())
