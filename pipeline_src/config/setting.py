"""A setting: a data set at an acceleration, as in folders, wildcards, options and columns."""

from __future__ import annotations

from typing import NamedTuple


def acceleration_name(factor: int) -> str:
    """The name of an acceleration, such as `4x`."""
    return f"{factor}x"


def acceleration_factor(name: str) -> int:
    """The factor of an acceleration such as `4x` or `4`.

    Raises:
        ValueError: it is not a whole number of 2 or more.
    """
    digits = name.removesuffix("x")
    factor = int(digits) if digits.isascii() and digits.isdecimal() else 0
    if factor < 2:
        raise ValueError(f"{name!r} is not an acceleration such as 4x")
    return factor


class Setting(NamedTuple):
    """A setting of a study.

    Attributes:
        dataset: its name.
        acceleration: such as `4x`.
    """

    dataset: str
    acceleration: str

    @property
    def factor(self) -> int:
        """The acceleration as a number."""
        return int(self.acceleration.removesuffix("x"))
