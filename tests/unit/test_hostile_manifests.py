"""Manifests and progress files of strangers: a line, no hang, no escape sequence."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
from reporting_helpers import write_chain
from unit_helpers import one_line

from pipeline_src.cli import main
from pipeline_src.errors import InputError
from pipeline_src.evaluation.parity import compare_all
from pipeline_src.files import LARGEST_FILE, open_regular, read_json, sha256_file
from pipeline_src.models.weights import load_network
from pipeline_src.provenance.manifest import Manifest
from pipeline_src.running.progress_file import read_progress
from pipeline_src.sampling.masks import read_mask

DEEP = "[" * 100_000


@pytest.fixture
def table(tmp_path: Path) -> Path:
    """A table whose manifest can be altered."""
    write_chain(tmp_path / "study")
    return tmp_path / "study" / "tables" / "main.md"


def traced(table: Path, capsys: pytest.CaptureFixture[str]) -> str:
    assert main(["provenance", str(table)]) == 2
    return one_line(capsys.readouterr().err)


GIVEN = {"path": "../given/paper.csv", "sha256": "a"}
RUN = {"started": "2026-01-01", "seconds": 1}


@pytest.mark.parametrize(
    ("key", "value", "named"),
    [
        ("inputs", [], "inputs"),
        ("inputs", {"a": "b"}, "inputs.a"),
        ("inputs", {"a": GIVEN | {"path": 5}}, "inputs.a.path"),
        ("inputs", {"a": GIVEN | {"path": "a\0b"}}, "inputs.a.path"),
        ("inputs", {"a": GIVEN | {"sha256": 7}}, "inputs.a.sha256"),
        ("outputs", {"main.md": 3}, "outputs.main.md"),
        ("runs", "abc", "runs"),
        ("runs", [RUN | {"seconds": float("nan")}], "runs.0.seconds"),
        ("runs", [RUN | {"seconds": 10**400}], "runs.0.seconds"),
        ("runs", [RUN | {"seconds": -1}], "runs.0.seconds"),
        ("runs", [RUN | {"started": 3}], "runs.0.started"),
        ("made_by", {"commit": 3}, "made_by.commit"),
        ("command", None, "command"),
    ],
)
def test_a_manifest_that_is_none_is_named_with_its_key(
    key: str, value: Any, named: str, table: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    manifest = table.with_suffix(".manifest.json")
    manifest.write_text(json.dumps(json.loads(manifest.read_text()) | {key: value}))
    assert f"{manifest}: is not a manifest of this pipeline ({named}: " in traced(table, capsys)


def test_a_manifest_without_runs_is_still_traced(
    table: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    manifest = table.with_suffix(".manifest.json")
    manifest.write_text(json.dumps(json.loads(manifest.read_text()) | {"runs": []}))
    assert main(["provenance", str(table)]) == 0
    assert "time not known" in capsys.readouterr().out


@pytest.mark.parametrize("name", ["/dev/zero", "pipe"])
def test_what_never_ends_is_not_read_for_its_digest(
    name: str, table: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    os.mkfifo(table.parent / "pipe")
    manifest = table.with_suffix(".manifest.json")
    given = {"a": {"path": name, "sha256": "a"}}
    manifest.write_text(json.dumps(json.loads(manifest.read_text()) | {"inputs": given}))
    assert "is a pipe or a device" in traced(table, capsys)


def test_a_chain_of_manifests_may_be_longer_than_calls_nest(
    table: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    made = json.loads(table.with_suffix(".manifest.json").read_text())
    for number in range(1100):
        folder = table.parent / str(number)
        folder.mkdir()
        (folder / "x").touch()
        given = {"a": {"path": f"../{number + 1}/x", "sha256": sha256_file(folder / "x")}}
        told = made | {"inputs": given, "outputs": {"x": sha256_file(folder / "x")}}
        (folder / "manifest.json").write_text(json.dumps(told))
    last = table.parent / "1100"
    last.mkdir()
    (last / "x").touch()
    assert main(["provenance", str(table.parent / "0" / "x")]) == 0
    assert len(capsys.readouterr().out.splitlines()) == 1101


def test_json_that_nests_without_end_and_pipes_are_one_line(tmp_path: Path) -> None:
    (tmp_path / "deep.json").write_text(DEEP)
    with pytest.raises(InputError, match=r"deep\.json: is not valid JSON"):
        read_json(tmp_path / "deep.json")
    os.mkfifo(tmp_path / "pipe")
    for read in (read_json, sha256_file, read_mask, load_network, compare_all):
        with pytest.raises(InputError, match=r"pipe: .*is a pipe or a device"):
            read(tmp_path / "pipe")
    with pytest.raises(IsADirectoryError):
        open_regular(tmp_path)


@pytest.mark.parametrize(
    "seconds", [float("nan"), float("inf"), -5, "1e3", True, 10**400], ids=lambda v: str(v)[:5]
)
def test_times_that_cannot_be_are_not_summed(seconds: Any, tmp_path: Path) -> None:
    made = {
        "inputs": {},
        "outputs": {},
        "runs": [{"seconds": seconds}],
        "made_by": {"commit": "a", "packages": {}},
    }
    (tmp_path / "manifest.json").write_text(json.dumps(made))
    with pytest.raises(InputError, match="is not a manifest of this pipeline"):
        Manifest.read(tmp_path / "manifest.json", "runs")


def test_a_huge_record_is_not_read(tmp_path: Path) -> None:
    """The file takes no room on the disk."""
    path = tmp_path / "progress.json"
    with path.open("wb") as stream:
        stream.truncate(LARGEST_FILE + 1)
    with pytest.raises(InputError, match="larger than any such file"):
        read_progress(tmp_path)
