"""Synthetic phantoms: drawn brain and cardiac volumes, a stand-in for patient data.

They carry the difficulty of the real images (bright fat, folded cortex, moving heart, coil
bias, texture, noise) but no picture of any person went into them.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import NDArray

from .brain import draw_brain_volume
from .cardiac import draw_cardiac_volume

__all__ = ["draw_brain_volume", "draw_cardiac_volume", "draw_volume"]


def draw_volume(
    anatomy: Literal["brain", "cardiac"],
    patient_seed: int,
    matrix: int,
    slices: int,
    phase: str = "",
) -> NDArray[np.float32]:
    """Draw the volume of one synthetic patient.

    ``patient_seed`` fixes the patient; ``phase`` is "ED" or "ES" for cardiac and empty for
    brain. Returns `(matrix, matrix, slices)`, signal in arbitrary units scaled to [0, 1].
    Raises ``ValueError`` for an unknown anatomy or a phase that does not fit it.
    """
    rng = np.random.default_rng(patient_seed)
    if anatomy == "brain" and phase == "":
        return draw_brain_volume(rng, matrix, slices)
    if anatomy == "cardiac" and phase in ("ED", "ES"):
        return draw_cardiac_volume(rng, matrix, slices, "ED" if phase == "ED" else "ES")
    raise ValueError(f"no phantom of anatomy {anatomy!r} at phase {phase!r}")
