"""One configuration laid over another: what is merged, and what is replaced."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from pipeline_src.config import load_study
from pipeline_src.config.networks import Network, Networks
from pipeline_src.config.section import DEFAULT_KINDS, merge

DC_CNN = {"depth": 3, "cascades": 5, "features": 32}
UNET = {"kind": "unet_cascade", "cascades": 5, "options": {"features": 8}}


@pytest.mark.parametrize(
    ("base", "over", "expected"),
    [
        (DC_CNN, UNET, UNET),
        (DC_CNN | {"kind": "dc_cnn"}, UNET, UNET),
        (UNET, DC_CNN | {"kind": "dc_cnn"}, DC_CNN | {"kind": "dc_cnn"}),
        (DC_CNN, {"kind": "dc_cnn", "depth": 2}, DC_CNN | {"kind": "dc_cnn", "depth": 2}),
        (DC_CNN, {"depth": 2}, DC_CNN | {"depth": 2}),
        (UNET, {"options": {"levels": 2}}, UNET | {"options": {"features": 8, "levels": 2}}),
    ],
)
def test_a_network_of_another_kind_replaces_the_one_below(
    base: dict[str, Any], over: dict[str, Any], expected: dict[str, Any]
) -> None:
    merged = merge({"networks": {"teacher": base}}, {"networks": {"teacher": over}})
    assert merged == {"networks": {"teacher": expected}}


def test_a_source_without_a_kind_keeps_its_keys() -> None:
    source = {"source": {"path": "images"}}
    assert merge(source, {"source": {"kind": "nifti"}}) == {
        "source": {"path": "images", "kind": "nifti"}
    }


def test_the_kind_of_a_network_that_names_none_is_the_default() -> None:
    assert Networks().teacher.kind == Network.model_fields["kind"].default
    assert {"networks": Networks().teacher.kind} == DEFAULT_KINDS


def test_another_network_is_laid_over_the_papers_configuration(
    project_root: Path, tmp_path: Path
) -> None:
    (tmp_path / "mine.yaml").write_text(yaml.safe_dump({"networks": {"student": UNET}}))
    files = [project_root / "config/paper.yaml", tmp_path / "mine.yaml"]
    assert load_study(files).networks.student.model_dump(exclude={"module"}) == UNET


@pytest.mark.parametrize("first", [0, 1])
def test_overrides_of_one_network_are_taken_together(project_root: Path, first: int) -> None:
    given = ["networks.student.kind=unet_cascade", "networks.student.cascades=5"]
    files = project_root / "config/paper.yaml"
    student = load_study(files, [given[first], given[1 - first]]).networks.student
    assert (student.kind, student.cascades) == ("unet_cascade", 5)
