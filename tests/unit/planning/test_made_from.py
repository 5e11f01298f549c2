"""A result is outdated where a file that it was made from is another now, whatever its date."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from pipeline_src.planning.outdated import is_unfinished, why_outdated
from pipeline_src.planning.steps import Step
from pipeline_src.provenance.manifest import write_manifest

SETTINGS = {"part": "test"}


def written(path: Path, text: str, *inputs: Path) -> Path:
    """A result with its manifest, made from these files."""
    path.parent.mkdir(exist_ok=True)
    path.write_text(text)
    manifest = path.with_suffix(".manifest.json")
    write_manifest(
        manifest,
        command="evaluate",
        inputs={f"input/{n}": file for n, file in enumerate(inputs)},
        outputs=[path],
        settings=SETTINGS,
        code={},
        runs=[],
        facts={},
    )
    return manifest


@pytest.mark.parametrize("date", [10**9, 4 * 10**9], ids=["older", "newer"])
def test_another_file_of_the_study_makes_a_result_unfinished(date: int, tmp_path: Path) -> None:
    store = tmp_path / "heart" / "volumes.h5"
    written(store, "first")
    made = written(tmp_path / "metrics" / "volumes.csv", "1", store)
    step = Step(SETTINGS, [], made_from=[store])
    assert why_outdated(step, made) == ""
    written(store, "other")
    for path in store.parent.iterdir():
        os.utime(path, (date, date))
    assert why_outdated(step, made) == "was made from another heart/volumes.h5"
    assert is_unfinished(step, made)
    # It may be outdated otherwise too, and is so by files from outside.
    assert not is_unfinished(Step({"part": "validation"}, [], made_from=[store]), made)
    assert not is_unfinished(Step(SETTINGS, [], given=[store]), made)


def test_the_same_file_with_another_date_is_no_reason(tmp_path: Path) -> None:
    store = tmp_path / "heart" / "volumes.h5"
    written(store, "first")
    made = written(tmp_path / "metrics" / "volumes.csv", "1", store)
    os.utime(store, (10**9, 10**9))
    assert why_outdated(Step(SETTINGS, [], made_from=[store]), made) == ""


def test_more_or_fewer_files_are_told(tmp_path: Path) -> None:
    files = [tmp_path / name / "volumes.csv" for name in "ab"]
    for file in files:
        written(file, file.parent.name)
    made = written(tmp_path / "tables" / "main.csv", "1", *files)
    step = Step(SETTINGS, [], made_from=files[:1])
    assert why_outdated(step, made) == "was made from 2 files where there are 1 now"
