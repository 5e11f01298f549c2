"""Estimates the smallest effect that a study of its size can show, before it is started."""

from __future__ import annotations

import math

from pipeline_src.config import Study
from pipeline_src.evaluation.comparison import MINIMUM_SEEDS
from pipeline_src.evaluation.power import detectable_effect
from pipeline_src.evaluation.statistics import patients_needed
from pipeline_src.reporting.display_names import counted, value_text


def detectable_lines(
    study: Study, patients: dict[str, int], trained_on: dict[str, int] | None = None
) -> list[str]:
    """A line per data set: the smallest effect on the primary question that 80 % of studies of this
    size show.

    Args:
        study: the study.
        patients: number of reported patients of each data set; if each seed has its own split, for
            the first seed.
        trained_on: number of training patients of each data set; needed if each seed has its own
            split.
    """
    spread = study.evaluation.expected_spread
    seeds, lines = len(study.seeds), []
    for name, number in patients.items():
        part = study.datasets[name].report_on
        who = f"{counted([seeds], 'seed')}, {counted([number], f'{part} patient')}"
        start = f"{study.dataset_title(name)}: {who}: "
        if seeds < MINIMUM_SEEDS:
            lines.append(
                f"{start}cannot show an effect of any size; {MINIMUM_SEEDS} seeds are needed"
            )
            continue
        by_seed, by_patient = spread.between_seeds_db, spread.between_patients_db
        if own_split := "split" in study.repeat_over:
            # A repeat is the mean over its own patients.
            by_seed = math.hypot(by_seed, by_patient / math.sqrt(number))
            start = f"{start.removesuffix(': ')} with each, of splits of their own: "
        few = number * (seeds if own_split else 1) < patients_needed(1)
        size = (seeds, 1 if few or own_split else number)
        overlap = number / (trained_on or {})[name] if own_split else 0.0
        least = detectable_effect(size, (by_seed, by_patient), overlap=overlap)
        alone = few and not own_split
        about = ", about these patients alone, too few for others" if alone else ""
        lines.append(
            f"{start}effects of {value_text(least, 'psnr_db')} dB or more on the primary question "
            f"are shown in 80 % of such studies{about}"
        )
    return [
        *lines,
        f"(for differences that vary by {spread.between_seeds_db:g} dB between seeds and "
        f"{spread.between_patients_db:g} dB between patients: evaluation.expected_spread)",
    ]
