"""Every command line in the documents is one that its program takes, and every target is there."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Callable

import pytest
from documented_commands import MAKE, OURS, ROOT, SNAKEMAKE, of, words
from snakemake.cli import parse_args

from pipeline_src.cli import _parser


def is_refused(parse: Callable[[list[str]], object], given: list[str]) -> bool:
    try:
        parse(given)
    except SystemExit as ended:
        return ended.code != 0
    return False


def test_the_documents_hold_command_lines() -> None:
    assert len(of(OURS)) > 30
    assert len(of(SNAKEMAKE)) > 20
    assert len(of(MAKE)) > 8


@pytest.mark.parametrize(("document", "line"), of(OURS))
def test_a_command_of_ours_is_taken(
    document: str, line: str, capsys: pytest.CaptureFixture[str]
) -> None:
    refused = is_refused(_parser().parse_args, words(line, OURS))
    assert not refused, f"{document}: {line}\n{capsys.readouterr().err}"


@pytest.mark.parametrize(("document", "line"), of(SNAKEMAKE))
def test_a_line_of_snakemake_is_taken(
    document: str, line: str, capsys: pytest.CaptureFixture[str]
) -> None:
    refused = is_refused(parse_args, words(line, SNAKEMAKE))
    assert not refused, f"{document}: {line}\n{capsys.readouterr().err}"


@pytest.mark.parametrize(("document", "line"), of(MAKE))
def test_a_target_of_make_is_there(document: str, line: str) -> None:
    rules = re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.M)
    targets = [word for word in words(line, MAKE) if "=" not in word]
    assert set(targets) <= set(rules), f"{document}: {line}"


@pytest.mark.skipif(shutil.which("git") is None, reason="git is not installed")
def test_what_the_documents_commands_write_is_not_taken_for_a_change() -> None:
    if not (ROOT / ".git").exists():
        pytest.skip("this is no checkout")
    given = [words(line, OURS) for _, line in of(OURS)]
    outputs = {one[one.index("--output") + 1] for one in given if "--output" in one}
    inside = [name for name in outputs if not name.startswith("../")]
    # A pattern that ends in a slash holds for folders alone.
    paths = sorted(name if "." in name else f"{name}/" for name in inside)
    assert len(paths) > 4
    check = ["git", "check-ignore", "--no-index", *paths]
    ignored = subprocess.run(check, cwd=ROOT, capture_output=True, text=True, check=False)
    assert ignored.stdout.split() == paths
