"""What other services read of the project says the same everywhere."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path

import pytest
import yaml


@pytest.fixture
def project(project_root: Path) -> dict[str, str]:
    found: dict[str, str] = tomllib.loads((project_root / "pyproject.toml").read_text())["project"]
    return found


def test_versions_and_titles_agree(project_root: Path, project: dict[str, str]) -> None:
    citation = yaml.safe_load((project_root / "CITATION.cff").read_text())
    codemeta = json.loads((project_root / "codemeta.json").read_text())
    assert citation["version"] == codemeta["version"] == project["version"]
    assert citation["title"] == codemeta["name"]
    assert codemeta["license"].endswith(citation["license"])
    assert citation["preferred-citation"]["title"] == codemeta["referencePublication"]["name"]


def test_the_public_forge_runs_what_make_runs(project_root: Path) -> None:
    """On the oldest Python that is supported, and on later ones."""
    workflow = yaml.safe_load((project_root / ".github/workflows/ci.yml").read_text())
    steps = [step for job in workflow["jobs"].values() for step in job["steps"]]
    commands = [step["run"] for step in steps if "run" in step]
    makefile = (project_root / "Makefile").read_text()
    targets = [command.split()[1] for command in commands if command.startswith("make ")]
    assert targets == ["check", "test"]
    assert all(f"\n{target}: install\n" in makefile for target in targets)
    pythons = workflow["jobs"]["test"]["strategy"]["matrix"]["python"]
    required = tomllib.loads((project_root / "pyproject.toml").read_text())["project"]
    assert required["requires-python"] == f">={pythons[0]}"


def test_the_catalog_is_told_what_the_workflow_has(project_root: Path) -> None:
    usage = yaml.safe_load((project_root / ".snakemake-workflow-catalog.yml").read_text())["usage"]
    rules = "".join(p.read_text() for p in sorted((project_root / "workflow").rglob("*.smk")))
    snakefile = (project_root / "workflow/Snakefile").read_text()
    assert usage["software-stack-deployment"]["conda"] == ("conda:" in rules)
    assert usage["software-stack-deployment"]["apptainer"] == ("container:" in snakefile)
    assert usage["report"] == ("report(" in rules)


def test_names_of_test_files_are_unique(project_root: Path) -> None:
    """pytest imports them by their names alone: of two with one name it takes neither."""
    names = [path.name for path in (project_root / "tests").rglob("test_*.py")]
    assert sorted({name for name in names if names.count(name) > 1}) == []
