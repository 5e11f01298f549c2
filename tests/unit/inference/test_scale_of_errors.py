"""What the scale of a bound is made of: its files hold weights of these parts and one factor."""

from __future__ import annotations

import numpy as np
import pytest

from pipeline_src.inference.error_bound import foreground, parts_of_scale


def test_parts_of_a_step_have_the_widths_of_smoothing_and_edges() -> None:
    step = np.zeros((40, 40), dtype=np.float32)
    step[20:] = 1
    constant, change, edges, brightness = parts_of_scale(step, np.zeros_like(step))[:, 20, 20]
    assert constant == 1
    # Half a pixel beyond it: the normal distribution of 1.5 pixels, and the density of 1 pixel.
    assert change == brightness == pytest.approx(0.6306, rel=0.02)
    assert edges == pytest.approx(0.352, rel=0.06)


def test_foreground_is_brighter_than_a_twentieth() -> None:
    flat = np.ones((8, 8), dtype=np.float32)
    assert not foreground(np.float32(0.049) * flat).any()
    assert foreground(np.float32(0.051) * flat).all()
