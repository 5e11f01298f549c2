"""Shifts: in what the use of a trained model differs from its training."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, get_args

from pipeline_src.errors import InputError

#: Masks of other kinds than those of the trainings, and their titles. `sampling/families.py` draws
#: them.
FAMILIES = {
    "equispaced": "equispaced lines",
    "uniform": "uniformly drawn lines",
    "gaussian": "lines of Gaussian density",
    "poisson_disc": "2-D Poisson disc",
}
if TYPE_CHECKING:
    Family = str
else:
    # The same names, so that a configuration is checked by them and its schema lists them.
    Family = Literal[tuple(FAMILIES)]
Kind = Literal["seed", "family", "acceleration", "noise", "scale", "data"]
#: Headings of the kinds, in the order of tables and figures.
KINDS: dict[Kind, str] = {
    "seed": "Other lines of the same density",
    "family": "Other kinds of mask",
    "acceleration": "Other accelerations",
    "noise": "Noise in k-space",
    "scale": "Other intensities",
    "data": "Other images",
}


@dataclass(frozen=True)
class Shift:
    """One difference, told by a name that folders and tables use.

    Attributes:
        kind: in what it differs.
        value: number of a draw, family, acceleration, noise (a fraction of the volume's maximum),
            factor of the intensities, or name of a data set, as text.
    """

    kind: Kind
    value: str

    @property
    def name(self) -> str:
        """Such as `seed_1`, `equispaced`, `acceleration_6`, `noise_0.01`, `data_cardiac`."""
        return self.value if self.kind == "family" else f"{self.kind}_{self.value}"

    @property
    def draws_mask(self) -> bool:
        """Whether it has a mask of its own."""
        return self.kind in ("seed", "family", "acceleration")

    @property
    def title(self) -> str:
        """What people read; of other images, the data set's name."""
        match self.kind:
            case "seed":
                return f"other lines, draw {self.value}"
            case "family":
                return FAMILIES[self.value]
            case "acceleration":
                return f"{self.value}x"
            case "noise":
                return f"noise of {100 * float(self.value):g} %"
            case "scale":
                return f"intensities times {self.value}"
            case "data":
                return f"images of {self.value}"

    @classmethod
    def of_number(cls, kind: Kind, number: float) -> Shift:
        """One whose value is a number, written in as few digits as tell it."""
        return cls(kind, f"{number:g}")

    @classmethod
    def of_name(cls, name: str) -> Shift:
        """The shift of a name.

        Raises:
            InputError: it names none.
        """
        if name in FAMILIES:
            return cls("family", name)
        kind, _, value = name.partition("_")
        for known in get_args(Kind):
            if kind == known != "family" and re.fullmatch(VALUES[known], value):
                return cls(known, value)
        raise InputError(
            f"{name!r:.80} is not a shift; give seed_1, acceleration_6, noise_0.01, scale_0.5, "
            f"data_NAME, {', '.join(FAMILIES)}"
        )


_NUMBER = r"(?=.*[1-9])\d+(\.\d+)?(e-?\+?\d\d)?"
#: What follows the kind in a name.
VALUES: dict[Kind, str] = {
    "seed": r"[1-9]\d{0,5}",
    "acceleration": r"[1-9]\d{0,3}",
    "noise": _NUMBER,
    "scale": _NUMBER,
    "data": r"[a-z][a-z0-9_]{0,63}",
}
