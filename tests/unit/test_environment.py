"""One set of pins: environment.yaml repeats pyproject.toml, and nothing is left unpinned."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

from pipeline_src.operations.doctor.slurm import PLUGIN, TESTED

#: A version, and for a part of the systems their marker.
PINNED = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*==\d+(\.\d+)+(; sys_platform == '\w+')?")


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


def test_container_installs_the_lock_file_alone(project_root: Path) -> None:
    recipe = (project_root / "workflow/container/recipe.def").read_text(encoding="utf-8")
    installs = re.findall(r"^ +\S*pip install (.+)$", recipe, re.M)
    assert "requirements.lock /opt/requirements.lock" in recipe
    assert installs == ["--no-cache-dir --require-hashes --requirement /opt/requirements.lock"]
    assert "==" not in recipe


def test_base_of_the_container_can_be_given_by_digest(project_root: Path) -> None:
    recipe = (project_root / "workflow/container/recipe.def").read_text(encoding="utf-8")
    assert re.findall(r"^From: (.+)$", recipe, re.M) == ["{{ BASE }}"]
    assert "--build-arg BASE=debian@sha256:" in recipe


def test_profiles_differ_in_how_a_gpu_is_asked_for_alone(project_root: Path) -> None:
    def settings(name: str) -> dict[str, Any]:
        path = project_root / "workflow" / "profiles" / name / "config.yaml"
        read: dict[str, Any] = yaml.safe_load(path.read_text(encoding="utf-8"))
        return read

    gpus, gres = settings("slurm"), settings("slurm-gres")
    for rules in (gpus["set-resources"], gres["set-resources"]):
        assert len({str(given) for given in rules.values()}) == 1
    assert gpus["set-resources"]["train"].pop("gpu") == 1
    assert gres["set-resources"]["train"].pop("gpu") == 0
    assert gres["set-resources"]["train"].pop("gres") == "'gpu:1'"
    assert gpus["set-resources"]["train"] == gres["set-resources"]["train"]
    assert gpus == gres | {"set-resources": gpus["set-resources"]}


def test_doctor_knows_the_pinned_plugin(pyproject: dict[str, Any]) -> None:
    assert f"{PLUGIN}=={TESTED}" in pyproject["project"]["dependencies"]


def test_every_pin_is_in_the_lock_file_with_hashes(
    project_root: Path, pyproject: dict[str, Any]
) -> None:
    project = pyproject["project"]
    pins = [*project["dependencies"], *project["optional-dependencies"]["dev"]]
    text = (project_root / "requirements.lock").read_text(encoding="utf-8")
    locked = dict(re.findall(r"^([a-zA-Z0-9._-]+==[^ ;\\]+).*\\\n\s+--hash=(sha256)", text, re.M))
    # A pin for one system only has a marker.
    assert {pin.partition(";")[0].lower() for pin in pins} <= {name.lower() for name in locked}
    # Nothing without a version and hashes.
    assert len(locked) == len(re.findall(r"^[a-zA-Z0-9]", text, re.M))
    assert "http" not in text


def test_an_audit_that_looks_at_nothing_fails(project_root: Path) -> None:
    text = (project_root / "Makefile").read_text(encoding="utf-8")
    [command] = re.findall(r"^\tpip-audit (.+)$", text.replace("\\\n", ""), re.M)
    assert "--strict" in command.split()
    assert "--require-hashes" in command.split()
