"""What is shipped and what is right in a configuration; files and overrides that are none."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from unit_helpers import put

from pipeline_src.cli import main
from pipeline_src.config import check_study, load_study
from pipeline_src.config.load import parse_override
from pipeline_src.config.reference import generated_files, key_paths
from pipeline_src.errors import InputError
from pipeline_src.operations.preflight import check_files
from pipeline_src.planning.plans import training_plan

PAPER_METHODS = {"fitnets", "at", "cc", "fsp", "sp"}


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
    assert set(study.methods) - {"imitation"} == PAPER_METHODS
    assert ("imitation" in study.methods) == (name != "paper")
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
    # Teacher, SFT teacher, student, controls, and each method from either teacher.
    assert len(study.model_names()) == 3 + 3 + 2 * 5
    assert len(study.seeds) == 5
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
    assert "models per setting: 17, seeds: 1; 17 trainings" in captured.out


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


# --- files and overrides that are no configuration ----------------------------------------


@pytest.mark.parametrize(
    ("content", "fragment"),
    [
        (b"study: [unclosed\n", "is not valid YAML"),
        (b"\xff\xfe\x00study", "is not valid YAML"),
        (b"", "is not a mapping"),
        (b"- a\n- b\n", "is not a mapping"),
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
