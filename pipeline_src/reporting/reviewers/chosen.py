"""Compares what decides how results are judged with what it was when the models were trained."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from typing import Any

from pipeline_src.config.study import Study
from pipeline_src.planning.choices import choices
from pipeline_src.provenance.manifest import UNKNOWN
from pipeline_src.reporting.display_names import counted
from pipeline_src.reporting.reviewers.parts import Facts, Part
from pipeline_src.reporting.reviewers.records import Records

HEADINGS = ("choice", "this study", "when the models were trained")


def chosen_part(study: Study, records: Records) -> Part:
    """The choices of a study, each with its values when models were trained."""
    lead = (
        "What shapes the tests and no training, as configured now, and as configured when the "
        "present models were trained. What is chosen after results are known makes the tests "
        "weaker than they say. What was looked at or dropped before is not recorded."
    )
    rows = [
        (key, now, ", ".join(_counted(values)) or UNKNOWN)
        for key, now, values in _all(study, records)
    ]
    return Part("chosen", "What was chosen beforehand", [Facts(lead, HEADINGS, rows)])


def chosen_anew(study: Study, records: Records) -> list[str]:
    """What was chosen otherwise when models were trained, a clause each."""
    return [
        f"{key}: now {now}, at training {', '.join(_counted(earlier))}"
        for key, now, values in _all(study, records)
        if (earlier := Counter({value: n for value, n in values.items() if value != now}))
    ]


def _all(study: Study, records: Records) -> Iterator[tuple[str, str, Counter[str]]]:
    """Key, value now and the number of models by value when they were trained; values in JSON."""
    found: dict[str, Any] = {}
    for dataset in study.datasets:
        found |= choices(study, dataset)
    for key, value in found.items():
        yield key, json.dumps(value), records.choices.get(key, Counter())


def _counted(values: Counter[str]) -> list[str]:
    return [f"{value} ({counted([n], 'training')})" for value, n in sorted(values.items())]
