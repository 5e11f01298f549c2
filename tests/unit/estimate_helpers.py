"""Speeds of trainings, as an estimate takes them."""

from __future__ import annotations

from pipeline_src.config import Study
from pipeline_src.operations.estimate.speed import Range, Speed, kind_of
from pipeline_src.planning.study_models import Models


def even_speed(study: Study) -> Speed:
    """The same for all kinds: a nanosecond, give or take half."""
    plans = [Models(study).plan(name, 0) for name in study.model_names()]
    speeds = {(kind_of(plan), 16, 16): Range(0.5e-9, 1e-9, 1.5e-9) for plan in plans}
    return Speed(speeds, Range(1, 2, 3), "the test")
