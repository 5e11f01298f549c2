"""Chooses the number by which a volume is divided, and questions one that does not fit it."""

from __future__ import annotations

import math

from pipeline_src.errors import InputError
from pipeline_src.inference.volumes import Volume

#: How many times a maximum may be the scale that was given, or the reverse, before a warning and
#: before it is refused.
WARNED, REFUSED = 2.0, 1e3
#: By how much a scale that was typed may differ from the maximum that it stands for.
ROUNDING = 1e-3
#: The maximum of a zero-filled image, as a share of its image's.
LIKELY = (0.5, 1.5)


def chosen_scale(
    volume: Volume, maximum: float, given: float | None, *, bounded: bool
) -> tuple[float, str]:
    """The scale of a volume with that maximum (of k-space, of its zero-filled images), and what it
    is; ``given`` is the user's, and ``bounded`` says whether its errors are to be bounded.

    Raises:
        InputError: the given one is of another order than the maximum, or a bound of errors would
            not hold at it.
    """
    measured = volume.domain == "kspace"
    of = "the maximum of the zero-filled volume" if measured else "the maximum of the volume"
    own = (maximum, of) if volume.scale is None else (volume.scale, "as the store has it")
    if given is None:
        return own
    what = "the maximum of its zero-filled image" if measured else "its maximum"
    if not 1 / REFUSED <= maximum / given <= REFUSED:
        raise InputError(
            f"{volume.path}: {what} is {maximum:.4g}, and --scale {given:.4g} is of another order; "
            "give one in the units of the input, or leave --scale out"
        )
    if bounded:
        least, most = LIKELY
        fits = (
            least <= maximum / given <= most
            if measured
            else math.isclose(given, own[0], rel_tol=ROUNDING)
        )
        if not fits:
            due = f"{what} is {maximum:.4g}" if measured else f"its own is {own[0]:.4g}"
            raise InputError(
                f"{volume.path}: the bound of errors does not hold at --scale {given:.4g}, since "
                f"{due}; leave --scale or --error-bound out"
            )
    return given, "given"


def is_questionable(maximum: float, scale: float) -> bool:
    """Whether the maximum of a volume is far from the scale that it was divided by."""
    return not 1 / WARNED <= maximum / scale <= WARNED
