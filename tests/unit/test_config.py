"""Configurations: the shipped ones load, and each wrong one gives one line that helps."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipeline_src.cli import main
from pipeline_src.config import check_study, load_study, training_plan
from pipeline_src.config.load import parse_override
from pipeline_src.config.reference import generated_files, key_paths
from pipeline_src.errors import InputError
from pipeline_src.preflight import check_files

FIVE_METHODS = {"fitnets", "at", "cc", "fsp", "sp"}


def put(study: dict[str, Any], path: str, value: Any) -> None:
    """Replace or add the value at a dotted path."""
    *sections, key = path.split(".")
    for section in sections:
        study = study.setdefault(section, {})
    study[key] = value


# --- what is shipped -----------------------------------------------------------------------


@pytest.mark.parametrize("name", ["workflow/schemas/config.schema.json", "config/README.md"])
def test_generated_file_is_up_to_date(project_root: Path, name: str) -> None:
    assert (project_root / name).read_text(encoding="utf-8") == generated_files()[name]


def test_every_generated_file_is_compared_above() -> None:
    assert set(generated_files()) == {"workflow/schemas/config.schema.json", "config/README.md"}


def test_every_key_is_in_the_reference_with_a_meaning() -> None:
    rows = [r for r in generated_files()["config/README.md"].splitlines() if r.startswith("| `")]
    assert len(rows) == len(key_paths())
    assert [r for r in rows if r.rsplit("|", 2)[1].strip() in ("", "None")] == []


@pytest.mark.parametrize("name", ["config", "paper", "replication"])
def test_shipped_configuration_loads_and_its_masks_fit(
    project_root: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(project_root)
    study = load_study(Path("config") / f"{name}.yaml")
    check_files(study)
    assert len(study.datasets) == 2
    assert set(study.methods) == FIVE_METHODS
    assert set(study.recipes) == {"std_kd", "sft_kd"}


def test_default_configuration_needs_no_data(project_root: Path) -> None:
    study = load_study(project_root / "config" / "config.yaml")
    assert all(dataset.synthetic for dataset in study.datasets.values())


def test_paper_configuration_has_the_values_of_the_paper(project_root: Path) -> None:
    study = load_study(project_root / "config" / "paper.yaml")
    training = study.training
    assert (training.epochs, training.batch_size, training.learning_rate) == (150, 4, 1e-3)
    assert (training.lr_step, training.lr_factor) == (40, 0.1)
    assert (study.networks.teacher.name, study.networks.student.name) == ("D5C5", "D3C5")
    assert study.networks.teacher.features == study.networks.student.features == 32
    assert study.accelerations == [4, 5]
    assert set(study.datasets) == {"mrbrains", "cardiac"}
    assert study.datasets["mrbrains"].preparation.matrix == (240, 240)
    assert study.datasets["cardiac"].preparation.matrix == (150, 150)
    assert (
        study.datasets["mrbrains"].split.train,
        study.datasets["mrbrains"].split.validation,
    ) == (
        5,
        2,
    )
    weights = (study.sft.teacher_weight, study.sft.student_weight, study.sft.imitation_weight)
    assert weights == (1.0, 1.0, 1.0)
    # Teacher, SFT teacher, student, and each method from either teacher.
    assert len(study.model_names()) == 3 + 2 * 5
    assert len(list(study.settings())) == 4


def test_replication_configuration_reads_only_real_data(project_root: Path) -> None:
    study = load_study(project_root / "config" / "replication.yaml")
    assert not any(dataset.synthetic for dataset in study.datasets.values())
    assert all(dataset.report_on == "test" for dataset in study.datasets.values())


# --- what is right -------------------------------------------------------------------------


def test_tiny_study_is_good(
    tiny_study: dict[str, Any], write_config: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["check", "--config", str(write_config(tiny_study))]) == 0
    captured = capsys.readouterr()
    assert captured.err == ""
    assert "1 settings x 13 models x 1 seeds = 13 trainings" in captured.out


def test_override_replaces_one_key_and_keeps_its_neighbours(
    tiny_study: dict[str, Any], write_config: Any
) -> None:
    path = write_config(tiny_study)
    study = load_study(path, ["training.epochs=7", "training.learning_rate=1e-3"])
    assert study.training.epochs == 7
    assert study.training.learning_rate == 1e-3
    assert study.training.threads == 1


def test_numbers_of_a_patient_choice_may_stand_beside_lists(tiny_study: dict[str, Any]) -> None:
    put(tiny_study, "datasets.heads.split", {"train": 2, "validation": ["phantom001"], "test": 1})
    assert check_study(tiny_study).datasets["heads"].split.validation == ["phantom001"]


def test_plan_of_a_distilled_student_knows_its_teacher_and_method(
    tiny_study: dict[str, Any],
) -> None:
    study = check_study(tiny_study)
    plan = training_plan(study, "sft_kd_at", 0)
    assert plan.network.name == "D3C5"
    assert plan.stages == ["features", "reconstruction"]
    assert plan.distillation is not None
    assert plan.distillation.method == "at"
    assert plan.distillation.teacher.name == "D5C5"
    assert training_plan(study, "teacher", 0).distillation is None
    with pytest.raises(ValueError, match="'sft_kd_crd' is not in the study"):
        training_plan(study, "sft_kd_crd", 0)


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
    ("training.epochs", "many", ("training.epochs", "'many'", "integer")),
    ("training.epochs", 1.5, ("training.epochs", "1.5", "integer")),
    ("training.epochs", 0, ("training.epochs", "0", "greater than 0")),
    ("training.device", "gpu", ("training.device", "'gpu'", "'cuda'")),
    ("training.lr_factor", 2, ("training.lr_factor", "2", "less than or equal to 1")),
    ("training", 3, ("training:", "3", "dictionary")),
    ("seeds", 0, ("seeds", "0", "list")),
    ("seeds", [-1], ("seeds", "-1", "0 or more")),
    ("study", "My Study", ("study", "'My Study'", "^[a-z][a-z0-9_]*$")),
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
    ("methods", {"att": {}}, ("methods", "'att'", "did you mean 'at'")),
    ("methods", {"crd": {}}, ("methods", "'crd'", "fitnets")),
    (
        "methods",
        {"fitnets": {"cascades": [6]}},
        ("methods.fitnets.cascades", "6", "5 cascades"),
    ),
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
    assert main(["check", "--config", str(write_config(tiny_study))]) == 2
    error = capsys.readouterr().err
    assert error.startswith(f"error: {mask}: mask of {said}")
    assert "preparation.matrix is 16x16" in error
    assert error.count("\n") == 1


def test_missing_mask_is_refused_before_any_job(tiny_study: dict[str, Any], tmp_path: Path) -> None:
    mask = tmp_path / "nowhere.npy"
    put(tiny_study, "datasets.heads.masks", {4: str(mask)})
    with pytest.raises(InputError, match=r"nowhere\.npy: mask cannot be read"):
        check_files(check_study(tiny_study))


# --- files and overrides that are no configuration ----------------------------------------


@pytest.mark.parametrize(
    ("content", "fragment"),
    [
        (b"study: [unclosed\n", "is not valid YAML"),
        (b"\xff\xfe\x00study", "is not valid YAML"),
        (b"", "holds no mapping"),
        (b"- a\n- b\n", "holds no mapping"),
        (None, "cannot be read"),
    ],
)
def test_unreadable_file_gives_one_line(
    content: bytes | None, fragment: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "bad.yaml"
    if content is not None:
        path.write_bytes(content)
    assert main(["check", "--config", str(path)]) == 2
    error = capsys.readouterr().err
    assert error.startswith(f"error: {path}: {fragment}")
    assert error.count("\n") == 1


@pytest.mark.parametrize("text", ["training.epochs", "=3", "training.epochs=[1"])
def test_override_of_another_form_is_named(text: str) -> None:
    with pytest.raises(InputError) as caught:
        parse_override(text)
    assert f"--set {text}" in str(caught.value)


def test_misspelt_override_is_refused_like_a_misspelt_key(
    tiny_study: dict[str, Any], write_config: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write_config(tiny_study)
    assert main(["check", "--config", str(path), "--set", "training.epocs=3"]) == 2
    assert "training.epocs: unknown key (value 3); did you mean 'training.epochs'?" in (
        capsys.readouterr().err
    )


def test_unknown_data_set_on_the_command_line_lists_those_there_are(
    tiny_study: dict[str, Any],
    tmp_path: Path,
    write_config: Any,
    capsys: pytest.CaptureFixture[str],
) -> None:
    output = tmp_path / "out" / "mask.npz"
    arguments = ["--dataset", "head", "--acceleration", "4x", "--output", str(output)]
    assert main(["mask", "--config", str(write_config(tiny_study)), *arguments]) == 2
    error = capsys.readouterr().err
    assert "--dataset head" in error
    assert "heads" in error
    assert not output.parent.exists()
