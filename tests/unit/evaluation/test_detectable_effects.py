"""How the smallest effect that can be shown follows from a study's size and spreads."""

from __future__ import annotations

import pytest

from pipeline_src.evaluation.power import detectable_effect


def test_what_repeats_have_in_common_makes_the_error_of_their_mean_larger() -> None:
    """1 / 5 + 1 / 4 is 1.5^2 / 5."""
    apart, shared = (detectable_effect((5, 1), (0.1, 0.0), overlap=o) for o in (0.0, 0.25))
    assert shared == pytest.approx(1.5 * apart)


def test_the_spread_of_a_factor_with_one_level_is_ignored() -> None:
    of_one_patient = detectable_effect((5, 1), (0.1, 0.3))
    assert of_one_patient == detectable_effect((5, 1), (0.1, 0.0))
    assert detectable_effect((1, 12), (0.3, 0.1)) == detectable_effect((1, 12), (0.0, 0.1))


def test_any_effect_is_shown_where_nothing_varies() -> None:
    assert detectable_effect((3, 12), (0.0, 0.0)) == 0


def test_an_effect_is_as_large_as_the_spreads_that_hide_it() -> None:
    small = detectable_effect((3, 10), (0.1, 0.2))
    assert detectable_effect((3, 10), (0.4, 0.8)) == pytest.approx(4 * small)


@pytest.mark.parametrize("size", [(5, 1), (5, 8)])
def test_more_power_needs_a_larger_effect(size: tuple[int, int]) -> None:
    usual = detectable_effect(size, (0.1, 0.2))
    found = [detectable_effect(size, (0.1, 0.2), power=power) for power in (0.5, 0.8, 0.95)]
    assert found[0] < found[1] == usual < found[2]
