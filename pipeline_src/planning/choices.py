"""Lists what decides how results are judged, and is to be chosen before they are known."""

from __future__ import annotations

from typing import Any

from pipeline_src.config.study import Study


def choices(study: Study, dataset: str) -> dict[str, Any]:
    """The values of a configuration that shape its tests and not its trainings, by key: margins,
    what is compared with what, over how many repeats, and on which patients of a data set.
    """
    return {
        "seeds": sorted(study.seeds),
        "recipes": sorted(study.recipes),
        "methods": sorted(study.methods),
        "evaluation.compared_methods": sorted(study.evaluation.compared_methods),
        **{
            f"evaluation.margins.{metric}": margin
            for metric, margin in study.evaluation.margins.model_dump().items()
        },
        f"datasets.{dataset}.report_on": study.datasets[dataset].report_on,
    }
