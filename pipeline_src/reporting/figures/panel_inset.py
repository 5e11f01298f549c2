"""Finds what the inset of a panel enlarges, and the corner where it hides least."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import uniform_filter

Image = NDArray[np.float32]
Box = tuple[int, int, int]
Shape = tuple[int, int]
Corner = tuple[bool, bool]
#: Share of an image's side that an inset takes.
INSET = 0.4


def inset_box(target: Image) -> Box:
    """First row, first column and side of the square with the most edges, a quarter of the slice's
    side; found from the target `(rows, columns)` alone.
    """
    side = max(8, min(target.shape) // 4)
    return square_of_most(np.hypot(*np.gradient(target)), side)


def square_of_most(amount: Image, side: int) -> Box:
    """The square of that side with the largest sum of an amount `(rows, columns)`."""
    energy = uniform_filter(amount, side, mode="constant")
    half = side // 2
    inner = energy[half : amount.shape[0] - half, half : amount.shape[1] - half]
    row, column = np.unravel_index(int(inner.argmax()), inner.shape)
    return int(row), int(column), side


def inset_corner(target: Image, box: Box, marked: Box | None) -> Corner:
    """Whether the inset is placed at the top and at the right of a slice `(rows, columns)`: where
    it covers least of the marked square and of what it enlarges, then least of the object, and
    among those farthest from what it enlarges.
    """
    row, column, side = box
    shape = target.shape[0], target.shape[1]
    rows, columns = (int(INSET * size) for size in shape)
    far = (row + side / 2 > shape[0] / 2, column + side / 2 < shape[1] / 2)

    def cost(corner: Corner) -> tuple[float, float, int]:
        covered = sum(_hidden(shape, corner, place) for place in (marked, box) if place)
        part = target[:rows] if corner[0] else target[-rows:]
        part = part[:, -columns:] if corner[1] else part[:, :columns]
        near = sum(one != other for one, other in zip(corner, far, strict=True))
        return covered, float(np.square(part).sum()), near

    return min(((top, right) for top in (True, False) for right in (True, False)), key=cost)


def _hidden(shape: Shape, corner: Corner, box: Box) -> float:
    """Fraction of a square that an inset in a corner covers."""
    top, right = corner
    covered = 1.0
    for start, size, at_start in zip(box[:2], shape, (top, not right), strict=True):
        low, high = (0.0, INSET * size) if at_start else ((1 - INSET) * size, float(size))
        covered *= max(0.0, min(start + box[2], high) - max(start, low)) / box[2]
    return covered
