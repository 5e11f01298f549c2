"""Phase (c): the gradient of every kind of step against the same in double precision on the CPU.

Twenty steps apart, two trainings differ by what they made of their rounding, a hundredth and more
even in single precision: the sign of a residual or of a gradient near zero is all it takes. So the
weights and the optimiser are put where twenty steps in double precision led, and the gradient of
the next step is compared. Loss and weights after it, and the losses of the twenty steps, are told
besides.
"""

from __future__ import annotations

from functools import partial

import torch
from torch import Tensor

from benchmarks.gpu.kinds import FIRST, Files, Kind, Trainee, kinds, write_files
from benchmarks.gpu.phase import Run

PHASE = "numerics"
#: Largest relative distance of a gradient from double precision.
LIMITS = {"fp32": 1e-5, "tf32": 5e-3, "bf16": 3e-2}


def run(run: Run) -> None:
    """Kind by kind, since what is measured of one is complete before the next."""
    files = write_files(run.settings.work / "compared", run.scale, run.scale.compared)
    known = kinds(run.scale)
    for kind in known if run.device.graphs else known[: 2 * len(FIRST)]:
        if run.left() <= 0:
            return
        run.guarded(PHASE, "distance", partial(_kind, run, kind, files), kind=kind.name)


def _kind(run: Run, kind: Kind, files: Files) -> None:
    size = run.scale.compared
    exact = Trainee(kind, files, run.scale, size, "cpu", double=True)
    path = torch.tensor(exact.train(run.scale.steps), dtype=torch.float64)
    state, before = exact.state(), exact.weights()
    loss, after, gradient = exact.train(1)[0], exact.weights(), exact.gradient(state)
    for precision, limit in LIMITS.items():
        if precision == "tf32" and not run.device.graphs:
            continue
        for plain in (True, False) if run.device.graphs else (True,):
            if run.left() <= 0:
                return
            made = Trainee(kind, files, run.scale, size, run.device.name, precision)
            own = torch.tensor(made.train(run.scale.steps, plain=plain), dtype=torch.float64)
            made.take_up(state)
            loss_here = made.train(1, plain=plain)[0]
            distance = relative(made.gradient(state), gradient)
            run.lines.add(
                PHASE,
                "distance",
                kind=kind.name,
                precision=precision,
                form="eager" if plain else "graph",
                ok=distance <= limit,
                gradient=distance,
                limit=limit,
                weights=relative(made.weights(), after),
                update=relative(made.weights() - before, after - before),
                loss=abs(loss_here - loss) / abs(loss),
                losses_of_all_steps=relative(own, path),
            )


def relative(found: Tensor, reference: Tensor) -> float:
    """Norm of the difference over the norm of the reference."""
    return float((found - reference).norm() / reference.norm())
