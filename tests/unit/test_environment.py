"""One set of pins: environment.yaml repeats pyproject.toml, and nothing is left unpinned."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

PINNED = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*==\d+(\.\d+)+")


@pytest.fixture
def pyproject(project_root: Path) -> dict[str, Any]:
    return tomllib.loads((project_root / "pyproject.toml").read_text(encoding="utf-8"))


@pytest.fixture
def environment(project_root: Path) -> list[Any]:
    text = (project_root / "environment.yaml").read_text(encoding="utf-8")
    dependencies: list[Any] = yaml.safe_load(text)["dependencies"]
    return dependencies


def test_conda_environment_has_exactly_the_pins_of_pyproject(
    pyproject: dict[str, Any], environment: list[Any]
) -> None:
    pip_sections = [d["pip"] for d in environment if isinstance(d, dict)]
    assert len(pip_sections) == 1
    assert sorted(pip_sections[0]) == sorted(pyproject["project"]["dependencies"])


def test_torch_is_the_version_the_project_was_measured_with(pyproject: dict[str, Any]) -> None:
    assert "torch==2.13.0" in pyproject["project"]["dependencies"]


def test_every_dependency_is_pinned(pyproject: dict[str, Any]) -> None:
    project = pyproject["project"]
    groups = [
        project["dependencies"],
        pyproject["build-system"]["requires"],
        *project["optional-dependencies"].values(),
    ]
    dependencies = [d for group in groups for d in group]
    assert [d for d in dependencies if not PINNED.fullmatch(d)] == []


def test_no_dependency_is_listed_twice(pyproject: dict[str, Any]) -> None:
    project = pyproject["project"]
    names = [
        d.partition("==")[0].lower()
        for d in [*project["dependencies"], *project["optional-dependencies"]["dev"]]
    ]
    assert sorted(names) == sorted(set(names))


def test_conda_python_is_one_that_pyproject_allows(
    pyproject: dict[str, Any], environment: list[Any]
) -> None:
    (python,) = [d for d in environment if isinstance(d, str) and d.startswith("python=")]
    version = tuple(map(int, python.removeprefix("python=").split(".")))
    lowest = pyproject["project"]["requires-python"].removeprefix(">=")
    assert version >= tuple(map(int, lowest.split(".")))
