"""Masks that are drawn: their number of lines, their centre and their density."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray
from scipy import stats

from pipeline_src.cli import main
from pipeline_src.errors import InputError
from pipeline_src.sampling.given_masks import mask_from_file
from pipeline_src.sampling.masks import Mask, draw_lines, drawn_mask, line_density, require_size

AUTHORS_COUNTS = [(150, 4, 37), (150, 5, 30), (240, 4, 60), (240, 5, 48)]


def outer_density(lines: int, acceleration: int, center_lines: int) -> NDArray[np.float64]:
    """The formula of DC-CNN, written anew: centred lines, none from the centre, sum 1."""
    density = np.array(
        [
            np.exp(-0.5 * ((k - lines / 2) / (lines / 10)) ** 2) + 1 / (2 * acceleration)
            for k in range(lines)
        ]
    )
    first = lines // 2 - center_lines // 2
    density[first : first + center_lines] = 0
    return density / density.sum()


@pytest.mark.parametrize(("lines", "acceleration", "count"), AUTHORS_COUNTS)
@pytest.mark.parametrize("seed", range(5))
def test_drawn_mask_has_as_many_lines_as_the_authors(
    lines: int, acceleration: int, count: int, seed: int
) -> None:
    mask = drawn_mask((lines, 7), acceleration, seed, 10)
    assert mask.samples.shape == (lines, 7)
    assert mask.lines is not None
    assert mask.lines.sum() == count
    assert (mask.samples == mask.lines[:, None]).all()


@pytest.mark.parametrize(("lines", "acceleration", "count"), AUTHORS_COUNTS)
def test_authors_mask_is_read_from_its_table(
    lines: int, acceleration: int, count: int, project_root: Path
) -> None:
    path = project_root / "config" / "authors_masks.csv"
    mask = mask_from_file(path, (lines, lines), acceleration)
    table = pd.read_csv(path, comment="#")
    row = table[
        (table["matrix_size"] == f"{lines}x{lines}") & (table["acceleration"] == f"{acceleration}x")
    ]
    listed = [int(k) for k in row["sampled_lines"].item().split()]
    assert mask.lines is not None
    assert np.flatnonzero(mask.lines).tolist() == listed
    assert len(listed) == count
    assert mask.description["kind"] == "given"


@pytest.mark.parametrize("lines", [48, 49, 150, 151, 240])
@pytest.mark.parametrize("center_lines", [0, 1, 9, 10])
def test_lowest_frequencies_are_always_sampled(lines: int, center_lines: int) -> None:
    frequencies = np.fft.fftfreq(lines, 1 / lines).astype(int)
    # Of two equally low frequencies left over, the negative one belongs to the block.
    lowest = sorted(range(lines), key=lambda k: (abs(frequencies[k]), frequencies[k]))
    for seed in range(20):
        drawn = draw_lines(lines, 4, np.random.default_rng(seed), center_lines)
        assert drawn[lowest[:center_lines]].all()
        assert drawn.sum() == lines // 4


def test_ten_lowest_frequencies_lie_around_index_zero() -> None:
    drawn = draw_lines(150, 15, np.random.default_rng(0), 10)
    assert np.flatnonzero(drawn).tolist() == [0, 1, 2, 3, 4, 145, 146, 147, 148, 149]


def test_seed_size_and_acceleration_alone_decide_a_mask() -> None:
    first = drawn_mask((150, 150), 4, 3, 10)
    again = drawn_mask((150, 150), 4, 3, 10)
    assert np.array_equal(first.samples, again.samples)
    assert first.description == again.description
    wider = drawn_mask((150, 20), 4, 3, 10)
    assert np.array_equal(first.samples[:, 0], wider.samples[:, 0])
    other = drawn_mask((150, 150), 4, 4, 10)
    assert not np.array_equal(first.samples, other.samples)
    faster = drawn_mask((150, 150), 5, 3, 10)
    assert (faster.samples & ~first.samples).any()


@pytest.mark.parametrize(
    ("lines", "acceleration", "drawn"),
    [
        (48, 4, [0, 1, 2, 3, 4, 6, 20, 41, 44, 45, 46, 47]),
        (48, 5, [0, 1, 2, 3, 17, 38, 45, 46, 47]),
        (60, 4, [0, 1, 2, 3, 9, 18, 21, 22, 23, 35, 50, 56, 57, 58, 59]),
    ],
)
def test_masks_of_a_seed_are_those_that_were_drawn_before(
    lines: int, acceleration: int, drawn: list[int]
) -> None:
    samples = drawn_mask((lines, 3), acceleration, 0, 6).samples
    assert np.flatnonzero(samples[:, 0]).tolist() == drawn


@pytest.mark.parametrize("lines", [150, 240])
@pytest.mark.parametrize("acceleration", [4, 5])
def test_density_has_a_standard_deviation_of_a_tenth_of_the_lines_over_a_floor(
    lines: int, acceleration: int
) -> None:
    floor = 1 / (2 * acceleration)
    density = line_density(lines, acceleration)
    for deviations, height in ((0, 1), (1, math.exp(-1 / 2)), (2, math.exp(-2)), (4, math.exp(-8))):
        for line in (lines // 2 - deviations * lines // 10, lines // 2 + deviations * lines // 10):
            assert density[line] == pytest.approx(height + floor, rel=1e-12)


def test_density_of_an_odd_number_of_lines_has_its_maximum_between_two() -> None:
    density = line_density(151, 4)
    assert density[75] == density[76] == density.max()


def test_digest_tells_masks_apart_by_each_sample_and_by_their_shape() -> None:
    samples = np.zeros((4, 6), dtype=np.bool_)
    turned = Mask(samples.reshape(6, 4), {})
    digests = {Mask(samples, {}).digest, turned.digest}
    for place in np.ndindex(samples.shape):
        other = samples.copy()
        other[place] = True
        digests.add(Mask(other, {"kind": "given"}).digest)
        assert Mask(other, {"kind": "drawn"}).digest in digests
    assert len(digests) == 2 + samples.size


@pytest.mark.parametrize("matrix", [(48, 40), (40, 48), (48, 49), (49, 48)])
def test_slices_that_differ_from_a_mask_along_one_axis_are_refused(matrix: tuple[int, int]) -> None:
    mask = drawn_mask((48, 48), 4, 0, 6)
    require_size(mask, Path("mask.npz"), (48, 48), Path("volumes.h5"))
    with pytest.raises(InputError, match="mask of 48x48 for slices of"):
        require_size(mask, Path("mask.npz"), matrix, Path("volumes.h5"))


def test_first_outer_line_is_drawn_with_the_density_of_the_formula() -> None:
    lines, acceleration, center_lines, draws = 44, 4, 10, 3000
    expected = outer_density(lines, acceleration, center_lines)
    rng = np.random.default_rng(0)
    counts = np.zeros(lines)
    for _ in range(draws):
        # 44 // 4 = 11 lines: the 10 of the centre and one drawn.
        counts += np.fft.fftshift(draw_lines(lines, acceleration, rng, center_lines))
    outer = expected > 0
    assert counts[~outer].tolist() == [draws] * center_lines
    assert counts[outer].sum() == draws
    # The seed is fixed; under the formula the test would fail for one seed in a thousand.
    assert stats.chisquare(counts[outer], draws * expected[outer]).pvalue > 1e-3
    # The draws are enough to tell the formula from others.
    uniform = np.full(outer.sum(), draws / outer.sum())
    assert stats.chisquare(counts[outer], uniform).pvalue < 1e-6
    other_rate = outer_density(lines, 2 * acceleration, center_lines)[outer]
    assert stats.chisquare(counts[outer], draws * other_rate).pvalue < 1e-6


@pytest.mark.parametrize(("lines", "acceleration", "count"), AUTHORS_COUNTS)
def test_whole_masks_follow_the_density(lines: int, acceleration: int, count: int) -> None:
    draws = 2000
    density = outer_density(lines, acceleration, 10)
    rng = np.random.default_rng(1)
    rate = np.zeros(lines)
    for _ in range(draws):
        rate += np.fft.fftshift(draw_lines(lines, acceleration, rng)) / draws
    # Drawing m of many one by one without replacement takes line k with probability
    # 1 - exp(-t p_k), where t makes the sum m, but for terms of order 1/m.
    low, high = 0.0, 1e4
    for _ in range(100):
        t = (low + high) / 2
        low, high = (t, high) if (1 - np.exp(-t * density)).sum() < count - 10 else (low, t)
    outer = density > 0
    expected = 1 - np.exp(-t * density[outer])
    # Five standard errors of a rate over the draws are 0.056 at most; the approximation's own
    # error stays far below that.
    assert np.abs(rate[outer] - expected).max() < 0.056
    assert np.abs(rate[outer] - (count - 10) / outer.sum()).max() > 0.15


def test_more_central_lines_than_lines_are_refused() -> None:
    with pytest.raises(InputError, match=r"sampling\.center_lines: 10 is more than the 9 lines"):
        drawn_mask((36, 36), 4, 0, 10)


@pytest.mark.parametrize("acceleration", ["0x", "-4x", "1"])
def test_impossible_acceleration_on_the_command_line_is_refused(
    acceleration: str,
    tiny_study: dict[str, Any],
    tmp_path: Path,
    write_config: Any,
    capsys: pytest.CaptureFixture[str],
) -> None:
    output = tmp_path / "out" / "mask.npz"
    arguments = ["--dataset", "heads", f"--acceleration={acceleration}", "--output", str(output)]
    try:
        status = main(["mask", "--config", str(write_config(tiny_study)), *arguments])
    except SystemExit as stop:  # how argparse refuses a value
        status = int(str(stop.code))
    assert status == 2
    assert "acceleration" in capsys.readouterr().err
    assert not output.exists()
