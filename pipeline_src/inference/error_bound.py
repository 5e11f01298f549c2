"""Bounds the error of each pixel of a reconstruction, where nobody knows the true image.

From the reconstruction and the zero-filled image a scale of the error is computed for each pixel;
training slices weigh what it consists of. One factor makes the scale a bound. It is calibrated on
patients that the network was not trained on (`calibration.py`), by conformal prediction with the
patient as the unit: each of n patients has the least factor under which the wanted share of the
pixels lies within the bound, and the ceil((n + 1) p)-th of these in order is taken. Of a further
patient of the same population, that share of the pixels lies within the bound with a probability of
p or more, whatever the distribution and however poor the scale, which makes wide bounds then (Vovk
et al., Algorithmic Learning in a Random World, 2005; for images, Angelopoulos et al., ICML 2022).
"""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, NonNegativeFloat, NonNegativeInt, PositiveFloat
from scipy.ndimage import gaussian_filter, gaussian_gradient_magnitude

from pipeline_src.config.error_bounds import Share
from pipeline_src.config.section import Section
from pipeline_src.inference.described import read_described

FORMAT: Literal["sft-kd-recon error bound 1"] = "sft-kd-recon error bound 1"
#: Of the network's scale, at which a volume's maximum is 1: a pixel is of the foreground where the
#: smoothed reconstruction is brighter. Elsewhere errors are small, and would count as covered.
FOREGROUND = 0.05
#: Standard deviations in pixels: of the smoothing, and of the edges.
SMOOTH, EDGE = 1.5, 1.0
#: Least scale, so that no factor is infinite.
LEAST = 1e-6

Slice = NDArray[np.float32]


class Scale(Section):
    """Weights of what the scale of the error consists of, at the network's scale."""

    constant: NonNegativeFloat = Field(description="the same everywhere")
    change: NonNegativeFloat = Field(description="what the network changed, smoothed")
    edges: NonNegativeFloat = Field(description="gradient of the reconstruction")
    brightness: NonNegativeFloat = Field(description="the reconstruction, smoothed")

    def of(self, image: Slice, zero_filled: Slice) -> NDArray[np.float64]:
        """The scale of each pixel of a slice, from its reconstruction and its zero-filled image.

        All have one shape, at the network's scale: ``image`` `(rows, columns)`, ``zero_filled`` of
        the same shape, and the scale of the same shape.
        """
        weights = (self.constant, self.change, self.edges, self.brightness)
        found: NDArray[np.float64] = np.tensordot(weights, parts_of_scale(image, zero_filled), 1)
        return np.maximum(found, LEAST)


class Covered(Section):
    """How a bound did on a patient that it was not calibrated on, over the foreground."""

    any_text: ClassVar[bool] = True

    patient: str
    covered: float = Field(ge=0, le=1, description="share of the pixels within the bound")
    error: NonNegativeFloat = Field(description="mean absolute error, at the network's scale")
    bound: NonNegativeFloat = Field(description="mean bound, likewise")


class ErrorBound(Section):
    """A calibrated bound; the content of its file."""

    any_text: ClassVar[bool] = True

    format: Literal["sft-kd-recon error bound 1"] = FORMAT
    model: str
    dataset: str
    acceleration: str
    seed: NonNegativeInt | None = None
    weights_sha256: str
    mask_sha256: str
    pixels: Share = Field(description="of a patient's foreground, promised within the bound")
    patients: Share = Field(description="of whom that is promised")
    calibration_patients: NonNegativeInt
    scale: Scale
    factor: PositiveFloat = Field(description="by which the scale is multiplied")
    tried_on: list[Covered] = Field(default=[], description="patients of the test part")

    @property
    def kept(self) -> int:
        """For how many of the patients it was tried on it holds."""
        return sum(one.covered >= self.pixels for one in self.tried_on)

    def without_names(self) -> ErrorBound:
        """The same, with patients numbered."""
        tried = [
            one.model_copy(update={"patient": str(number)})
            for number, one in enumerate(self.tried_on, 1)
        ]
        return self.model_copy(update={"tried_on": tried})

    def of(self, image: Slice, zero_filled: Slice) -> Slice:
        """The bound of each pixel of a slice, from its reconstruction and its zero-filled image.

        All have one shape, at the network's scale: ``image`` `(rows, columns)`, ``zero_filled`` of
        the same shape, and the bound of the same shape.
        """
        found: Slice = (self.factor * self.scale.of(image, zero_filled)).astype(np.float32)
        return found


class Bounding:
    """Bounds the slices of a volume, and counts how many pixels lie within where that is known."""

    def __init__(self, bound: ErrorBound) -> None:
        self._bound, self._pixels, self._within = bound, 0, 0

    def of(self, image: Slice, zero_filled: Slice, target: Slice | None) -> Slice:
        """The bound of each pixel of a slice, as `ErrorBound.of`; zero where nothing was measured.

        All have one shape: ``image`` `(rows, columns)`, ``zero_filled`` of the same shape, the
        bound of the same shape, and the true image ``target``, where it is known, of the same
        shape.
        """
        if not zero_filled.any():
            return np.zeros_like(image)
        limit = self._bound.of(image, zero_filled)
        if target is not None:
            there = foreground(image)
            self._pixels += int(there.sum())
            self._within += int((np.abs(image - target) <= limit)[there].sum())
        return limit

    def summary(self) -> dict[str, float]:
        """What is promised, and the share of the foreground that lay within, if it is known."""
        told = {"pixels": self._bound.pixels, "patients": self._bound.patients}
        return told | ({"within": self._within / self._pixels} if self._pixels else {})


def foreground(image: Slice) -> NDArray[np.bool_]:
    """The pixels of a reconstructed slice for which a bound promises something.

    The slice has the shape `(rows, columns)`, at the network's scale, and so has the result, of the
    same shape.
    """
    found: NDArray[np.bool_] = gaussian_filter(np.abs(image), SMOOTH) > FOREGROUND
    return found


def parts_of_scale(image: Slice, zero_filled: Slice) -> NDArray[np.float64]:
    """What the scale of a slice consists of: `(4, rows, columns)`; ``image`` is `(rows, columns)`,
    and ``zero_filled`` of the same shape.
    """
    image, zero_filled = image.astype(np.float64), zero_filled.astype(np.float64)
    return np.stack(
        [
            np.ones_like(image),
            gaussian_filter(np.abs(image - zero_filled), SMOOTH),
            gaussian_gradient_magnitude(image, EDGE),
            gaussian_filter(np.abs(image), SMOOTH),
        ]
    )


def read_error_bound(path: Path) -> ErrorBound:
    """Read a calibrated bound.

    Raises:
        InputError: it is missing, damaged, or of another kind.
    """
    return read_described(path, ErrorBound, FORMAT, "make it with the calibrate command")
