"""What is wrong in a configuration is worded for whoever writes YAML, not in Python's terms."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from pydantic import Field
from unit_helpers import put

from pipeline_src.config import check_study
from pipeline_src.config.load import parse_value, read_yaml
from pipeline_src.config.options import checked_options
from pipeline_src.config.section import Section
from pipeline_src.errors import InputError

MATRIX = "give [rows, columns], such as [64, 64]"
NAME = "use up to 64 lower-case letters, digits and underscores, a letter first"
#: A list with dashes where names are followed by colons.
DASHED = [{"title": "Heads " * 40, "preparation": {"matrix": [16, 16]}}]


def refusal(study: dict[str, Any]) -> str:
    with pytest.raises(InputError) as caught:
        check_study(study)
    return str(caught.value).removeprefix("configuration: ")


@pytest.mark.parametrize(
    ("key", "value", "said"),
    [
        ("methods", ["at", "cc"], "['at', 'cc']: must be a mapping of keys to values; write "),
        ("methods", ["at", "cc"], "; write {at: {}, cc: {}}"),
        ("methods", "at", "'at': must be a mapping of keys to values"),
        ("datasets", DASHED, "...: must be a mapping of keys to values; write the names without"),
        ("datasets.heads.masks", ["a.npy"], "['a.npy']: must be a mapping of keys to values"),
        ("datasets.heads.preparation.slices", "0:5", "of keys to values (start, stop, step)"),
        ("datasets.heads.preparation.matrix", "32x32", f"'32x32': {MATRIX}"),
        ("datasets.heads.preparation.matrix", 32, f"32: {MATRIX}"),
        ("datasets.heads.preparation.matrix", [32], f"[32]: {MATRIX}"),
        ("datasets.heads.preparation.matrix", [32, 32, 4], f"[32, 32, 4]: {MATRIX}"),
        ("study", "My Study", f"'My Study': cannot be a name; {NAME}"),
        ("study", None, "study: this key is empty; give it a value"),
        ("datasets", None, "datasets: this key is empty; give it a value"),
        ("training.device", None, "training.device: this key is empty; give it a value"),
        ("datasets.heads.split.train", None, "split.train: this key is empty; give it a value"),
        ("datasets.heads.preparation", None, "preparation: this section is empty; give its keys"),
        ("seeds", [], "seeds: []: holds too few; give at least 1"),
        ("training.epochs", "1e2", "training.epochs: '1e2': must be an integer"),
        ("evaluation.compiled", 3, "evaluation.compiled: unknown key (value 3)"),
        ("title", {"a": 1}, "title: must be text"),
    ],
)
def test_a_wrong_value_is_told_without_python_s_words(
    key: str, value: Any, said: str, tiny_study: dict[str, Any]
) -> None:
    put(tiny_study, key, value)
    line = refusal(tiny_study)
    assert line.startswith(key.removesuffix(".compiled"))
    assert said in line
    assert not re.search("None|valid|Input|should|dictionary|tuple", line)
    assert len(line) < 220


@pytest.mark.parametrize(
    "split",
    [
        {"train": ["a", "b", "a"], "validation": ["c"], "test": ["d"]},
        {"train": ["b"], "validation": ["c"], "test": ["a", "a"]},
        {"folds": 2, "validation": 1, "fold": 0, "patients": ["a", "b", "c", "a"]},
    ],
    ids=["train", "test", "folds"],
)
def test_a_patient_is_listed_once(split: dict[str, Any], tiny_study: dict[str, Any]) -> None:
    tiny_study["datasets"]["heads"]["split"] = split
    assert "]: a is listed twice" in refusal(tiny_study)


def test_a_name_that_is_no_text_is_told(tiny_study: dict[str, Any]) -> None:
    tiny_study["datasets"] = {1: tiny_study["datasets"]["heads"]}
    assert refusal(tiny_study) == "datasets.1: 1: is not text; write it in quotes"


@pytest.mark.parametrize("value", ["validation", ["patient " * 4] * 40], ids=["short", "long"])
def test_a_key_of_another_section_is_told_its_place(value: Any, tiny_study: dict[str, Any]) -> None:
    line = refusal(tiny_study | {"report_on": value})
    assert line.endswith("; its place is 'datasets.NAME.report_on'")
    assert len(line) < 200


def test_a_misspelt_key_of_this_section_comes_before_those_of_others(
    tiny_study: dict[str, Any],
) -> None:
    assert "did you mean 'seeds' or 'datasets.NAME.source.seed'" in refusal(
        tiny_study | {"seed": 0}
    )


def test_a_key_of_another_kind_of_source_has_no_place_here(tiny_study: dict[str, Any]) -> None:
    source = {"kind": "nifti", "path": ".", "patients": 3}
    tiny_study["datasets"]["heads"]["source"] = source
    assert "did you mean 'datasets.heads.source.patient_pattern'?" in refusal(tiny_study)


class Weights(Section):
    """Options of somebody's own loss."""

    weight: float = Field(default=1.0)
    pair: tuple[int, int] = Field(default=(1, 2))


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"weight": "much"}, "weight: 'much': must be a number"),
        ({"weight": None}, "weight: this key is empty; give it a value"),
        ({"pair": 3}, "pair: 3: must be a list"),
    ],
)
def test_options_of_ones_own_are_told_alike(given: dict[str, Any], said: str) -> None:
    with pytest.raises(InputError, match=f"^methods.a.options.{said}$"):
        checked_options(Weights, given, "methods.a.options")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("study: a: b\n", "mapping values are not allowed here in line 1, column 9"),
        ("a: [4\nb: 3\n", "while parsing a flow sequence from line 1: expected ',' or ']', but "),
        ('a: 1\nb: "\\w"\n', "from line 2: found unknown escape character 'w' in line 2, column 6"),
        ("a: 1\n---\nb: 2\n", "but found another document in line 2, column 1"),
    ],
)
def test_a_mistake_in_yaml_is_told_by_its_line_alone(text: str, said: str, tmp_path: Path) -> None:
    path = tmp_path / "study.yaml"
    path.write_text(text)
    with pytest.raises(InputError) as of_file:
        read_yaml(path)
    with pytest.raises(InputError) as of_option:
        parse_value(text, "--set")
    for line in (str(of_file.value), str(of_option.value)):
        assert said in line
        assert not re.search(r"\^|<unicode string>", line)
