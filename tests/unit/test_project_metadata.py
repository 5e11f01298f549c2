"""What other services read of the project says the same everywhere."""

from __future__ import annotations

import json
import re
import runpy
import subprocess
import sys
import tomllib
from pathlib import Path
from types import SimpleNamespace

import pytest
import yaml


@pytest.fixture
def project(project_root: Path) -> dict[str, str]:
    found: dict[str, str] = tomllib.loads((project_root / "pyproject.toml").read_text())["project"]
    return found


@pytest.mark.parametrize(
    ("page", "link", "leads"),
    [
        ("gpu/h200_trials.md", "[a](../gpu.md#what)", "[a](../gpu.md#what)"),
        ("gpu/h200_trials.md", "[a](../../config/README.md)", "[a](../configuration.md)"),
        ("run.md", "[a](../config/README.md#x)", "[a](configuration.md#x)"),
        ("run.md", "[a](../CHANGELOG.md)", "a"),
    ],
)
def test_links_of_the_site_lead_to_its_pages(
    page: str, link: str, leads: str, project_root: Path
) -> None:
    hooks = runpy.run_path(str(project_root / "docs" / "hooks.py"))
    of = SimpleNamespace(file=SimpleNamespace(src_uri=page))
    assert hooks["on_page_markdown"](link, of) == leads


def test_a_broken_link_ends_the_build_of_the_site(project_root: Path, tmp_path: Path) -> None:
    """By the line of `make check`: said to be quiet, it would not count warnings."""
    makefile = (project_root / "Makefile").read_text()
    [options] = set(re.findall(r"mkdocs build (.*?)(?: --site-dir .*)?$", makefile, re.M))
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "index.md").write_text("[a](nowhere.md)")
    (tmp_path / "mkdocs.yml").write_text("site_name: a")
    command = [sys.executable, "-m", "mkdocs", "build", *options.split()]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode != 0
    assert "nowhere.md" in done.stderr


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
