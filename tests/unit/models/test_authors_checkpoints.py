"""Checkpoints of the authors' code come in and go out, and nothing in them is run."""

from __future__ import annotations

import argparse
import json
import pickle
from pathlib import Path

import pytest
import torch
from unit_helpers import Bomb

from pipeline_src.cli import main
from pipeline_src.config.networks import Network
from pipeline_src.errors import InputError
from pipeline_src.models.authors import authors_name, export_checkpoint, import_checkpoint
from pipeline_src.models.dccnn import DCCNN
from pipeline_src.models.pickled_tensors import read_checkpoint_tensors
from pipeline_src.models.weights import load_network, save_weights

TEACHER = Network(depth=3, cascades=2, features=4, padding=5)
STUDENT = Network(depth=2, cascades=2, features=4, padding=5)


def authors_state(teacher: DCCNN, student: DCCNN) -> dict[str, torch.Tensor]:
    return {authors_name(k, "teacher"): v for k, v in teacher.state_dict().items()} | {
        authors_name(k, "student"): v for k, v in student.state_dict().items()
    }


@pytest.mark.parametrize("zipped", [True, False])
@pytest.mark.parametrize("prefix", ["", "module."])
def test_a_checkpoint_is_imported_and_its_pickled_objects_are_not_run(
    tmp_path: Path, zipped: bool, prefix: str
) -> None:
    teacher, student = DCCNN(TEACHER), DCCNN(STUDENT)
    trace = tmp_path / "exploded"
    state = {prefix + k: v for k, v in authors_state(teacher, student).items()}
    content = {
        "epoch": 3,
        "args": argparse.Namespace(lr=1e-3, path=Path("/data"), bomb=Bomb(trace)),
        "model": state,
        "optimizer": {"state": {0: {"step": 1}}, "param_groups": [{"lr": 1e-3}]},
    }
    path = tmp_path / "best_model.pt"
    torch.save(content, path, _use_new_zipfile_serialization=zipped)
    assert main(["import-weights", str(path), "--padding", "5", "--output", str(tmp_path)]) == 0
    assert not trace.exists()
    for role, network in (("teacher", teacher), ("student", student)):
        imported = load_network(tmp_path / role / "weights.safetensors")
        assert imported.network == network.network
        for name, tensor in network.state_dict().items():
            assert torch.equal(imported.state_dict()[name], tensor)
    # The bomb is real: the ordinary way sets it off.
    torch.load(path, weights_only=False)
    assert trace.exists()


def test_an_import_says_that_it_replaces_an_earlier_one(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    state = authors_state(DCCNN(TEACHER), DCCNN(STUDENT))
    path = tmp_path / "best_model.pt"
    torch.save({"model": {k: v for k, v in state.items() if k.startswith("t")}}, path)
    words = ["import-weights", str(path), "--output", str(tmp_path / "imported"), "--padding"]
    assert main([*words, "5"]) == 0
    assert "in place" not in capsys.readouterr().out
    torch.save({"model": state}, path)
    assert main([*words, "3"]) == 0
    teacher, student = capsys.readouterr().out.splitlines()
    assert teacher.endswith("tensors, in place of those that were there")
    assert student.endswith("tensors")


def test_export_gives_the_authors_names_and_values(tmp_path: Path) -> None:
    teacher, student = DCCNN(TEACHER), DCCNN(STUDENT)
    save_weights(tmp_path / "t.safetensors", teacher)
    save_weights(tmp_path / "s.safetensors", student)
    paths = {"teacher": tmp_path / "t.safetensors", "student": tmp_path / "s.safetensors"}
    assert export_checkpoint(paths, tmp_path / "out.pt") == 2 * 2 * 3 + 2 * 2 * 2
    exported = torch.load(tmp_path / "out.pt", weights_only=True)["model"]
    expected = authors_state(teacher, student)
    assert set(exported) == set(expected)
    assert {"tcascade1.conv1.weight", "scascade2.conv2.bias"} <= set(exported)
    assert all(torch.equal(exported[k], v) for k, v in expected.items())
    back = import_checkpoint(tmp_path / "out.pt", 5, tmp_path / "back")
    assert set(back) == {"teacher", "student"}


@pytest.mark.parametrize("change", ["foreign", "missing", "shape"])
def test_every_tensor_is_accounted_for(tmp_path: Path, change: str) -> None:
    state = authors_state(DCCNN(TEACHER), DCCNN(STUDENT))
    if change == "foreign":
        name = "extra.weight"
        state[name] = torch.zeros(1)
    elif change == "missing":
        name = "cascades.1.convolutions.1.bias"
        del state["tcascade2.conv2.bias"]
    else:
        name = "cascades.1.convolutions.1.bias"
        state["tcascade2.conv2.bias"] = torch.zeros(5)
    torch.save({"model": state}, tmp_path / "bad.pt")
    with pytest.raises(InputError, match=name):
        import_checkpoint(tmp_path / "bad.pt", 0, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_files_that_are_no_checkpoint(tmp_path: Path) -> None:
    (tmp_path / "text.pt").write_text("no checkpoint")
    with pytest.raises(InputError, match="cannot be read"):
        read_checkpoint_tensors(tmp_path / "text.pt")
    torch.save({"model": {}}, tmp_path / "empty.pt")
    with pytest.raises(InputError, match="no tensors"):
        read_checkpoint_tensors(tmp_path / "empty.pt")
    (tmp_path / "pickle.pt").write_bytes(pickle.dumps(Bomb(tmp_path / "boom")))
    with pytest.raises(InputError):
        read_checkpoint_tensors(tmp_path / "pickle.pt")
    assert not (tmp_path / "boom").exists()


@pytest.mark.parametrize(
    ("model", "role"),
    [
        ("teacher", "teacher"),
        ("sft_teacher@terms.alone", "teacher"),
        ("student", "student"),
        ("sft_kd_at", "student"),
        ("student blocks of sft_teacher", "student"),
        ("", ""),
        ("a name of others", ""),
    ],
)
@pytest.mark.parametrize("told_by", ["weights", "manifest", "plan"])
def test_weights_are_exported_as_what_they_are(
    told_by: str, model: str, role: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "weights.safetensors"
    save_weights(path, DCCNN(STUDENT), model=model if told_by == "weights" else "")
    if told_by != "weights":
        told = {"name": model} if told_by == "manifest" else {"plan": {"model": model}}
        (tmp_path / "manifest.json").write_text(json.dumps(told))
    for asked in ("teacher", "student"):
        output = tmp_path / f"{asked}.pt"
        status = main(["export-weights", f"--{asked}", str(path), "--output", str(output)])
        said = capsys.readouterr().err
        assert (status == 0) == output.exists() == (role in ("", asked))
        if status:
            assert said.startswith(f"error: {path}: holds the weights of a {role} (")
            assert said.endswith(f" says {model}); give it with --{role}\n")


def test_student_blocks_beside_a_teacher_are_a_students(tmp_path: Path) -> None:
    save_weights(tmp_path / "student_weights.safetensors", DCCNN(STUDENT))
    (tmp_path / "manifest.json").write_text(json.dumps({"name": "sft_teacher"}))
    paths = {"student": tmp_path / "student_weights.safetensors"}
    assert export_checkpoint(paths, tmp_path / "out.pt") == 8


def test_a_trainings_result_is_not_overwritten(tmp_path: Path) -> None:
    torch.save(authors_state(DCCNN(TEACHER), DCCNN(STUDENT)), tmp_path / "c.pt")
    (tmp_path / "seed0/student").mkdir(parents=True)
    (tmp_path / "seed0/student/manifest.json").write_text("{}")
    with pytest.raises(InputError, match=r"student/manifest\.json: a training's result lies there"):
        import_checkpoint(tmp_path / "c.pt", 5, tmp_path / "seed0")
    assert not (tmp_path / "seed0/teacher").exists()
