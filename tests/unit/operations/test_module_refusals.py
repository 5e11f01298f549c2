"""What `check --import` says of modules outside this project: file and key of the
configuration, and what is wrong."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from pipeline_src.cli import main

MODULE = '''\
"""A loss, a network's options and a source, each with a fault that its options can call for."""

from pydantic import Field, field_validator

from pipeline_src.config.section import Section
from pipeline_src.distillation.base import DistillationLoss, register_loss

DESCRIPTION = "arrays"


class Options(Section):
    power: float = Field(default=2.0, gt=0)

    @field_validator("power")
    @classmethod
    def _fails(cls, value):
        return {}[value] if value == 9 else value


@register_loss("own")
class Own(DistillationLoss):
    options_model = Options

    def taps(self):
        return []

    def compare(self, student, teacher):
        return 0


def list_volumes(source, data_root):
    return []
'''
SOURCE = {"kind": "arrays", "module": "own_module"}


@pytest.fixture
def configuration(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tiny_study: dict[str, Any]
) -> Iterator[Path]:
    (tmp_path / "own_module.py").write_text(MODULE)
    monkeypatch.syspath_prepend(tmp_path)
    path = tmp_path / "mine.yaml"
    path.write_text(yaml.safe_dump(tiny_study))
    yield path
    sys.modules.pop("own_module", None)


@pytest.mark.parametrize(
    ("section", "value", "said"),
    [
        ("methods", {"own": {"module": "none"}}, "methods.own.module: no module 'none' found"),
        (
            "methods",
            {"own": {"module": "own_module", "options": {"power": -1}}},
            "methods.own.options.power: -1: ",
        ),
        (
            "methods",
            {"own": {"module": "own_module", "options": {"power": 9}}},
            "methods.own.options: the code of their model fails (KeyError: 9.0, ",
        ),
        (
            "networks",
            {"student": {"kind": "unet_cascade", "cascades": 5, "options": {"level": 2}}},
            "networks.student: unet_cascade: options.level: no such option",
        ),
        (
            "networks",
            {"student": {"kind": "other", "module": "own_module", "cascades": 5}},
            "networks.student: module own_module registers no network named 'other'",
        ),
    ],
)
def test_file_and_key_are_named(
    section: str,
    value: dict[str, Any],
    said: str,
    configuration: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    study = yaml.safe_load(configuration.read_text())
    study.setdefault(section, {}).update(value)
    study.pop("evaluation", None)
    configuration.write_text(yaml.safe_dump(study))
    assert main(["check", "--import", "--config", str(configuration)]) == 2
    last = capsys.readouterr().err.splitlines()[-1]
    assert last.startswith(f"error: {configuration}: {said}"), last


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"power": 0}, "source.options.power: 0: "),
        ({}, "source.module: own_module: its list_volumes finds no volume"),
    ],
)
def test_a_source_of_ones_own_is_named(
    options: dict[str, Any], said: str, configuration: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    study = yaml.safe_load(configuration.read_text())
    [name] = study["datasets"]
    study["datasets"][name]["source"] = {**SOURCE, "options": options}
    configuration.write_text(yaml.safe_dump(study))
    command = ["check", "--import", "--config", str(configuration)]
    assert main(command) == 2
    assert capsys.readouterr().err.startswith(f"error: data set {name}: {said}")
    if options:
        assert main([*command, "--no-data", "--set", "study=other"]) == 2
        err = capsys.readouterr().err
        assert err.startswith(f"error: {configuration} with --set: data set {name}: {said}")
