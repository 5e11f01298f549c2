"""What `estimate` says that a study of its size can show."""

from __future__ import annotations

from typing import Any

import pytest

from pipeline_src.config import check_study
from pipeline_src.evaluation.power import detectable_effect
from pipeline_src.operations.estimate.statistical_power import detectable_lines


@pytest.mark.parametrize(
    ("seeds", "patients", "said"),
    [
        (1, 20, "1 seed, 20 test patients: cannot show an effect of any size"),
        (5, 20, f"effects of {detectable_effect((5, 20), (0.2, 0.1)):.2f} dB or more"),
        (5, 4, "about these patients alone, too few for others"),
    ],
)
def test_what_a_study_can_show(
    seeds: int, patients: int, said: str, tiny_study: dict[str, Any]
) -> None:
    spread = {"expected_spread": {"between_seeds_db": 0.2}}
    study = check_study(tiny_study | {"seeds": list(range(seeds)), "evaluation": spread})
    line, assumed = detectable_lines(study, {"heads": patients})
    assert line.startswith("heads: ")
    assert said in line
    assert "0.2 dB between seeds and 0.1 dB between patients" in assumed


def test_more_seeds_show_less() -> None:
    effects = [detectable_effect((seeds, 20), (0.1, 0.1)) for seeds in (3, 5, 10)]
    assert effects == sorted(effects, reverse=True)
    assert effects[0] > 2 * effects[-1]
