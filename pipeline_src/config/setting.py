"""A setting: a data set at an acceleration, as in folders, wildcards, options and columns."""

from __future__ import annotations

from typing import NamedTuple


def acceleration_name(factor: int) -> str:
    """The name of an acceleration, such as `4x`."""
    return f"{factor}x"


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
