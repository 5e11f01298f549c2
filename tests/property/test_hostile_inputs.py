"""Whatever is given, a command does what was asked or refuses in one line, and nothing between.

Inputs are drawn by family and number: `HOSTILE_INPUTS=2000` draws so many in all, and the name of a
test, such as `masks-17`, tells the input to repeat.
"""

from __future__ import annotations

import os
import random
from collections import Counter
from pathlib import Path

import hostile_configurations
import hostile_hdf5
import hostile_headers
import hostile_masks
import hostile_stores
import hostile_trees
import pytest
from hostile_running import Draw, Hostile, check


def _hdf5(rng: random.Random, folder: Path) -> Hostile:
    """A file of the authors or a store of ours."""
    return rng.choice([hostile_hdf5.draw, hostile_stores.draw])(rng, folder)


FAMILIES: dict[str, Draw] = {
    "configurations": hostile_configurations.draw,
    "trees": hostile_trees.draw,
    "masks": hostile_masks.draw,
    "hdf5": _hdf5,
    "headers": hostile_headers.draw,
}
PER_FAMILY = max(1, int(os.environ.get("HOSTILE_INPUTS", "200")) // len(FAMILIES))

_seen: Counter[tuple[str, str]] = Counter()


@pytest.mark.parametrize("number", range(PER_FAMILY))
@pytest.mark.parametrize("family", FAMILIES)
def test_hostile_input(family: str, number: int, tmp_path: Path) -> None:
    hostile = FAMILIES[family](random.Random(f"{family} {number}"), tmp_path)
    # Shown by pytest where the test fails.
    print(f"{family} {number}: {hostile.arguments}\n{hostile.shown}")
    _seen[family, "accepted" if check(hostile) == 0 else "refused"] += 1


def test_some_of_each_family_are_accepted_and_some_refused() -> None:
    if sum(_seen.values()) < len(FAMILIES) * PER_FAMILY:
        pytest.skip("not all inputs ran here, or some failed")
    print("\n".join(f"{family} {what}: {count}" for (family, what), count in _seen.items()))
    if PER_FAMILY >= 20:
        assert {key for key, count in _seen.items() if count >= PER_FAMILY // 20} == {
            (family, what) for family in FAMILIES for what in ("accepted", "refused")
        }
