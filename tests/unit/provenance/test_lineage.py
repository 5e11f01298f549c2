"""Where a result comes from: traced from manifest to manifest, and the manifests themselves."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
from reporting_helpers import write_chain, write_made
from unit_helpers import one_line

from pipeline_src.cli import main
from pipeline_src.files import sha256_file
from pipeline_src.provenance.lineage import Step, describe, manifest_of, trace
from pipeline_src.provenance.manifest import Manifest

pytest_plugins = ["shared_fixtures"]


@pytest.fixture
def chain(tmp_path: Path) -> Path:
    write_chain(tmp_path / "study")
    return tmp_path / "study"


def seen(steps: list[Step]) -> list[tuple[int, str, str, bool]]:
    return [(s.depth, s.role, "/".join(s.path.resolve().parts[-2:]), s.seen) for s in steps]


STEPS = [
    (0, "", "tables/main.md", False),
    (1, "metrics/0", "teacher/volumes.csv", False),
    (2, "store", "data/volumes.h5", False),
    (3, "volumes/0", "given/scan.nii", False),
    (2, "mask", "data/mask.npz", False),
    (2, "weights", "teacher/weights.safetensors", False),
    (3, "store", "data/volumes.h5", True),
    (3, "mask", "data/mask.npz", True),
    # What stood in the list before is named again, and not followed again.
    (1, "metrics/1", "at/volumes.csv", False),
    (2, "store", "data/volumes.h5", True),
    (2, "mask", "data/mask.npz", True),
    (2, "weights", "at/weights.safetensors", False),
    (3, "store", "data/volumes.h5", True),
    (3, "mask", "data/mask.npz", True),
    (3, "teacher", "teacher/weights.safetensors", True),
    (1, "paper", "given/paper.csv", False),
]


def test_a_result_is_followed_depth_first_to_the_files_that_were_given(chain: Path) -> None:
    steps = list(trace(chain / "tables" / "main.md"))
    assert seen(steps) == STEPS
    assert [step.problem for step in steps] == [""] * len(steps)
    for step in steps:
        assert (step.manifest is None) == (step.path.resolve().parent.name == "given")
        assert step.expected == (sha256_file(step.path) if step.depth else None)
    commands = [step.manifest.command for step in steps if step.manifest]
    assert commands[:5] == ["tables", "evaluate", "prepare", "mask", "train"]


@pytest.mark.parametrize(
    ("where", "followed"),
    [
        ({"model": "at"}, ["at"]),
        ({"training": "standard"}, ["teacher"]),
        ({"model": "at", "training": "standard"}, []),
        ({"seed": "0"}, ["teacher", "at"]),
    ],
)
def test_where_follows_only_the_direct_inputs_that_match(
    where: dict[str, str], followed: list[str], chain: Path
) -> None:
    steps = list(trace(chain / "tables" / "main.md", where))
    direct = [s.path.resolve().parent.name for s in steps if s.depth == 1]
    # What has no manifest matches anything.
    assert direct == [*followed, "given"]
    if followed == ["at"]:
        # Behind it, everything is followed, the other model's weights too.
        assert (3, "teacher", "teacher/weights.safetensors", False) in seen(steps)


def test_results_can_be_moved_as_a_whole(chain: Path, tmp_path: Path) -> None:
    shutil.move(chain, tmp_path / "elsewhere")
    steps = list(trace(tmp_path / "elsewhere" / "tables" / "main.md"))
    assert seen(steps) == STEPS
    assert not any(step.problem for step in steps)


@pytest.fixture
def moved(chain: Path, tmp_path: Path) -> Path:
    """The results on another disk; what was given stays where it was."""
    place = tmp_path / "another/disk/study"
    shutil.copytree(chain, place, ignore=shutil.ignore_patterns("given"))
    for path in chain.iterdir():
        if path.name != "given":
            shutil.rmtree(path)
    return place


def given_to(steps: Iterable[Step]) -> list[tuple[Path, str]]:
    return [(step.path.resolve(), step.problem) for step in steps if step.manifest is None]


def test_what_was_given_stays_behind_when_results_move(
    chain: Path, moved: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    table = moved / "tables" / "main.md"
    scan, paper = chain / "given/scan.nii", chain / "given/paper.csv"
    assert main(["provenance", str(table), "--data", str(chain)]) == 0
    assert given_to(trace(table, folders=[chain / "given"])) == [(scan, ""), (paper, "")]
    # The study's own data_root, and the folder that one works in.
    (moved / "config.yaml").write_text(f"study: x\ndata_root: {chain}\n")
    assert given_to(trace(table)) == [(scan, ""), (paper, "")]
    (moved / "config.yaml").write_text("no mapping")
    monkeypatch.chdir(chain)
    assert given_to(trace(table)) == [(scan, ""), (paper, "")]
    capsys.readouterr()
    monkeypatch.chdir("/")
    assert main(["provenance", str(table)]) == 2
    error = one_line(capsys.readouterr().err)
    assert f"see {moved / 'given/scan.nii'}, {moved / 'given/paper.csv'}; --data FOLDER" in error


def test_only_the_bytes_that_were_read_are_found(chain: Path, moved: Path) -> None:
    (chain / "given/scan.nii").write_text("another scan")
    found = given_to(trace(moved / "tables" / "main.md", folders=[chain]))
    assert found == [(moved / "given/scan.nii", "is gone"), (chain / "given/paper.csv", "")]


def test_a_manifest_is_found_by_what_it_names(chain: Path) -> None:
    (chain / "at" / "note.txt").write_text("")
    for name, manifest in (
        ("at/weights.safetensors", "manifest.json"),
        ("at/slices.csv", "volumes.manifest.json"),
        ("at/note.txt", None),
        ("given/scan.nii", None),
    ):
        found = manifest_of(chain / name)
        assert (found and found[0]) == (manifest and chain / "at" / manifest)


def test_a_manifest_that_was_read_itself_is_followed(chain: Path) -> None:
    """Learning curves are drawn from the manifests of trainings."""
    shown = {"shown/0": "at/manifest.json"}
    write_made(
        chain, "figures/curves.manifest.json", ["figures/curves.png"], shown, command="figure"
    )
    steps = list(trace(chain / "figures" / "curves.png"))
    assert [step.role for step in steps][:4] == ["", "shown/0", "store", "volumes/0"]
    assert not any(step.problem for step in steps)
    assert ", code " in describe(steps[1])


# Files that are no longer what they were.


@pytest.mark.parametrize(
    ("name", "change", "problem", "times"),
    [
        ("given/scan.nii", "other", "has changed since it was read", 1),
        ("data/mask.npz", "other", "has changed since it was read", 4),
        ("tables/main.md", "other", "is not what its manifest describes", 1),
        ("given/scan.nii", None, "is gone", 1),
        ("data/volumes.h5", None, "is gone", 4),
    ],
)
def test_what_has_changed_or_is_gone_is_said_and_the_status_is_2(
    name: str,
    change: str | None,
    problem: str,
    times: int,
    chain: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    path = chain / name
    path.write_text(change) if change else path.unlink()
    steps = list(trace(chain / "tables" / "main.md"))
    found = [step for step in steps if step.problem]
    assert [(step.path.resolve(), step.problem) for step in found] == [(path, problem)] * times
    # What is behind it is told all the same.
    assert len(steps) == len(STEPS)

    assert main(["provenance", str(chain / "tables" / "main.md")]) == 2
    out, err = capsys.readouterr()
    assert (out.count(problem.upper()), len(out.splitlines())) == (times, len(STEPS))
    error = one_line(err)
    assert "main.md: cannot be traced as it stands" in error
    # Once, however often it was read.
    assert error.count(path.name) == (1 if name != "tables/main.md" else 2)


def test_a_file_that_an_earlier_step_read_otherwise_is_a_problem_though_seen_before(
    chain: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The teacher was measured on the store as it is, AT on another."""
    manifest = chain / "at" / "volumes.manifest.json"
    content = json.loads(manifest.read_text())
    content["inputs"]["store"]["sha256"] = "0" * 64
    manifest.write_text(json.dumps(content))
    [step] = [s for s in trace(chain / "tables" / "main.md") if s.problem]
    assert (step.role, step.seen) == ("store", True)
    assert main(["provenance", str(chain / "tables" / "main.md")]) == 2
    assert "volumes.h5" in one_line(capsys.readouterr().err)


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("tables/none.csv", "none.csv: does not exist"),
        ("given/paper.csv", "paper.csv: has no manifest beside it that says what made it"),
    ],
)
def test_what_has_no_manifest_cannot_be_traced(
    name: str, said: str, chain: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["provenance", str(chain / name)]) == 2
    assert said in one_line(capsys.readouterr().err)


# What is printed.


def test_printed_places_are_those_from_here(chain: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for here in (chain, chain / "tables"):
        monkeypatch.chdir(here)
        for step in trace(chain / "tables" / "main.md"):
            place = describe(step).partition("  [")[0].split(": ")[-1].strip()
            assert step.path.samefile(place)


def test_provenance_prints_a_line_a_file(chain: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = chain / "tables" / "main.md"
    assert main(["provenance", str(path)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines == [describe(step) for step in trace(path)]
    assert lines[0].startswith(f"{path}  [{sha256_file(path)[:12]}]  tables, 20")
    for (depth, role, place, again), line in zip(STEPS, lines, strict=True):
        text = line.lstrip()
        assert len(line) - len(text) == 2 * depth
        assert text.startswith(f"{role}: " if depth else str(path))
        assert Path(place).name in text
        assert line.endswith(" (see above)") == again
    assert lines[-1].endswith("  given")


def test_runs_of_an_interrupted_training_are_counted_and_their_time_summed(chain: Path) -> None:
    runs = [
        {"started": f"2026-01-0{day}T10:00:00+00:00", "seconds": seconds}
        for day, seconds in ((1, 20.25), (2, 10.5))
    ]
    facts: dict[str, Any] = {"command": "train", "runs": runs}
    write_made(chain, "at/manifest.json", ["at/weights.safetensors"], {}, **facts)
    [step] = trace(chain / "at" / "weights.safetensors")
    assert "  train, 2026-01-01T10:00:00, 31 s in 2 runs, code " in describe(step)


def test_where_restricts_what_is_printed_and_must_be_a_pair(
    chain: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = str(chain / "tables" / "main.md")
    assert main(["provenance", path, "--where", "model=at", "--where", "seed=0"]) == 0
    out = capsys.readouterr().out
    assert "metrics/1: " in out
    assert "metrics/0: " not in out
    assert main(["provenance", path, "--where", "model"]) == 2
    assert "--where model: must be KEY=VALUE, such as model=at" in one_line(capsys.readouterr().err)


@pytest.mark.parametrize(
    ("pair", "said"),
    [
        ("modle=at", "none of its inputs was made with modle=at; no input has that key"),
        ("model=cc", "none of its inputs was made with model=cc; there are at, teacher"),
    ],
)
def test_a_condition_that_no_input_meets_is_refused(
    pair: str, said: str, chain: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["provenance", str(chain / "tables" / "main.md"), "--where", pair]) == 2
    assert said in one_line(capsys.readouterr().err)


def test_a_reader_that_has_seen_enough_ends_the_command_quietly(chain: Path) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    command = [sys.executable, "-m", "pipeline_src", "provenance", str(chain / "tables/main.md")]
    done = subprocess.run(command, stdout=writing, stderr=subprocess.PIPE, text=True)
    os.close(writing)
    assert done.stderr == ""
    assert done.returncode == 1


def test_what_a_manifest_holds_moves_no_cursor(tmp_path: Path) -> None:
    """A manifest may come from anyone."""
    path = tmp_path / "a\x1b[2Jb.txt"
    path.write_text("x")
    manifest = {
        "command": "train\x1b]0;title\x07\nerror: none",
        "runs": [{"started": "2026-01-01\x9b", "seconds": 1.0}],
        "made_by": {"commit": "\x1b[31m"},
        "outputs": {},
    }
    line = describe(Step(0, "role\r", path, None, Manifest.from_content(manifest, path), False))
    assert line.isprintable()
    assert r"train\x1b]0;title\x07\nerror: none" in line
