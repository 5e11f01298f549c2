"""Figures depend on what their own kind says, and not on the list of all kinds."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from training_helpers import study_with

from pipeline_src.errors import InputError
from pipeline_src.planning.reported import of_study
from pipeline_src.planning.results import Results
from pipeline_src.planning.step_code import PACKAGE, digests
from pipeline_src.planning.steps import figure_step, report_step
from pipeline_src.planning.study_models import Models
from pipeline_src.reporting.figures.kinds import KINDS, Kind

DRAWN = list(KINDS)
LIST = "reporting/figures/kinds.py"


def defined() -> dict[str, tuple[Any, list[Path]]]:
    steps = {kind: figure_step(kind, "") for kind in DRAWN}
    return {kind: (step.settings, step.code) for kind, step in steps.items()}


def of_report() -> Any:
    return report_step(study_with(), PACKAGE.parent / "config/paper.yaml").settings


def test_the_list_of_kinds_is_source_of_none() -> None:
    report = report_step(study_with(), PACKAGE.parent / "config/paper.yaml")
    for code in (report.code, *(code for _, code in defined().values())):
        assert LIST not in digests(code)


def test_a_new_kind_redraws_the_report_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    figures, report = defined(), of_report()
    new = Kind("mask", "another mask of", "Sampling", "mask")
    monkeypatch.setitem(KINDS, "another", new)
    assert defined() == figures
    assert of_report() != report


@pytest.mark.parametrize(
    "changes", [{"options": {"metric": "hfn"}}, {"options": {}}, {"module": "forest"}], ids=str
)
def test_what_a_kind_does_redraws_it_alone(
    changes: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    figures, report = defined(), of_report()
    monkeypatch.setitem(KINDS, "boxplot_psnr", replace(KINDS["boxplot_psnr"], **changes))
    assert [kind for kind in figures if defined()[kind] != figures[kind]] == ["boxplot_psnr"]
    assert of_report() == report


def test_a_heading_is_the_reports(monkeypatch: pytest.MonkeyPatch) -> None:
    figures, report = defined(), of_report()
    monkeypatch.setitem(KINDS, "mask", replace(KINDS["mask"], heading="Masks"))
    assert defined() == figures
    assert of_report() != report


def planned(kind: str) -> None:
    """As the rule of a figure is planned."""
    study = study_with()
    folder = PACKAGE.parent / "config"
    results = Results(
        Models(study), of_study(study), "r", folder / "paper_results.csv", folder / "paper.yaml"
    )
    results.figure(kind)({"dataset": next(iter(study.datasets)), "acceleration": "4x"})


def test_a_kind_without_its_module_or_caption_is_refused_when_a_run_is_planned(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    planned("mask")
    monkeypatch.setitem(KINDS, "pie", KINDS["mask"])
    with pytest.raises(InputError, match=r"^figure pie: .*/captions/pie\.rst is missing, its capt"):
        planned("pie")
    monkeypatch.setitem(KINDS, "mask", replace(KINDS["mask"], module="pies"))
    with pytest.raises(InputError, match=r"^figure mask: no module \S*figures\.pies found"):
        planned("mask")
