"""A wrong configuration gives one line with the key, the value and the remedy."""

from __future__ import annotations

from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from unit_helpers import put

from pipeline_src.cli import main
from pipeline_src.config import check_study
from pipeline_src.errors import InputError
from pipeline_src.operations.preflight import check_files

# --- what is wrong: the dotted key, a wrong value, and what the line must hold ---------------

Case = tuple[str, Any, tuple[str, ...]]

MISSPELT: list[Case] = [
    ("acelerations", [4], ("acelerations", "[4]", "did you mean 'accelerations'?")),
    ("training.epoch", 3, ("training.epoch:", "value 3", "did you mean 'training.epochs'?")),
    (
        "training.learning_rat",
        0.5,
        ("training.learning_rat:", "0.5", "did you mean 'training.learning_rate'?"),
    ),
    (
        "networks.student",
        {"depht": 3},
        ("networks.student.depht", "3", "did you mean 'networks.student.depth'?"),
    ),
    (
        "sft.imitation_weigth",
        2,
        ("sft.imitation_weigth", "2", "did you mean 'sft.imitation_weight'?"),
    ),
    (
        "distillation.protocl",
        "joint",
        ("distillation.protocl", "'joint'", "did you mean 'distillation.protocol'?"),
    ),
    (
        "evaluation.panels",
        ["at"],
        ("evaluation.panels", "['at']", "did you mean 'evaluation.panel_methods'?"),
    ),
    (
        "methods",
        {"at": {"frm": "original"}},
        ("methods.at.frm", "'original'", "did you mean 'methods.at.form'?"),
    ),
    (
        "datasets.heads.tite",
        "Heads",
        ("datasets.heads.tite", "'Heads'", "did you mean 'datasets.heads.title'?"),
    ),
    (
        "datasets.heads.source.patient",
        3,
        ("datasets.heads.source.patient:", "3", "did you mean 'datasets.heads.source.patients'?"),
    ),
    (
        "datasets.heads.source",
        {"kind": "nifti", "path": ".", "patern": "*.nii"},
        (
            "datasets.heads.source.patern",
            "'*.nii'",
            "did you mean 'datasets.heads.source.pattern'?",
        ),
    ),
    (
        "datasets.heads.preparation.slices",
        {"strt": 1},
        (
            "datasets.heads.preparation.slices.strt",
            "1",
            "did you mean 'datasets.heads.preparation.slices.start'?",
        ),
    ),
    (
        "datasets.heads.split.tran",
        1,
        ("datasets.heads.split.tran", "1", "did you mean 'datasets.heads.split.train'?"),
    ),
]

WRONG_SECTION: list[Case] = [
    ("epochs", 3, ("epochs", "value 3", "'training.epochs'")),
    ("batch_size", 8, ("batch_size", "8", "'training.batch_size'")),
    ("matrix", [16, 16], ("matrix", "[16, 16]", "'datasets.NAME.preparation.matrix'")),
    ("masks", {4: "m.npy"}, ("masks", "m.npy", "'datasets.NAME.masks'")),
    ("protocol", "joint", ("protocol", "'joint'", "'distillation.protocol'")),
    (
        "datasets.heads.undersized",
        "pad",
        ("datasets.heads.undersized", "'pad'", "'datasets.NAME.preparation.undersized'"),
    ),
    # A key that exists elsewhere by this very name, beside a neighbour that merely looks alike.
    ("threads", 1, ("threads", "1", "'training.threads'")),
    ("center_lines", 4, ("center_lines", "4", "'sampling.center_lines'")),
    ("validation", 2, ("validation", "2", "'datasets.NAME.split.validation'")),
    ("training.seed", 2, ("training.seed", "2", "seed'")),
]

WRONG_VALUE: list[Case] = [
    ("seeds", 0, ("seeds: 0: is not a list; write [0] ",)),
    ("accelerations", "4x", ("'4x'", "write ['4x'] ")),
    ("training.epochs", "many", ("training.epochs", "'many'", "integer")),
    ("training.epochs", 1.5, ("training.epochs", "1.5", "integer")),
    ("training.epochs", 0, ("training.epochs", "0", "greater than or equal to 1")),
    ("training.epochs", True, ("training", "epochs: True is given", "neither a number nor text")),
    ("seeds", [True], ("seeds: [True] is given", "neither a number nor text")),
    ("training.learning_rate", float("inf"), ("training.learning_rate", "inf", "finite")),
    ("datasets.heads.source.patients", 10**9, ("patients", "less than or equal to 100000")),
    ("networks.teacher.cascades", 10**8, ("networks.teacher.cascades", "equal to 100")),
    ("networks.student.depth", 10**9, ("networks.student.depth", "equal to 100")),
    ("sampling.seed", -1, ("sampling.seed", "-1", "greater than or equal to 0")),
    ("datasets.heads.source.seed", -1, ("heads.source.seed", "-1", "equal to 0")),
    ("datasets.heads.split.seed", -1, ("heads.split.seed", "-1", "equal to 0")),
    ("training.device", "gpu", ("training.device", "'gpu'", "'cuda'")),
    ("training.lr_factor", 2, ("training.lr_factor", "2", "less than or equal to 1")),
    ("training", 3, ("training:", "3", "mapping")),
    ("seeds", 0, ("seeds", "0", "list")),
    ("seeds", [-1], ("seeds", "-1", "0 or more")),
    ("seeds", [1 << 63], ("seeds", str(1 << 63), "less than 2 to the 63")),
    ("training.epochs", 1 << 63, ("training: epochs: 9223372036854775808", "2 to the 63")),
    ("distillation.teacher_cache_mib", 10**400, ("teacher_cache_mib: a number of", "2 to the 63")),
    ("datasets.heads.preparation.matrix", [16, -(10**19)], ("preparation: matrix", "2 to the 63")),
    ("title", "half of a pair \ud800", ("title", r"\ud800", "plain text")),
    ("study", "My Study", ("study", "'My Study'", "lower-case")),
    ("accelerations", [0], ("accelerations", "acceleration 0", "2 or more")),
    ("accelerations", [1], ("accelerations", "acceleration 1", "2 or more")),
    ("accelerations", [4.5], ("accelerations", "4.5", "integer")),
    ("accelerations", [4, 4], ("accelerations", "[4, 4]", "4 is listed twice")),
    ("seeds", [0, 1, 0], ("seeds", "[0, 1, 0]", "0 is listed twice")),
    ("recipes", ["sft_kd", "sft_kd"], ("recipes", "sft_kd is listed twice")),
    ("recipes", ["std"], ("recipes", "'std'", "'std_kd'")),
    ("datasets", {}, ("datasets", "at least 1")),
    ("datasets.Heads", {}, ("datasets.Heads",)),
    ("datasets.heads.source.kind", "phantm", ("datasets.heads.source", "'phantm'", "'phantom'")),
    ("datasets.heads.source.anatomy", "knee", ("source.anatomy", "'knee'", "'cardiac'")),
    ("datasets.heads.source", {"kind": "acdc"}, ("datasets.heads.source.path", "missing")),
    ("datasets.heads.preparation.matrix", 16, ("datasets.heads.preparation.matrix", "16")),
    ("datasets.heads.masks", {5: "m.npy"}, ("datasets.heads.masks", "5", "accelerations (4)")),
    (
        "datasets.heads.masks",
        {4: "a.npy", "4": "b.npy"},
        ("datasets.heads.masks", "one factor is given twice among 4, '4'"),
    ),
    ("datasets.heads.source", "nifti", ("datasets.heads.source.kind", "is missing", "nifti")),
    ("datasets.heads.source.kind", None, ("datasets.heads.source.kind", "is missing", "nifti")),
    ("title", date(2020, 1, 2), ("title", "is not text", "quotes")),
    ("datasets.heads.split.train", ["a", False], ("train: ['a', False]", "write text in quotes")),
    ("methods", {"att": {}}, ("methods", "'att'", "did you mean 'at'")),
    ("methods", {"crd": {}}, ("methods", "'crd'", "fitnets")),
    (
        "methods",
        {"fitnets": {"cascades": [6]}},
        ("methods.fitnets.cascades", "6", "5 cascades"),
    ),
    ("evaluation.compared_methods", ["att"], ("compared_methods", "'att'", "(fitnets")),
    ("evaluation.compared_methods", ["at", "at"], ("compared_methods", "at is listed twice")),
    ("evaluation.panel_methods", ["att"], ("evaluation.panel_methods", "'att'", "fitnets")),
    (
        "networks.student",
        {"depth": 3, "cascades": 4},
        ("networks.student.cascades", "4", "teacher's 5"),
    ),
    ("sampling.center_lines", 5, ("sampling.center_lines", "5", "4 lines of heads", "use 4")),
    (
        "datasets.heads.split",
        {"train": 2, "validation": 1},
        ("datasets.heads", "split.test is empty", "report_on: validation"),
    ),
    (
        "datasets.heads.split",
        {"train": ["phantom001", "phantom002"], "validation": ["phantom002"], "test": 1},
        ("datasets.heads.split", "'phantom002' of validation is also in train"),
    ),
    (
        "datasets.heads.split",
        {"train": ["phantom00*"], "validation": ["phantom002"], "test": 1},
        ("datasets.heads.split", "'phantom002' of validation is also in train"),
    ),
    (
        "datasets.heads.split",
        {"train": ["phantom001"], "validation": 1, "test": ["phantom001"]},
        ("datasets.heads.split", "'phantom001' of test is also in train"),
    ),
    (
        "datasets.heads.split",
        {"train": 0, "validation": 1, "test": 1},
        ("datasets.heads.split", "train is empty"),
    ),
    ("datasets.heads.split.train", -1, ("datasets.heads.split.train: -1",)),
    ("datasets.heads.split.train", "phantom001", ("datasets.heads.split.train: 'phantom001'",)),
]


@pytest.mark.parametrize(
    ("key", "value", "fragments"),
    MISSPELT + WRONG_SECTION + WRONG_VALUE,
    ids=lambda v: str(v) if isinstance(v, str) else None,
)
def test_wrong_configuration_gives_one_line_with_key_value_and_remedy(
    key: str,
    value: Any,
    fragments: tuple[str, ...],
    tiny_study: dict[str, Any],
    write_config: Any,
    capsys: pytest.CaptureFixture[str],
) -> None:
    put(tiny_study, key, value)
    path = write_config(tiny_study)
    assert main(["check", "--config", str(path)]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith(f"error: {path}: ")
    assert captured.err.count("\n") == 1
    for fragment in fragments:
        assert fragment in captured.err.removeprefix(f"error: {path}: ")


@pytest.mark.parametrize("key", ["datasets.heads.source.kind", "datasets.heads.split.train"])
def test_missing_key_is_named(key: str, tiny_study: dict[str, Any]) -> None:
    section, leaf = key.rsplit(".", 1)
    where = tiny_study
    for part in section.split("."):
        where = where[part]
    del where[leaf]
    with pytest.raises(InputError) as caught:
        check_study(tiny_study)
    assert section in str(caught.value)
    assert leaf in str(caught.value)


def test_message_uses_only_names_a_user_writes(tiny_study: dict[str, Any]) -> None:
    put(tiny_study, "datasets.heads.source.patients", "x")
    with pytest.raises(InputError, match=r"datasets\.heads\.source\.patients: 'x'"):
        check_study(tiny_study)
    put(tiny_study, "datasets.heads.source.patients", 4)
    put(tiny_study, "datasets.heads.split.train", -1)
    with pytest.raises(InputError) as caught:
        check_study(tiny_study)
    assert "constrained" not in str(caught.value)


def test_other_problems_are_counted(tiny_study: dict[str, Any]) -> None:
    put(tiny_study, "training.epochs", 0)
    put(tiny_study, "training.batch_size", 0)
    with pytest.raises(InputError, match=r"\(and 1 more\)$"):
        check_study(tiny_study)


@pytest.mark.parametrize(("shape", "said"), [((15,), "15"), ((8, 16), "8x16"), ((16, 17), "16x17")])
def test_mask_of_another_size_is_refused_before_any_job(
    shape: tuple[int, ...],
    said: str,
    tiny_study: dict[str, Any],
    tmp_path: Path,
    write_config: Any,
    capsys: pytest.CaptureFixture[str],
) -> None:
    mask = tmp_path / "mask.npy"
    np.save(mask, np.ones(shape, dtype=bool))
    put(tiny_study, "datasets.heads.masks", {4: str(mask)})
    config = write_config(tiny_study)
    assert main(["check", "--config", str(config)]) == 2
    error = capsys.readouterr().err
    assert error.startswith(f"error: {config}: {mask}: mask of {said}")
    assert "preparation.matrix is 16x16" in error
    assert error.count("\n") == 1


def test_missing_mask_is_refused_before_any_job(tiny_study: dict[str, Any], tmp_path: Path) -> None:
    mask = tmp_path / "nowhere.npy"
    put(tiny_study, "datasets.heads.masks", {4: str(mask)})
    with pytest.raises(InputError, match=r"nowhere\.npy: mask cannot be read"):
        check_files(check_study(tiny_study))


def test_text_that_yaml_takes_for_a_sign_is_told_to_be_quoted(
    tiny_study: dict[str, Any], write_config: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write_config(tiny_study)
    assert main(["check", "--config", str(path), "--set", "title=*.nii"]) == 2
    said = capsys.readouterr().err
    assert """as in KEY='"*.nii"'""" in said
    assert said.count("\n") == 1
    assert main(["check", "--config", str(path), "--set", 'title="*.nii"']) == 0


@pytest.mark.parametrize(("number", "taken"), [("010", 8), ("1:30", 90), ("-010", -8)])
def test_number_that_yaml_takes_for_another_is_refused(
    number: str,
    taken: int,
    tiny_study: dict[str, Any],
    write_config: Any,
    capsys: pytest.CaptureFixture[str],
) -> None:
    path = write_config(tiny_study)
    said = f"{number} in line 1 is {taken} to YAML; write {taken} if it is that"
    assert main(["check", "--config", str(path), "--set", f"seeds=[{number}]"]) == 2
    assert said in capsys.readouterr().err
    path.write_text(f"seeds: [{number}]\n{path.read_text()}")
    assert main(["check", "--config", str(path)]) == 2
    assert said in capsys.readouterr().err
