"""Configuration files: what is no configuration, and what YAML allows besides plain keys."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from pipeline_src.cli import main
from pipeline_src.config import check_study, load_study
from pipeline_src.errors import InputError


@pytest.mark.parametrize(
    ("text", "fragment"),
    [
        ("study: a\nstudy: b\n", "a second time in line 2"),
        ("? [1, 2]\n: y\n", "is not text"),
        ("[" * 20_000, "deeper than"),
        ("study: " + "[" * 60 + "]" * 60, "deeper than"),
        (
            "a0: &a0 [1, 1, 1, 1, 1, 1, 1, 1, 1]\n"
            + "".join(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]\n" for n in range(1, 9)),
            "unfold to more than",
        ),
        ("a: &a [*a]\n", "deeper than"),
        ("study: x\n" * 200_000, "larger than 1 MiB"),
        ("study: \x01\n", "is not valid YAML"),
        # Beyond the first block that a decoder would be given.
        ("# a\n" * 5_000 + "study: caf\udce9\n", "line 5001 has a byte that is not UTF-8"),
        ("__use_yte__: true\n", "run the code in this file"),
    ],
    ids=["twice", "list", "brackets", "deep", "bomb", "cycle", "large", "control", "latin", "yte"],
)
def test_a_file_that_is_no_configuration_is_one_line(
    text: str, fragment: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "study.yaml"
    path.write_bytes(text.encode(errors="surrogateescape"))
    assert main(["check", "--config", str(path)]) == 2
    said = capsys.readouterr().err
    assert said.startswith(f"error: {path}: ")
    assert fragment in said
    assert said.count("\n") == 1


def test_merge_keys_and_anchors_are_understood(tiny_study: dict[str, Any], tmp_path: Path) -> None:
    block = tiny_study.pop("datasets")["heads"]
    text = yaml.safe_dump(tiny_study) + "datasets:\n  heads: &base " + json.dumps(block)
    path = tmp_path / "study.yaml"
    path.write_text(text + "\n  others:\n    <<: *base\n    title: Others\n")
    study = load_study(path)
    assert study.datasets["others"].source == study.datasets["heads"].source
    assert study.datasets["others"].title == "Others"


def test_paths_are_expanded(
    tiny_study: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("SCANS", "scans")
    assert check_study(tiny_study | {"data_root": "~/$SCANS"}).data_root == f"{tmp_path}/scans"
    with pytest.raises(InputError, match="variable \\$NOSUCH is not set"):
        check_study(tiny_study | {"data_root": "$NOSUCH/x"})
    # What is no variable stays as it is.
    assert check_study(tiny_study | {"data_root": "a$(b)"}).data_root == "a$(b)"


@pytest.mark.parametrize("character", ["\x1b", "\x00", "\n", "\u2028", "\u202e"])
def test_control_characters_are_refused(character: str, tiny_study: dict[str, Any]) -> None:
    with pytest.raises(InputError, match="title: holds the character"):
        check_study(tiny_study | {"title": f"a{character}b"})


@pytest.fixture
def two_files(tiny_study: dict[str, Any], tmp_path: Path) -> list[str]:
    """A configuration and what a second file changes of it."""
    base, own = tmp_path / "base.yaml", tmp_path / "own.yaml"
    base.write_text(yaml.safe_dump(tiny_study))
    own.write_text("study: other\ntraining: {epochs: 7}\nseeds: [3, 4]\n")
    return [str(base), str(own)]


def test_of_several_files_the_later_is_laid_over(two_files: list[str]) -> None:
    study = load_study([Path(path) for path in two_files], ["training.threads=2"])
    assert (study.study, study.seeds) == ("other", [3, 4])
    # Mappings are merged key by key.
    assert (study.training.epochs, study.training.threads) == (7, 2)
    assert study.training.device == "cpu"
    assert load_study([Path(path) for path in two_files[::-1]]).study == "tiny"


@pytest.mark.parametrize("times", [1, 2], ids=["after one --config", "each after its own"])
@pytest.mark.parametrize("command", ["check", "estimate"])
def test_commands_take_several_files(
    command: str, times: int, two_files: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["--config", *two_files] if times == 1 else [f"--config={path}" for path in two_files]
    assert main([command, *words]) == 0
    said = capsys.readouterr().out
    if command == "check":
        assert f"{two_files[0]} + {two_files[1]}: ok" in said
        assert "seeds: 2" in said


def test_a_wrong_value_names_all_files(
    two_files: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    Path(two_files[1]).write_text("training: {epochs: none}\n")
    assert main(["check", "--config", *two_files]) == 2
    assert capsys.readouterr().err.startswith(f"error: {' + '.join(two_files)}: training.epochs: ")


def test_status_takes_several_files(
    two_files: list[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["status", "--once", "--config", *two_files]) == 0
    seeds = {line.split()[2] for line in capsys.readouterr().out.splitlines() if "heads/4x" in line}
    assert seeds == {"3", "4"}


def test_tables_take_metrics_after_a_configuration(
    two_files: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = [f"--config={two_files[0]}", "--config", two_files[1], str(tmp_path / "volumes.csv")]
    assert main(["tables", *words]) == 2
    assert capsys.readouterr().err.startswith(f"error: {tmp_path / 'volumes.csv'}: ")


SOURCE = "datasets.heads.source"


@pytest.mark.parametrize(
    "words",
    [
        [f"{SOURCE}={{kind: nifti, path: knees, pattern: '*.nii'}}"],
        [f"{SOURCE}.kind=nifti", f"{SOURCE}.path=knees", f"{SOURCE}.pattern='*.nii'"],
    ],
    ids=["whole", "key by key"],
)
def test_another_kind_of_source_replaces_it_whole(
    words: list[str], tiny_study: dict[str, Any], write_config: Any
) -> None:
    source = load_study(write_config(tiny_study), words).datasets["heads"].source
    assert source.model_dump(include={"kind", "path", "pattern"}) == {
        "kind": "nifti",
        "path": "knees",
        "pattern": "*.nii",
    }


def test_another_kind_of_source_that_lacks_a_key_says_so(
    tiny_study: dict[str, Any], write_config: Any
) -> None:
    with pytest.raises(InputError) as caught:
        load_study(write_config(tiny_study), [f"{SOURCE}.kind=nifti"])
    line = str(caught.value)
    assert line.startswith(f"--set: {SOURCE}.path: this key is missing")
    assert "for kind nifti; give it too" in line


def test_the_same_kind_of_source_is_changed_key_by_key(
    tiny_study: dict[str, Any], write_config: Any
) -> None:
    path = write_config(tiny_study)
    source = load_study(path, [f"{SOURCE}={{kind: phantom, patients: 5}}"]).datasets["heads"].source
    assert source.model_dump(include={"patients", "matrix"}) == {"patients": 5, "matrix": 16}


def test_a_data_set_may_be_called_kind(tiny_study: dict[str, Any], write_config: Any) -> None:
    tiny_study["datasets"]["kind"] = tiny_study["datasets"]["heads"]
    study = load_study(write_config(tiny_study), ["datasets.kind.title=Other"])
    assert list(study.datasets) == ["heads", "kind"]


def test_a_key_of_many_dots_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "a.yaml").write_text("study: a\n")
    key = ".".join("a" * 3000)
    assert main(["check", "--config", str(tmp_path / "a.yaml"), "--set", f"{key}=1"]) == 2
    assert capsys.readouterr().err.startswith("error: --set: the key has 2999 dots")


def test_a_file_that_never_ends_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").symlink_to("/dev/zero")
    with pytest.raises(InputError, match="larger than 1 MiB"):
        load_study(tmp_path / "a.yaml")


def test_titles_name_the_terms_of_the_loss_as_the_paper_and_the_figures_do() -> None:
    """L_rec^T, L_rec^S and L_imit."""
    files = sorted(Path("config").glob("*.yaml"))
    terms = {term for path in files for term in re.findall(r"L_[^\s,}]+", path.read_text())}
    assert terms == {"L_rec^T", "L_rec^S", "L_imit"}
