"""Wrong variants and ablations give one line that names the place."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from unit_helpers import one_line

from pipeline_src.cli import main

WRONG: list[Any] = [
    ({"trainig": {"epochs": 2}}, ("trainig: unknown key", "did you mean 'training'")),
    ({"training": {"epoch": 2}}, ("training.epoch: unknown key", "'training.epochs'")),
    ({"epochs": 2}, ("epochs: unknown key", "'training.epochs'")),
    ({"training": {"epochs": 0}}, ("training.epochs: 0", "greater than or equal to 1")),
    ({"seeds": [1]}, ("seeds cannot be changed",)),
    ({"repeat_over": ["seed", "mask"]}, ("repeat_over cannot be changed",)),
    ({"accelerations": [2]}, ("accelerations cannot be changed",)),
    (
        {"datasets": {"heads": {"split": {"train": 1}}}},
        ("datasets cannot be changed",),
    ),
    ({"sampling": {"seed": 5}}, ("sampling cannot be changed",)),
    ({"study": "other"}, ("study cannot be changed",)),
    ({"methods": {"fsp": {}}}, ("methods, recipes and controls cannot be added or removed",)),
    ({"recipes": ["std_kd"]}, ("methods, recipes and controls cannot be added or removed",)),
    ({"controls": []}, ("methods, recipes and controls cannot be added or removed",)),
    ({"methods": {"att": {}}}, ("unknown method 'att'", "did you mean 'at'")),
    ({"sft": {"branches": 5}}, ("sft.branches: 5", "the 4 that 5 cascades allow")),
    ({"networks": {"student": {"cascades": 3}}}, ("networks.student.cascades: 3",)),
    ({"distillation": None}, ("distillation: this section is empty",)),
    ({"preset": "papr"}, ("'papr'", "'authors'", "'paper'")),
    ({"preset": ["paper"]}, ("preset: ['paper']",)),
    ({"ablations": {}}, ("ablations cannot be changed",)),
    ({"data_root": "x"}, ("data_root cannot be changed",)),
]


def assert_refused(config: Path, capsys: pytest.CaptureFixture[str], *fragments: str) -> None:
    assert main(["check", "--config", str(config)]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    for fragment in fragments:
        assert fragment in one_line(captured.err)


@pytest.mark.parametrize(
    ("change", "fragments"), WRONG, ids=lambda value: str(value) if isinstance(value, dict) else ""
)
def test_a_wrong_variant_is_one_line_that_names_its_place(
    change: dict[str, Any],
    fragments: tuple[str, ...],
    tiny_study: dict[str, Any],
    write_config: Any,
    capsys: pytest.CaptureFixture[str],
) -> None:
    ablation = {"models": ["student"], "variants": {"good": {"set": {}}, "v": {"set": change}}}
    tiny_study |= {"methods": {"at": {}}, "ablations": {"a": ablation}}
    assert_refused(write_config(tiny_study), capsys, "ablations.a.variants.v.set: ", *fragments)


@pytest.mark.parametrize(
    ("ablations", "fragments"),
    [
        ({"Terms": {"models": ["student"], "variants": {"v": {"set": {}}}}}, ("'Terms'",)),
        ({"a": {"models": ["student"], "variants": {"v-1": {"set": {}}}}}, ("'v-1'",)),
        ({"a": {"models": ["student"], "variants": {"a.b": {"set": {}}}}}, ("'a.b'",)),
        ({"a": {"models": ["student"], "variants": {"": {"set": {}}}}}, ("''",)),
        (
            {"a": {"models": ["sft_kd_crd"], "variants": {"v": {"set": {}}}}},
            ("ablations.a.models", "'sft_kd_crd'", "sft_kd_at"),
        ),
        (
            {"a": {"models": ["student@a.v"], "variants": {"v": {"set": {}}}}},
            ("ablations.a.models", "'student@a.v'"),
        ),
        (
            {"a": {"models": [], "variants": {"v": {"set": {}}}}},
            ("ablations.a.models", "at least 1"),
        ),
        ({"a": {"models": ["student"], "variants": {}}}, ("ablations.a.variants", "at least 1")),
        ({"a": {"models": ["student"], "variants": {"v": {}}}}, ("variants.v.set", "missing")),
        (
            {"a": {"models": ["student"], "variants": {"v": {"set": 3}}}},
            ("variants.v.set: 3", "mapping"),
        ),
        (
            {"a": {"model": ["student"], "variants": {"v": {"set": {}}}}},
            ("ablations.a.model: unknown key", "did you mean 'ablations.a.models'"),
        ),
        (
            {"a": {"models": ["student"], "variants": {"v": {"sett": {}}}}},
            ("ablations.a.variants.v.sett: unknown key", "'ablations.a.variants.v.set'"),
        ),
    ],
    ids=lambda value: str(value) if isinstance(value, dict) else "",
)
def test_a_wrong_ablation_is_one_line(
    ablations: dict[str, Any],
    fragments: tuple[str, ...],
    tiny_study: dict[str, Any],
    write_config: Any,
    capsys: pytest.CaptureFixture[str],
) -> None:
    tiny_study |= {"methods": {"at": {}}, "ablations": ablations}
    assert_refused(write_config(tiny_study), capsys, "ablation", *fragments)
