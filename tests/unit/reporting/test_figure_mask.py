"""The mask's figure, and the point spread that it shows."""

from __future__ import annotations

import numpy as np
import pytest
from figure_helpers import cut_off, heading, legend, overlapping

from pipeline_src.reporting.figures.mask import FLOOR_DB, draw, point_spread_db, side_lobe_db
from pipeline_src.sampling.masks import Mask, drawn_mask, line_density, lines_mask

pytestmark = pytest.mark.usefixtures("styled")


def every(step: int, rows: int = 32) -> Mask:
    """Every so many lines."""
    lines = np.arange(rows) % step == 0
    return Mask(lines_mask(lines, 16), {"kind": "given", "file": "lines.npy"})


DRAWN = drawn_mask((32, 16), 4, 7, 4)


def test_point_spread_of_every_second_line_has_a_copy_half_the_field_away() -> None:
    spread = point_spread_db(every(2))
    assert spread[16] == pytest.approx(0)
    assert spread[0] == pytest.approx(0)
    others = np.delete(spread, [0, 16])
    assert others.max() < -100
    assert side_lobe_db(spread) == pytest.approx(0)


def test_point_spread_of_all_lines_is_a_point_without_side_lobes() -> None:
    spread = point_spread_db(every(1))
    assert spread[16] == pytest.approx(0)
    assert np.delete(spread, 16).max() <= -200 + 1e-9
    assert not side_lobe_db(spread) > FLOOR_DB
    figure = draw(every(1), "Heart")
    assert all("side lobe" not in entry for entry in legend(figure))


def test_point_spread_of_a_block_is_that_of_the_known_sum() -> None:
    rows, block = 32, 8
    lines = np.zeros(rows, bool)
    lines[np.arange(-4, 4)] = True
    shift = np.arange(rows) - rows // 2
    with np.errstate(invalid="ignore", divide="ignore"):
        expected = np.sin(np.pi * shift * block / rows) / (block * np.sin(np.pi * shift / rows))
    expected[rows // 2] = 1
    spread = point_spread_db(Mask(lines_mask(lines, 4), {"kind": "given", "file": "x"}))
    clear = np.abs(expected) > 1e-6
    np.testing.assert_allclose(10 ** (spread[clear] / 20), np.abs(expected[clear]), atol=1e-9)
    # The first side lobe of a block of 8 lies between 1 and 2 zeros from the peak.
    assert side_lobe_db(spread) == pytest.approx(
        20 * np.log10(np.abs(expected[17 + 4 : 17 + 8]).max())
    )


def test_side_lobe_on_either_side_counts() -> None:
    lobes = np.array([-30.0, -9.0, -20.0, -6.0, 0.0, -6.0, -20.0, -12.0])
    assert side_lobe_db(lobes) == -9.0
    assert side_lobe_db(lobes[::-1][:-1]) == pytest.approx(-9.0)
    assert np.isnan(side_lobe_db(np.array([-2.0, -1.0, 0.0, -1.0])))


def test_drawn_mask_stands_beside_the_density_it_is_drawn_from() -> None:
    figure = draw(DRAWN, "Heart 4x")
    mask, lines, spread = figure.axes
    assert heading(figure) == (
        "Heart 4x: sampling mask\n8 of 32 lines, 25.0% of k-space sampled (drawn, seed 7)"
    )
    shown = np.asarray(mask.images[0].get_array())
    np.testing.assert_array_equal(shown, np.fft.fftshift(DRAWN.samples, axes=0))
    density = line_density(32, 4)
    drawn = {line.get_label(): line for line in lines.lines}["density (peak 1)"]
    np.testing.assert_allclose(drawn.get_ydata(), density / density.max())
    assert drawn.get_xdata()[np.argmax(drawn.get_ydata())] == 0
    assert spread.get_ylabel() == "magnitude (dB, peak 0)"
    assert spread.get_xlabel() == "distance from the peak (pixels)"
    assert legend(figure)[:3] == ["sampled line", "always sampled", "density (peak 1)"]


def test_block_that_is_always_sampled_is_shaded_where_its_lines_are() -> None:
    (block,) = draw(DRAWN, "Heart").axes[1].patches
    left, width = block.get_x(), block.get_width()
    assert width == 4
    centred = np.arange(-16, 16)
    inside = (centred > left) & (centred < left + width)
    assert inside.sum() == 4
    assert np.fft.fftshift(DRAWN.samples[:, 0])[inside].all()


def test_legend_tells_the_highest_side_lobe() -> None:
    lobe = side_lobe_db(point_spread_db(DRAWN))
    figure = draw(DRAWN, "Heart")
    assert legend(figure)[-1] == f"highest side lobe (\N{MINUS SIGN}{-lobe:.1f} dB)"
    heights = [line.get_ydata()[0] for line in figure.axes[2].lines if len(line.get_ydata()) == 2]
    assert heights == [pytest.approx(lobe)]


def test_mask_that_is_given_and_not_of_whole_lines_is_drawn() -> None:
    samples = np.random.default_rng(0).random((16, 16)) < 0.5
    samples[0, 0] = True
    figure = draw(Mask(samples, {"kind": "given", "file": "m.npy"}), "Heart")
    assert "2-D mask" in heading(figure)
    assert "given, m.npy" in heading(figure)
    assert figure.axes[1].get_ylabel() == "share sampled"
    assert legend(figure)[0] == "sampled share of a line"
    assert overlapping(figure) == []
    assert cut_off(figure) == []
