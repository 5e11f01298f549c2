"""Presets: what `authors` and `paper` set, and how they go with what is given explicitly."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from pipeline_src.cli import main
from pipeline_src.config import Study, check_study
from pipeline_src.config.distillation import PAPER_METHODS
from pipeline_src.config.presets import PRESETS
from pipeline_src.errors import InputError
from pipeline_src.reporting.tables.method_options import method_options

METHODS = ["fitnets", "at", "cc", "fsp", "sp", "imitation"]
#: Form of the losses, imitation, protocol, start, selection, padding of teacher and student.
AUTHORS = ("authors", "numel", "two_stage", "sft_trained", "best", 5, 5)
PAPER = ("original", "mean", "joint", "recipe", "best", 0, 0)
#: Without a preset: the authors' forms without their padding.
DEFAULTS = ("authors", "numel", "two_stage", "recipe", "best", 0, 0)

every_preset = pytest.mark.parametrize(
    ("preset", "expected"), [("authors", AUTHORS), ("paper", PAPER)]
)


def options_of(study: Study) -> tuple[Any, ...]:
    """What ran, in the order of the tables above; one form only, and that of the paper's methods
    alone.
    """
    forms = {study.methods[name].form for name in study.methods if name in PAPER_METHODS}
    others = {name: study.methods[name].form for name in study.methods if name not in PAPER_METHODS}
    assert others == dict.fromkeys(others)
    assert len(forms) == 1
    return (
        forms.pop(),
        study.sft.imitation_normalisation,
        study.distillation.protocol,
        study.distillation.start,
        study.distillation.feature_stage_selection,
        study.networks.teacher.padding,
        study.networks.student.padding,
    )


def line_of(data: dict[str, Any]) -> str:
    with pytest.raises(InputError) as caught:
        check_study(data)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@every_preset
def test_a_preset_sets_every_option_for_all_methods(
    preset: str, expected: tuple[Any, ...], tiny_study: dict[str, Any]
) -> None:
    study = check_study(tiny_study | {"preset": preset})
    assert study.preset == preset
    assert list(study.methods) == METHODS
    assert options_of(study) == expected


def test_both_presets_set_the_same_options() -> None:
    assert set(PRESETS) == {"authors", "paper"}
    assert set(PRESETS["authors"]) == set(PRESETS["paper"])
    assert len(PRESETS["authors"]) == len(AUTHORS)


@pytest.mark.parametrize("given", [{}, {"preset": None}], ids=["absent", "null"])
def test_no_preset_leaves_the_defaults(given: dict[str, Any], tiny_study: dict[str, Any]) -> None:
    study = check_study(tiny_study | given)
    assert study.preset is None
    assert options_of(study) == DEFAULTS


def test_a_preset_sets_nothing_else(tiny_study: dict[str, Any]) -> None:
    plain = check_study(tiny_study).model_dump()
    authors = check_study(tiny_study | {"preset": "authors"}).model_dump()
    for section, key in (("sft", "teacher_weight"), ("distillation", "imitation_weight")):
        assert authors[section][key] == plain[section][key]
    authors["distillation"]["start"] = plain["distillation"]["start"]
    for role in ("teacher", "student"):
        authors["networks"][role]["padding"] = 0
    assert authors | {"preset": None} == plain


@every_preset
def test_the_papers_methods_get_the_presets_form_and_no_others_come(
    preset: str, expected: tuple[Any, ...], tiny_study: dict[str, Any]
) -> None:
    own = {"module": "somewhere.else"}
    methods = {"cc": {}, "fitnets": {"cascades": [2]}, "mine": own}
    study = check_study(tiny_study | {"preset": preset, "methods": methods})
    assert list(study.methods) == ["cc", "fitnets", "mine"]
    assert options_of(study) == expected
    assert study.methods["fitnets"].cascades == [2]
    assert study.methods["mine"].module == "somewhere.else"


def test_no_methods_stay_no_methods(tiny_study: dict[str, Any]) -> None:
    study = check_study(tiny_study | {"preset": "paper", "methods": {}})
    assert study.methods == {}
    assert study.sft.imitation_normalisation == "mean"


@every_preset
def test_given_networks_keep_what_is_given_and_their_depth(
    preset: str, expected: tuple[Any, ...], tiny_study: dict[str, Any]
) -> None:
    networks = {"teacher": {"features": 4}, "student": {"depth": 2, "features": 4}}
    study = check_study(tiny_study | {"preset": preset, "networks": networks})
    teacher, student = study.networks.teacher, study.networks.student
    assert (teacher.depth, student.depth) == (5, 2)
    assert teacher.features == student.features == 4
    assert options_of(study) == expected


@pytest.mark.parametrize("role", ["teacher", "student"])
def test_a_network_that_is_not_given_has_the_papers_depth(
    role: str, tiny_study: dict[str, Any]
) -> None:
    study = check_study(
        tiny_study | {"preset": "authors", "networks": {role: {"features": 32, "depth": 4}}}
    )
    depths = {"teacher": 5, "student": 3} | {role: 4}
    assert study.networks.teacher.depth == depths["teacher"]
    assert study.networks.student.depth == depths["student"]


CONFLICTS: list[tuple[str, dict[str, Any], str, Any, Any]] = [
    (
        "paper",
        {"sft": {"imitation_normalisation": "numel"}},
        "sft.imitation_normalisation",
        "mean",
        "numel",
    ),
    (
        "authors",
        {"distillation": {"protocol": "joint"}},
        "distillation.protocol",
        "two_stage",
        "joint",
    ),
    (
        "authors",
        {"distillation": {"feature_stage_selection": "last"}},
        "distillation.feature_stage_selection",
        "best",
        "last",
    ),
    ("paper", {"methods": {"at": {"form": "authors"}}}, "methods.at.form", "original", "authors"),
    (
        "authors",
        {"networks": {"teacher": {"depth": 5, "padding": 0}}},
        "networks.teacher.padding",
        5,
        0,
    ),
    ("paper", {"networks": {"student": {"padding": 5}}}, "networks.student.padding", 0, 5),
    ("paper", {"distillation": {"protocol": None}}, "distillation.protocol", "joint", None),
]


@pytest.mark.parametrize(
    ("preset", "given", "key", "set_to", "explicit"), CONFLICTS, ids=[c[2] for c in CONFLICTS]
)
def test_another_explicit_value_is_refused_with_the_key_and_both_values(
    preset: str,
    given: dict[str, Any],
    key: str,
    set_to: Any,
    explicit: Any,
    tiny_study: dict[str, Any],
) -> None:
    line = line_of(tiny_study | {"preset": preset} | given)
    assert f"preset {preset!r} sets {key} to {set_to!r}, but {explicit!r} is given" in line


def test_a_preset_laid_over_a_file_conflicts_with_it_in_one_line(
    tiny_study: dict[str, Any], write_config: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    path: Path = write_config(tiny_study | {"sft": {"imitation_normalisation": "mean"}})
    assert main(["check", "--config", str(path), "--set", "preset=paper"]) == 0
    capsys.readouterr()
    assert main(["check", "--config", str(path), "--set", "preset=authors"]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err == (
        f"error: {path} with --set: preset 'authors' sets sft.imitation_normalisation to 'numel', "
        "but 'mean' is given; leave one of them out\n"
    )


@every_preset
def test_an_equal_explicit_value_is_fine(
    preset: str, expected: tuple[Any, ...], tiny_study: dict[str, Any]
) -> None:
    form, imitation, protocol, start, selection, padding, _ = expected
    given = {
        "methods": {"sp": {"form": form}, "at": {}},
        "sft": {"imitation_normalisation": imitation, "branches": 2},
        "distillation": {
            "protocol": protocol,
            "start": start,
            "feature_stage_selection": selection,
        },
        "networks": {"teacher": {"padding": padding}, "student": {"padding": padding}},
    }
    study = check_study(tiny_study | {"preset": preset} | given)
    assert options_of(study) == expected
    assert study.sft.branches == 2


def test_the_given_mapping_is_left_as_it_is(tiny_study: dict[str, Any]) -> None:
    tiny_study |= {"preset": "authors", "methods": {"at": {}}, "networks": {"teacher": {}}}
    check_study(tiny_study)
    assert tiny_study["methods"] == {"at": {}}
    assert tiny_study["networks"] == {"teacher": {}}


@pytest.mark.parametrize(
    ("given", "fragments"),
    [
        ({"preset": "papr"}, ("preset: 'papr'", "'authors'", "'paper'")),
        ({"preset": 5}, ("preset: 5", "'authors'", "'paper'")),
        ({"preset": ["paper"]}, ("preset: ['paper']",)),
        ({"preset": {"paper": 1}}, ("preset",)),
        ({"preset": "paper", "methods": ["at"]}, ("methods: ['at']", "mapping")),
        ({"preset": "paper", "methods": "at"}, ("methods: 'at'", "mapping")),
        ({"preset": "paper", "methods": 3}, ("methods: 3",)),
        ({"preset": "paper", "methods": None}, ("methods: this key is empty",)),
        ({"preset": "paper", "methods": {"att": {}}}, ("'att'", "did you mean 'at'")),
        ({"preset": "paper", "sft": 3}, ("sft: 3", "mapping")),
        ({"preset": "paper", "networks": [1]}, ("networks: [1]", "mapping")),
        ({"preset": "paper", "networks": {"teacher": 3}}, ("networks.teacher: 3", "mapping")),
        (
            {"preset": "paper", "distillation": {"protocl": "joint"}},
            ("distillation.protocl", "did you mean 'distillation.protocol'"),
        ),
    ],
    ids=str,
)
def test_what_is_wrong_beside_a_preset_is_one_line_as_without_it(
    given: dict[str, Any], fragments: tuple[str, ...], tiny_study: dict[str, Any]
) -> None:
    line = line_of(tiny_study | given)
    for fragment in fragments:
        assert fragment in line


# The line that tables carry.


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (
            {},
            "losses in authors form where code and paper differ, protocol two_stage (best weights "
            "of the feature stage), imitation normalised by numel, padding 0 and 0",
        ),
        (
            {"preset": "authors"},
            "preset authors: losses in authors form where code and paper differ, protocol "
            "two_stage (best weights of the feature stage), start sft_trained, imitation "
            "normalised by numel, padding 5 and 5",
        ),
        (
            {"preset": "paper"},
            "preset paper: losses in original form where code and paper differ, protocol joint, "
            "imitation normalised by mean, padding 0 and 0",
        ),
        (
            {"methods": {"at": {}, "sp": {"form": "original"}}},
            "losses in authors and original form, protocol two_stage (best weights of the feature "
            "stage), imitation normalised by numel, padding 0 and 0",
        ),
    ],
    ids=["defaults", "authors", "paper", "mixed"],
)
def test_the_note_of_a_table_names_what_ran(
    given: dict[str, Any], expected: str, tiny_study: dict[str, Any]
) -> None:
    assert method_options(check_study(tiny_study | given)) == expected


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (
            {"distillation": {"feature_stage_selection": "last"}},
            "two_stage (last weights of the feature stage)",
        ),
        ({"distillation": {"protocol": "joint"}}, "protocol joint, "),
        ({"sft": {"imitation_normalisation": "mean"}}, "imitation normalised by mean"),
        (
            {"networks": {"teacher": {"padding": 2}, "student": {"padding": 2}}},
            "padding 2 and 2",
        ),
        ({"methods": {"at": {}}}, "losses in authors form, protocol"),
    ],
    ids=str,
)
def test_the_note_follows_each_option(
    given: dict[str, Any], said: str, tiny_study: dict[str, Any]
) -> None:
    assert said not in method_options(check_study(tiny_study))
    assert said in method_options(check_study(tiny_study | given))
